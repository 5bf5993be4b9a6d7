import Atomics
import Platform
import ResultSink

/// Publishes result rows on the hub's own topics, QoS 1; those of some outputs are retained.
///
/// The outbox is where these retained messages are kept: at a start the newest row of each topic that it still holds
/// is retained again, with the `_rid` it had, and sent to nobody. The cursor follows when a row is durable for the
/// sessions that wait for it.
final class TopicDelivery: ResultDelivery {
    private let reader: ResultReader
    private let loop: BrokerLoop
    private let publisher: ResultPublisher
    private let cursor: SinkCursor
    /// What stands before is on its way to the event loop, or published.
    private var position: UInt64
    /// Where the portion ends that the loop got last.
    private var handedPosition: UInt64
    private var savedPosition: UInt64
    private var delivered = 0
    private var failure: String?
    /// Portions that are on their way to the event loop, of this query.
    private let waiting = ManagedAtomic<Int>(0)
    /// Where rows begin that the sessions of the broker may not have on disk yet.
    private let confirmed: ManagedAtomic<UInt64>
    /// Portions on their way at most, of all queries and of one in any case; then the rest waits in the outbox for
    /// the next turn, a fifth of a second later: the minute of a million devices must not lie in memory whole.
    private static let waitingMax = 64
    private static let waitingOfOneMin = 4

    init(
        directory: String, reader: ResultReader, retained: Set<String>, loop: BrokerLoop,
        files: any FileStore
    ) throws {
        self.reader = reader
        self.loop = loop
        publisher = ResultPublisher(loop, retained: retained)
        cursor = SinkCursor(path: directory + "/topics.cursor", files: files)
        let end = reader.log.endPosition
        position = min(try cursor.load() ?? 0, end)
        savedPosition = position
        handedPosition = position
        confirmed = ManagedAtomic(position)
        if !retained.isEmpty { try retainNewest(before: position) }
    }

    private func retainNewest(before end: UInt64) throws {
        var newest = NewestMessages()
        var at = reader.log.startPosition
        while at < end, let batch = try reader.batch(from: at) {
            newest.add(batch, before: end, publisher)
            at = batch.endPosition
        }
        reader.letGo()
        var rest = newest.messages[...]
        while !rest.isEmpty {
            let portion = rest.prefix(NewestMessages.portion)
            rest = rest.dropFirst(NewestMessages.portion)
            loop.executor.execute { [loop] in
                for message in portion { loop.retainAgain(message) }
            }
        }
    }

    func advance(isStopping: Bool) -> Bool {
        guard isStopping || mayHandOver else { return false }
        do {
            guard let batch = try reader.batch(from: position) else { return false }
            let start = position
            let isWhole = start == batch.position
            let rows =
                isWhole ? batch.topicRowCount : batch.entries(from: start).count { !$0.topic.isEmpty }
            position = batch.endPosition
            if rows > 0 {
                delivered += rows
                handOver(batch, from: start)
            }
            return true
        } catch {
            failure = String(describing: error)
            return false
        }
    }

    private var mayHandOver: Bool {
        waiting.load(ordering: .relaxed) < Self.waitingOfOneMin
            || loop.waitingResults.load(ordering: .relaxed) < Self.waitingMax
    }

    func settle(isStopping: Bool) -> SinkStatus {
        // Rows without a topic are as good as published, behind those before them.
        if handedPosition != position { confirm() }
        let confirmed = confirmed.load(ordering: .acquiring)
        do {
            if confirmed != savedPosition {
                try cursor.save(confirmed)
                savedPosition = confirmed
            }
        } catch {
            failure = String(describing: error)
        }
        defer { failure = nil }
        return SinkStatus(
            name: "topics", offered: delivered, delivered: delivered, outbox: 0, diverted: 0,
            position: savedPosition, failure: failure)
    }

    /// Gives a portion to the event loop, so small that devices are heard in between. The cursor may follow when its
    /// messages are durable.
    private func handOver(_ batch: ResultBatch, from start: UInt64) {
        waiting.wrappingIncrement(ordering: .relaxed)
        loop.waitingResults.wrappingIncrement(ordering: .relaxed)
        loop.executor.execute { [publisher, loop, waiting] in
            publisher.publish(batch, from: start)
            waiting.wrappingDecrement(ordering: .relaxed)
            loop.waitingResults.wrappingDecrement(ordering: .relaxed)
        }
        confirm()
    }

    private func confirm() {
        handedPosition = position
        loop.executor.execute { [loop, confirmed, position] in
            loop.whenJournalIsDurable { confirmed.store(position, ordering: .releasing) }
        }
    }
}
