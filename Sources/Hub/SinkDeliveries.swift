import Atomics
import MQTTBroker
import MQTTWire
import MosquittoClient
import Platform
import ResultSink
import Telemetry

/// The file sink on the query's thread.
final class FileDelivery: ResultDelivery {
    private let sink: FileSink

    init(
        root: String, directory: String, log: ResultLog, appended: Set<String>, excluded: Set<String>,
        files: any FileStore, clock: any HubClock
    ) throws {
        sink = try FileSink(
            root: root, files: files, log: log, cursorPath: directory + "/files.cursor", appended: appended,
            excluded: excluded, clock: clock)
    }

    func deliver(isStopping: Bool) -> SinkStatus {
        var failure: String?
        do {
            while try sink.deliver() {}
            if isStopping { try sink.stop() }
        } catch {
            // Tried again at the next turn; the rows stay in the outbox.
            failure = String(describing: error)
        }
        let counters = sink.counters
        return SinkStatus(
            name: "files", offered: Int(counters.offered), delivered: Int(counters.delivered),
            outbox: Int(counters.outbox), diverted: Int(counters.diverted), position: sink.position,
            failure: failure)
    }
}

/// Publishes result rows on the hub's own topics, QoS 1; those of some outputs are retained.
///
/// The outbox is where these retained messages are kept: at a start the newest row of each topic that it still holds
/// is retained again, with the `_rid` it had, and sent to nobody. The cursor follows when a row is durable for the
/// sessions that wait for it.
final class TopicDelivery: ResultDelivery {
    private let log: ResultLog
    /// Outputs whose rows are states with a last value; those of others are sequences of events.
    private let retained: Set<String>
    private let loop: BrokerLoop
    private let cursor: SinkCursor
    private var position: UInt64
    private var savedPosition: UInt64
    private var delivered = 0
    /// Portions that are on their way to the event loop.
    private let waiting = ManagedAtomic<Int>(0)
    /// Where rows begin that the sessions of the broker may not have on disk yet.
    private let confirmed: ManagedAtomic<UInt64>
    /// Portions on their way at most, then the rest waits in the outbox for the next turn, a fifth of a second later:
    /// the minute of a million devices must not lie in memory whole.
    private static let waitingMax = 16
    private static let portionRows = 1_000

    init(
        directory: String, log: ResultLog, retained: Set<String>, loop: BrokerLoop, files: any FileStore
    ) throws {
        self.log = log
        self.retained = retained
        self.loop = loop
        cursor = SinkCursor(path: directory + "/topics.cursor", files: files)
        let end = log.endPosition
        position = min(try cursor.load() ?? 0, end)
        savedPosition = position
        confirmed = ManagedAtomic(position)
        if !retained.isEmpty { try retainNewest(before: position) }
    }

    private func retainNewest(before end: UInt64) throws {
        var newest: [String: Message] = [:]
        var at = log.startPosition
        while at < end {
            let entries = try log.read(from: at, limit: 10_000)
            guard let last = entries.last else { break }
            for entry in entries
            where entry.kind == .row && entry.position < end && retained.contains(entry.output) {
                newest[entry.topic] = message(entry)
            }
            at = last.nextPosition
        }
        handOver(newest.sorted { $0.key < $1.key }.map(\.value)) { [loop] in loop.retainAgain($0) }
    }

    func deliver(isStopping: Bool) -> SinkStatus {
        var failure: String?
        do {
            while isStopping || waiting.load(ordering: .relaxed) < Self.waitingMax {
                let entries = try log.read(from: position, limit: Self.portionRows)
                guard let last = entries.last else { break }
                let messages = entries.filter { $0.kind == .row && !$0.topic.isEmpty }.map(message)
                handOver(messages) { [loop] in loop.publish($0) }
                delivered += messages.count
                position = last.nextPosition
                confirm(position)
            }
            let confirmed = confirmed.load(ordering: .acquiring)
            if confirmed != savedPosition {
                try cursor.save(confirmed)
                savedPosition = confirmed
            }
        } catch {
            failure = String(describing: error)
        }
        return SinkStatus(
            name: "topics", offered: delivered, delivered: delivered, outbox: 0, diverted: 0,
            position: savedPosition,
            failure: failure)
    }

