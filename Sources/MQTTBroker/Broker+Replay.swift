import MQTTWire

/// The retained messages for a new subscription, of which more are left than one turn should deal with.
final class Replay {
    let subscription: Subscription
    let walk: RetainedWalk

    init(_ subscription: Subscription, _ walk: RetainedWalk) {
        self.subscription = subscription
        self.walk = walk
    }
}

extension Broker {
    /// Whether `continueReplay` has something to do.
    package var hasReplays: Bool { !replays.isEmpty }

    /// Goes on with the retained messages of the subscription that waits longest: a slice, so that others have
    /// their turn between. To be called once a turn.
    package mutating func continueReplay(now: UInt64, actions: inout [BrokerAction]) {
        guard let replay = replays.popFirst() else { return }
        replay.subscription.session.replayCount -= 1
        advance(replay, now: now, actions: &actions)
    }

    /// Sends what the topics of the filter retain, as the connection takes it. MQTT 5.0 §3.3.1.3.
    mutating func replay(
        _ filter: TopicFilter, to subscription: Subscription, now: UInt64, actions: inout [BrokerAction]
    ) {
        // Who asks again and again before it has read the first answer does not cost a walk each time.
        guard subscription.session.outbound.queuedReplay < limits.sessionReplayMessages,
            subscription.session.replayCount < limits.replaysPerSession
        else {
            counters.replaysRefused += 1
            return
        }
        advance(Replay(subscription, retained.walk(filter)), now: now, actions: &actions)
    }

    private mutating func advance(_ replay: Replay, now: UInt64, actions: inout [BrokerAction]) {
        let subscription = replay.subscription
        // The session may have ended since.
        guard !subscription.session.isDiscarded else { return retained.end(replay.walk) }
        var steps = limits.replaySliceSteps
        while let message = replay.walk.next(steps: &steps) {
            if subscription.noLocal, isOwn(message, subscription.session) { continue }
            let delivery = Outbound.Delivery(
                message: message, qos: min(subscription.qos, message.qos), retain: true,
                subscriptionIdentifiers: subscription.identifiers, isReplay: true, state: .awaitingPuback)
            deliver(delivery, message, to: subscription.session, now: now, actions: &actions)
        }
        guard !replay.walk.isDone else { return retained.end(replay.walk) }
        replays.append(replay)
        subscription.session.replayCount += 1
    }
}
