import MosquittoClient
import Platform
import ResultSink
import Telemetry

/// The file sink on the query's thread.
final class FileDelivery: ResultDelivery {
    private let sink: FileSink
    private var failure: String?

    init(
        root: String, directory: String, reader: ResultReader, appended: Set<String>, excluded: Set<String>,
        files: any FileStore, clock: any HubClock
    ) throws {
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
        let counters = sink.counters
        defer { failure = nil }
        return SinkStatus(
            name: "files", offered: Int(counters.offered), delivered: Int(counters.delivered),
            outbox: Int(counters.outbox), diverted: Int(counters.diverted), position: sink.position,
            failure: failure)
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

    /// Nothing: it goes on by itself.
    func advance(isStopping: Bool) -> Bool { false }

    func settle(isStopping: Bool) -> SinkStatus {
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
    private let reader: ResultReader
    /// For what is counted ahead of what is read.
    private let counter: ResultReader

    init(log: ResultLog) {
        reader = ResultReader(log)
        counter = ResultReader(log)
    }

    var endPosition: UInt64 { reader.log.endPosition }

    func read(from position: UInt64, limit: Int) throws -> [OutboxEntry] {
        guard let batch = try reader.batch(from: position) else { return [] }
        return batch.entries(from: position).prefix(limit).map { entry in
            guard Self.isSent(entry) else {
                return OutboxEntry(
                    position: entry.position, nextPosition: entry.nextPosition, isRow: false, topic: "",
                    rid: "", json: [])
            }
            return OutboxEntry(
                position: entry.position, nextPosition: entry.nextPosition, isRow: true,
                topic: String(decoding: entry.topic, as: UTF8.self), rid: entry.rid.description,
                json: Array(entry.json))
        }
    }

    func countRows(from position: UInt64) throws -> (rows: Int, end: UInt64) {
        guard let batch = try counter.batch(from: position) else { return (0, position) }
        return (batch.entries(from: position).count(where: Self.isSent), batch.endPosition)
    }

    private static func isSent(_ entry: ResultEntryView) -> Bool { entry.isRow && !entry.topic.isEmpty }
}
