import ConformanceKit
import Testing

/// The vectors of MQTTConformanceTests, over TCP against the hub itself.
@Suite("Conformance vectors against the running hub", .ownThread, .timeLimit(.minutes(3)))
struct VectorTests {
    private final class Host: VectorHost {
        private let port: UInt16

        init(port: UInt16) { self.port = port }

        func open() throws -> any VectorSocket { Socket(try RawSocket(port: port)) }

        /// Never called: what needs it is left out.
        func wait(seconds: Double) {}
    }

    private final class Socket: VectorSocket {
        private var socket: RawSocket?

        init(_ socket: RawSocket) { self.socket = socket }

        func send(_ bytes: [UInt8]) { socket?.send(bytes) }
        func receive() -> [UInt8] { socket?.receive(upTo: 32_768, seconds: 10) ?? [] }

        func receiveUntilClosed() -> (bytes: [UInt8], isClosed: Bool) {
            socket?.receiveUntilClosed() ?? ([], true)
        }

        func drop() { socket = nil }
    }

    @Test("Every vector in which no time passes, in every version it is for")
    func vectors() throws {
        let hub = try HubProcess()
        let host = Host(port: hub.mqttPort)
        var runs = 0
        for (index, vector) in try Vector.all().enumerated() where !vector.isInMemoryOnly {
            for version in vector.versions {
                runs += 1
                let runner = VectorRunner(host: host, version: version, run: "p\(index)v\(version)")
                #expect(throws: Never.self) { try runner.run(vector) }
            }
        }
        #expect(runs >= 400)
        #expect(try hub.stop() == 0, "\(hub.transcript)")
    }
}
