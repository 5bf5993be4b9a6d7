import MosquittoClient
import Platform
import ResultSink
import Synchronization
import Telemetry

/// The other broker that result rows go to: one connection a query, all on one thread of libmosquitto's.
package final class DownstreamBroker: Sendable {
    let url: MosquittoURL
    private let hub: String
    private let loop: MosquittoLoop
    private let log: @Sendable (String) -> Void
    private let sinks = Mutex<[DownstreamSink]>([])

    /// Queries that forward rows, the default one included. Each has a connection, a thread and up to 1,000 rows in
    /// memory; many outputs fit into one query.
    static let queriesMax = 64

    /// - Parameters:
    ///   - hub: what client identifiers begin with; two hubs must not share it.
    ///   - log: gets a line when delivery stops and when it goes on.
    /// - Throws: when the system gives no thread.
    init(url: MosquittoURL, hub: String, log: @escaping @Sendable (String) -> Void) throws {
        self.url = url
        self.hub = hub
        self.log = log
        loop = try MosquittoLoop(name: "headend-down")
    }

    /// Connects for one query.
    ///
    /// - Throws: `.conflict` beyond `queriesMax`, or what is wrong with the cursor.
    func open(
        _ query: QueryDefinition, _ outbox: any OutboxReader, cursorPath: String, files: any FileStore
    ) throws -> DownstreamSink {
        let sink = try DownstreamSink(
            url: url, clientIdentifier: query.isDefault ? hub : "\(hub)-\(query.name)", outbox: outbox,
            cursorPath: cursorPath, files: files, loop: loop, log: log, authorityFile: url.authorityFile,
            label: query.isDefault ? nil : query.name)
        try sinks.withLock { sinks in
            guard sinks.count < Self.queriesMax else { throw Self.full }
            sinks.append(sink)
        }
        sink.start()
        return sink
    }

    /// Whether one more query can forward rows.
    var hasRoom: Bool { sinks.withLock { $0.count < Self.queriesMax } }

    static let full = QueryRequestError(
        .conflict,
        "\(queriesMax) queries have rows that go downstream, and no more may: give one of them more outputs")

    /// Ends one query's connection; what is not acknowledged is sent when it is opened again.
    ///
    /// - Parameter drain: how long to wait for rows that are on their way.
    func close(_ sink: DownstreamSink, drain: Duration) {
        let isOpen = sinks.withLock { sinks in
            let index = sinks.firstIndex { $0 === sink }
            if let index { sinks.remove(at: index) }
            return index != nil
        }
        if isOpen { sink.stop(drain: drain) }
    }

    /// Ends all connections, each when its rows are away or after two seconds. When nobody uses them any more.
    func stop() {
        let open = sinks.withLock { sinks in
            defer { sinks = [] }
            return sinks
        }
        SideBySide.run(open.count, threads: open.count) { open[$0].stop() }
        loop.stop()
    }
}