    /// Behind the messages that were handed over: the cursor may follow when they are durable.
    private func confirm(_ position: UInt64) {
        loop.executor.execute { [loop, confirmed] in
            loop.whenJournalIsDurable { confirmed.store(position, ordering: .releasing) }
        }
    }

    /// Hands messages to the event loop in portions, so that devices are heard in between.
    private func handOver(_ messages: [Message], _ take: @escaping @Sendable (Message) -> Void) {
        var rest = messages[...]
        while !rest.isEmpty {
            let portion = rest.prefix(Self.portionRows)
            rest = rest.dropFirst(Self.portionRows)
            waiting.wrappingIncrement(ordering: .relaxed)
            loop.executor.execute { [waiting] in
                for message in portion { take(message) }
                waiting.wrappingDecrement(ordering: .relaxed)
            }
        }
    }

    private func message(_ entry: ResultLogEntry) -> Message {
        var properties = Properties()
        properties.contentType = "application/json"
        properties.payloadFormatIndicator = 1
        properties.userProperties = [UserProperty("rid", entry.rid.description)]
        return Message(
            topic: entry.topic, payload: entry.json, qos: .atLeastOnce,
            retain: retained.contains(entry.output), properties: properties,
            isRestoredByHub: retained.contains(entry.output))
    }
}

/// Forwards result rows to another broker; a thread of libmosquitto's does the work.
final class DownstreamDelivery: ResultDelivery, @unchecked Sendable {
    // Guard: `sink` is set in `open`: before any thread is started, and then on the query's thread only; `stop`
    // comes when that thread has ended.
    private var sink: DownstreamSink?
    private let loop: MosquittoLoop
    private let url: MosquittoURL
    private let clientIdentifier: String
    private let directory: String
    private let files: any FileStore
    private let log: @Sendable (String) -> Void

    init(
        url: MosquittoURL, clientIdentifier: String, directory: String, files: any FileStore,
        log: @escaping @Sendable (String) -> Void
    ) throws {
        self.url = url
        self.clientIdentifier = clientIdentifier
        self.directory = directory
        self.files = files
        self.log = log
        loop = try MosquittoLoop(name: "headend-down")
    }

    func open(_ outbox: ResultLog) throws {
        // Opened anew after a failure: the cursor on disk says where to go on.
        sink?.stop()
        let sink = try DownstreamSink(
            url: url, clientIdentifier: clientIdentifier, outbox: OutboxOfLog(log: outbox),
            cursorPath: directory + "/downstream.cursor", files: files, loop: loop, log: log,
            authorityFile: url.authorityFile)
        sink.start()
        self.sink = sink
    }

    func deliver(isStopping: Bool) -> SinkStatus {
        guard let sink else { preconditionFailure("opened before the first delivery") }
        sink.wake()
        let counters = sink.counters
        return SinkStatus(
            name: "downstream", offered: Int(counters.offered), delivered: Int(counters.delivered),
            outbox: Int(counters.outbox), diverted: 0, position: counters.savedPosition,
            failure: counters.failure)
    }

    func stop() {
        sink?.stop()
        loop.stop()
    }
}

/// The result log as the downstream sink reads it.
private struct OutboxOfLog: OutboxReader {
    let log: ResultLog

    var endPosition: UInt64 { log.endPosition }

    func read(from position: UInt64, limit: Int) throws -> [OutboxEntry] {
        try log.read(from: position, limit: limit).map {
            OutboxEntry(
                position: $0.position, nextPosition: $0.nextPosition,
                isRow: $0.kind == .row && !$0.topic.isEmpty, topic: $0.topic,
                rid: $0.rid.description, json: $0.json)
        }
    }
}
