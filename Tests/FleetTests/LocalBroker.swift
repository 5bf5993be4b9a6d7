import Foundation
import MosquittoClient
import Platform
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// A mosquitto of the system on a free port of 127.0.0.1, ended with its owner.
final class LocalBroker {
    static let executable: String? = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"].first {
        FileManager.default.isExecutableFile(atPath: $0)
    }

    let port: UInt16
    let folder: Folder
    private var process: Process?

    init() throws {
        port = Self.freePort()
        folder = try Folder([
            "mosquitto.conf": """
            listener \(port) 127.0.0.1
            allow_anonymous true
            max_queued_messages 0
            """
        ])
        try start()
    }

    deinit { stop() }

    var url: MosquittoURL { MosquittoURL(host: "127.0.0.1", port: port) }

    func start() throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Self.executable ?? "/usr/sbin/mosquitto")
        process.arguments = ["-c", folder.path + "/mosquitto.conf"]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        self.process = process
        let end = SystemClock().monotonicNanoseconds() + 10_000_000_000
        while !accepts(), SystemClock().monotonicNanoseconds() < end { sched_yield() }
    }

    private func accepts() -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                connect(descriptor, generic, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }

    /// Ends the broker and everything it holds in memory, sessions included.
    func stop() {
        guard let process else { return }
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        self.process = nil
    }

    private static func freePort() -> UInt16 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        return withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                _ = bind(descriptor, generic, length)
                _ = getsockname(descriptor, generic, &length)
            }
            return UInt16(bigEndian: pointer.pointee.sin_port)
        }
    }
}

/// A client that counts what it receives by message id.
///
/// `@unchecked Sendable`: `client` is touched on the loop's thread only; `state` has its own lock.
final class Listener: @unchecked Sendable {
    struct State {
        var isSubscribed = false
        /// In order of arrival.
        var messages: [(id: String, topic: String, payload: [UInt8])] = []
    }
    let state = Monitor(State())
    private let loop: MosquittoLoop
    private let client: MosquittoClient

    init(url: MosquittoURL) throws {
        let loop = try MosquittoLoop(name: "listener")
        let client = try MosquittoClient(
            loop: loop, identifier: "listener", cleanStart: false, sessionExpirySeconds: 600,
            inflightMax: 1_000)
        self.loop = loop
        self.client = client
        client.reconnects = true
        client.backoff.initial = .milliseconds(50)
        client.backoff.maximum = .milliseconds(50)
        client.onConnect = { [weak client] reason, _ in
            if reason == 0 { _ = try? client?.subscribe("#", qos: 1) }
        }
        client.onSubscribed = { [state] _, _ in state.update { $0.isSubscribed = true } }
        client.onMessage = { [state] message in
            let id = message.userProperty("message-id") ?? message.topic
            state.update { $0.messages.append((id, message.topic, message.payload)) }
        }
        loop.perform { try? client.connect(host: url.host, port: url.port) }
    }

    deinit { loop.stop() }

    func waitUntilSubscribed() -> Bool {
        state.wait(timeoutNanoseconds: 10_000_000_000, until: { $0.isSubscribed }, then: { $0.isSubscribed })
    }

    /// Returns when so many messages are there, or after 20 seconds.
    func wait(count: Int) -> [(id: String, topic: String, payload: [UInt8])] {
        state.wait(
            timeoutNanoseconds: 20_000_000_000, until: { $0.messages.count >= count }, then: { $0.messages })
    }
}
