import Bridge
import MosquittoClient
import Platform
import Synchronization

/// All bridges of a hub, on one client loop.
final class BridgeService: Sendable {
    private let runners: [BridgeRunner]
    private let stores: [BridgeStore]
    private let loop: MosquittoLoop?

    /// Opens what they have on disk.
    ///
    /// - Parameters:
    ///   - hub: what the hub is called on trails and in client identifiers.
    ///   - directory: gets a folder for each.
    /// - Throws: what is damaged and how to go on.
    init(
        _ upstreams: [UpstreamSettings], hub: String, brokerLoop: BrokerLoop, directory: String,
        below root: String,
        files: any FileStore, clock: any HubClock, log: @escaping @Sendable (String) -> Void
    ) throws {
        guard !upstreams.isEmpty else {
            (runners, stores, loop) = ([], [], nil)
            return
        }
        let stores = try upstreams.map {
            try BridgeStore(
                directory: directory + "/" + $0.name, below: root, bytesMax: $0.bufferBytesMax, files: files,
                clock: clock)
        }
        let loop = try MosquittoLoop(name: "bridges")
        self.stores = stores
        self.loop = loop
        runners = zip(upstreams, stores).map { settings, store in
            BridgeRunner(
                settings, hub: hub, brokerLoop: brokerLoop, loop: loop, store: store, clock: clock, log: log)
        }
    }

    var statuses: [BridgeStatus] { runners.map { runner in runner.status.withLock { $0 } } }

    func start() { for runner in runners { runner.start() } }

    /// Ends the connections and the threads; what came from the other brokers and is not durable is not
    /// acknowledged, what is to go there waits on disk.
    func stop() {
        guard let loop else { return }
        let left = Monitor(runners.count)
        for runner in runners {
            loop.perform { runner.stop { left.update { $0 -= 1 } } }
        }
        left.wait(timeoutNanoseconds: 4_000_000_000, until: { $0 == 0 }, then: { _ in })
        for store in stores { store.stop() }
        loop.stop()
    }
}
