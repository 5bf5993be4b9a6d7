package import Telemetry

/// Everything one device does, in the order of time: a pure function of (seed, device id, type, start).
///
/// Readings are made at scheduled times; their faults decide what becomes of them:
/// - `lose`: never sent; no other fault applies. `malformed`: sent with a broken payload; no other applies.
/// - `out_of_order`: the reading waits until `by` is over and a later reading was sent, then follows it.
/// - `delay`: the link stalls for `by`: this reading and all that become ready meanwhile wait, and then go
///   out in order. Readings are still made at their times. A stall does not begin on a link that is not free.
/// - `duplicate`: the same bytes and id go out again 0 to 5 s after the first sending, but before the device
///   next leaves the network.
/// - offline: readings made meanwhile wait, `keep` newest of them; the rest is never sent. On return they go
///   out at `rate` in the order set; with `oldest_first` fresh readings queue behind them.
///
/// The times are scheduled ones and whole milliseconds. `finish(at:)` ends the script early.
package struct DeviceScript: Sendable {
    /// What one device may hold.
    package struct Limits: Sendable {
        /// Readings held back at once; default 1,000. Beyond it readings are sent in order, without the
        /// fault.
        package var heldMax = 1_000
        /// Readings waiting behind a stalled link; default 10,000: as `keep` of a device without `offline`.
        package var backlogMax = 10_000
        /// The longest time to a duplicate, in milliseconds; default 5,000.
        package var duplicateAfterMillisecondsMax: Int64 = 5_000

        package init() {}
    }

    enum Link: Equatable {
        case open
        case stalled(until: Int64)
        case offline(until: Int64)
        /// The backlog goes out at a rate: `sent` of it since `began`.
        case draining(began: Int64, sent: Int64)
        case finished
    }

    package let identity: DeviceIdentity
    let type: DeviceType
    let limits: Limits
    let boot: UInt32
    var schedule: RandomStream
    var faultStream: RandomStream
    var linkStream: RandomStream
    var sensors: [SensorState]
    var nextReadingAt: Int64
    /// nil: never.
    var nextOfflineAt: Int64?
    var sequence: UInt64 = 0
    var link = Link.open
    var backlog = Fifo<Reading>()
    /// Out-of-order readings by the time they are due, then by sequence.
    var held: [(due: Int64, reading: Reading)] = []
    /// Out-of-order readings whose time is over while no later reading was sent yet.
    var overdue: [Reading] = []
    var highestSent: UInt64 = 0
    /// By the time they are due.
    var duplicates: [(due: Int64, publication: Publication)] = []
    var ready = Fifo<PlannedAction>()
    /// The time of the last step.
    var lastStepAt: Int64

    /// - Parameters:
    ///   - start: the fleet's own time at the start; the first reading follows within one interval.
    package init(
        identity: DeviceIdentity, type: DeviceType, seed: UInt64, start: EventTime, limits: Limits = Limits()
    ) {
        self.identity = identity
        self.type = type
        self.limits = limits
        boot = FleetPlan.boot(seed: seed, start: start)
        // The start is part of the streams' seed: another run has other values, not only other ids.
        let runSeed = seed ^ UInt64(boot) << 32
        schedule = RandomStream(seed: runSeed, device: identity.id, purpose: "schedule")
        faultStream = RandomStream(seed: runSeed, device: identity.id, purpose: "faults")
        linkStream = RandomStream(seed: runSeed, device: identity.id, purpose: "link")
        sensors = type.sensors.map { model in
            SensorState(
                model: model,
                random: RandomStream(seed: runSeed, device: identity.id, purpose: "sensor \(model.name)"))
        }
        let begin = start.ticks / EventTime.ticksPerMillisecond
        lastStepAt = begin
        nextReadingAt = begin + schedule.whole(in: 1...max(1, type.everyMilliseconds.upperBound))
        if let offline = type.connection.offline {
            let wait = linkStream.exponential(mean: Double(offline.meanTimeBetweenMilliseconds))
            nextOfflineAt = begin + max(1_000, Int64(wait))
        }
    }

    /// The next action that is due by `limit`, or nil. Silent stretches cost time in proportion to their
    /// length.
    package mutating func next(through limit: EventTime) -> PlannedAction? {
        let limitMilliseconds = limit.ticks / EventTime.ticksPerMillisecond
        while ready.isEmpty {
            guard link != .finished, let step = nextStep(), step.time <= limitMilliseconds else { return nil }
            perform(step)
        }
        return ready.popFirst()
    }

    /// A moment before which `next(through:)` has nothing; nil when the script is at its end.
    package var nextTime: EventTime? {
        if !ready.isEmpty { return EventTime(milliseconds: 0) }
        guard link != .finished, let step = nextStep() else { return nil }
        return EventTime(milliseconds: step.time)
    }

    /// Readings made so far.
    package var readingCount: UInt64 { sequence }

    /// Readings held back at the moment: out of order, behind a stall, or kept while off line.
    package var heldCount: Int { held.count + overdue.count + backlog.count }

    /// Ends the script: what was due by `time` is done as planned, then everything held back goes out at
    /// that moment, on a link that is on line. The repeated sendings that were planned for later go out
    /// too. A script
    /// that is ahead of `time` already ends where it is.
    package mutating func finish(at time: EventTime) {
        guard link != .finished else { return }
        let end = max(lastStepAt, time.ticks / EventTime.ticksPerMillisecond)
        while let step = nextStep(), step.time <= end { perform(step) }
        if case .offline = link { emit(.comeOnline, at: end) }
        // Whatever is sent from here on is repeated at once.
        nextOfflineAt = end
        link = .open
        let newestFirst = type.connection.offline?.order == .newestFirst
        while let reading = newestFirst ? backlog.popLast() : backlog.popFirst() { send(reading, at: end) }
        let waiting = overdue + held.map(\.reading)
        overdue = []
        held = []
        for reading in waiting { send(reading, at: end) }
        for duplicate in duplicates { emit(.publish(duplicate.publication), at: end) }
        duplicates = []
        link = .finished
    }

    mutating func emit(_ kind: PlannedAction.Kind, at time: Int64) {
        ready.append(PlannedAction(time: EventTime(milliseconds: time), kind: kind))
    }
}
