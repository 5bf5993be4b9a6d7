import MosquittoClient
import Platform
import ResultSink
import Telemetry

/// The file sink on the query's thread.
final class FileDelivery: ResultDelivery {
    private let sink: FileSink
    private let log: @Sendable (String) -> Void
    private var failure: String?

    /// - Parameter log: gets a line when a file was taken away and is begun anew.
    init(
        root: String, directory: String, reader: ResultReader, appended: Set<String>, excluded: Set<String>,
        files: any FileStore, clock: any HubClock, log: @escaping @Sendable (String) -> Void
    ) throws {
        self.log = log
        sink = try FileSink(
            root: root, files: files, log: reader.log, cursorPath: directory + "/files.cursor",
            reader: reader, appended: appended, excluded: excluded, clock: clock)
    }

    func advance(isStopping: Bool) -> Bool {
        do {
            return try sink.deliver()
        } catch {
            // Tried again at the next turn; the rows stay in the outbox.
            failure = String(describing: error)
            return false
        }
    }

    func settle(isStopping: Bool) -> SinkStatus {
        do {
            if isStopping, failure == nil { try sink.stop() }
        } catch {
            failure = String(describing: error)
        }
        for notice in sink.takeNotices() { log(notice) }
        let counters = sink.counters
        defer { failure = nil }
        return SinkStatus(
            name: "files", offered: Int(counters.offered), delivered: Int(counters.delivered),
            outbox: Int(counters.outbox), diverted: Int(counters.diverted), position: sink.position,
            failure: failure)
    }
}

/// Forwards rows of one query to the hub's downstream; threads of its own and of libmosquitto's do the work.
final class DownstreamDelivery: ResultDelivery {
    /// As status shows it.
    static let name = "downstream"

    private let broker: DownstreamBroker
    private let sink: DownstreamSink

    /// Goes on where the cursor stands; a query that never had one begins with the rows that are yet to come.
    ///
    /// - Parameter outputs: those whose rows are forwarded; nil for all, those of the system too.
    init(
        to broker: DownstreamBroker, of query: QueryDefinition, outputs: Set<String>?, directory: String,
        log outbox: ResultLog, files: any FileStore
    ) throws {
        self.broker = broker
        let path = directory + "/downstream.cursor"
        let cursor = SinkCursor(path: path, files: files)
        let saved = try cursor.load()
        // Rows that were released while the hub had no downstream are in the files only. What was sent before a crash
        // and no checkpoint covers is made again, maybe at other places of the outbox: it is sent again.
        let end = outbox.endPosition
        let begin = min(max(saved ?? end, outbox.startPosition), end)
        // Before anything is appended: a row that follows is not skipped by a start that finds no cursor.
        if begin != saved { try cursor.save(begin) }
        sink = try broker.open(
            query, OutboxOfLog(log: outbox, outputs: outputs), cursorPath: path, files: files)
    }

    /// Nothing: it goes on by itself.
    func advance(isStopping: Bool) -> Bool { false }

    func settle(isStopping: Bool) -> SinkStatus {
        sink.wake()
        let counters = sink.counters
        return SinkStatus(
            name: Self.name, offered: Int(counters.offered), delivered: Int(counters.delivered),
            outbox: Int(counters.outbox), diverted: 0, position: counters.savedPosition,
            failure: counters.failure)
    }

    func close(isLast: Bool) { broker.close(sink, drain: isLast ? .seconds(1) : .zero) }
}

/// The result log as the downstream sink reads it.
private struct OutboxOfLog: OutboxReader {
    private let reader: ResultReader
    /// For what is counted ahead of what is read.
    private let counter: ResultReader
    /// Those whose rows are sent; nil for all.
    private let outputs: [[UInt8]]?

    init(log: ResultLog, outputs: Set<String>?) {
        reader = ResultReader(log)
        counter = ResultReader(log)
        self.outputs = outputs.map { $0.sorted().map { Array($0.utf8) } }
    }

    var endPosition: UInt64 { reader.log.endPosition }

    func read(from position: UInt64, limit: Int) throws -> [OutboxEntry] {
        guard let batch = try reader.batch(from: position) else { return [] }
        let entries = batch.entries(from: position).prefix(limit).map { entry in
            guard isSent(entry) else {
                return OutboxEntry(
                    position: entry.position, nextPosition: entry.nextPosition, isRow: false, topic: "",
                    rid: "", json: [])
            }
            return OutboxEntry(
                position: entry.position, nextPosition: entry.nextPosition, isRow: true,
                topic: String(decoding: entry.topic, as: UTF8.self), rid: entry.rid.description,
                json: Array(entry.json))
        }
        // A sink that has all keeps no memory for more: there may be hundreds.
        if entries.last?.nextPosition == endPosition { reader.letGo() }
        return entries
    }

    func countRows(from position: UInt64) throws -> (rows: Int, end: UInt64) {
        guard let batch = try counter.batch(from: position) else { return (0, position) }
        defer { if batch.endPosition == endPosition { counter.letGo() } }
        return (batch.entries(from: position).count(where: isSent), batch.endPosition)
    }

    private func isSent(_ entry: ResultEntryView) -> Bool {
        guard entry.isRow, !entry.topic.isEmpty else { return false }
        return outputs?.contains { $0.withUnsafeBytes { isEqual($0, entry.output) } } ?? true
    }
}
