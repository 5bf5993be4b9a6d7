import MosquittoClient
import Platform

/// Senders on other people's client libraries, both versions of MQTT and both qualities of service that are
/// acknowledged.
final class Senders {
    private let loop: MosquittoLoop
    private let library: [LibraryDevice]
    private let commands: [CommandDevice]
    private let paho: [PahoDevice]

    /// - Parameter hasCommands: also a `mosquitto_pub` a message; those give up on a hub that does not answer, so
    ///   only where it soon does.
    init(_ hub: HubProcess, hasCommands: Bool) throws {
        let loop = try MosquittoLoop(name: "senders")
        self.loop = loop
        let port = hub.mqttPort
        let kinds: [(String, MosquittoVersion, UInt8)] = [
            ("library-5-1", .v5, 1), ("library-5-2", .v5, 2), ("library-3-1", .v311, 1),
            ("library-3-2", .v311, 2),
        ]
        library = try kinds.map { try LibraryDevice($0.0, loop: loop, version: $0.1, qos: $0.2, port: port) }
        commands =
            hasCommands
            ? [
                CommandDevice("command-5-1", options: ["-V", "mqttv5", "-q", "1"], port: port),
                CommandDevice("command-3-2", options: ["-V", "mqttv311", "-q", "2"], port: port),
            ] : []
        paho = [
            try PahoDevice("paho-5-1", version: "v5", qos: 1, hub: hub),
            try PahoDevice("paho-3-2", version: "v311", qos: 2, hub: hub),
        ]
    }

    deinit {
        for device in library { device.stop() }
        for device in commands { device.stop() }
        loop.stop()
    }

    /// Of libmosquitto's devices and of the commands.
    var ackedCount: Int {
        library.reduce(0) { $0 + $1.state.withLock { $0.acked.count } }
            + commands.reduce(0) { $0 + $1.state.withLock { $0.acked.count } }
    }

    /// Waits until each of libmosquitto's and paho's devices has had so many more acknowledgements.
    func hasProgress(by count: Int, seconds: Double) -> Bool {
        let start = counts
        return poll(seconds: seconds) {
            zip(counts, start).allSatisfy { $0 >= $1 + count } ? true : nil
        } ?? false
    }

    private var counts: [Int] {
        library.map { $0.state.withLock { $0.acked.count } } + paho.map { $0.acked.count }
    }

    /// Ends the sending and waits until everything sent is acknowledged.
    func drained() throws -> [Sent] {
        for device in library { device.stop() }
        for device in commands { device.stop() }
        for device in paho { try device.stop() }
        return try library.map { try $0.drained(seconds: 60) } + commands.map { $0.drained() }
            + paho.map { try $0.drained() }
    }
}
