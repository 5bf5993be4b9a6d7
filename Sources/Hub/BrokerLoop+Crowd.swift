import MQTTBroker
import Platform

/// Work for so many subscribers, or with so many messages, that it is done in slices, one a turn of the loop.
extension BrokerLoop {
    /// The connection got a message.
    func markCrowd(_ connection: Connection) {
        if connection.isDirty { return }
        connection.isDirty = true
        crowd.append(connection)
        wantTurnEnd()
    }

    /// So many wait to be sent to that those who publish to them wait too.
    var isCrowdLong: Bool { crowd.count - crowdHead > limits.flushedSubscribers * 8 }

    /// Sends to the next of those that got a message.
    func flushCrowd() {
        let end = min(crowd.count, crowdHead + limits.flushedSubscribers)
        while crowdHead < end {
            let connection = crowd[crowdHead]
            crowdHead += 1
            flush(connection)
            tellDrained(connection)
        }
        guard crowdHead > 0, crowdHead == crowd.count else { return }
        crowdBytes = 0
        crowd.removeAll(keepingCapacity: crowdHead <= limits.flushedSubscribers)
        crowdHead = 0
    }

    /// The next of the retained messages that a SUBSCRIBE asked for.
    func continueReplay() {
        guard broker.hasReplays else { return }
        broker.continueReplay(now: clock.monotonicNanoseconds(), actions: &actions)
        perform()
    }
}
