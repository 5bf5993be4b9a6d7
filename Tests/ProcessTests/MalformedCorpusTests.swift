import Foundation
import Testing

/// The corpus of MQTTWireTests, whose head explains it, against the hub itself.
@Suite("Malformed packets against the running hub", .ownThread, .timeLimit(.minutes(3)))
struct MalformedCorpusTests {
    private enum Answer: Equatable {
        case nothing
        case connack(UInt8)
        case disconnect(UInt8)
        case other([UInt8])
    }

    private struct Case {
        var name: String
        var version: UInt8
        var isConnected: Bool
        var bytes: [UInt8]
        var expected: Answer
    }

    @Test("Every case of the corpus gets its answer and its end, and a neighbour notices nothing")
    func corpus() throws {
        let cases = try Self.read()
        try #require(cases.count >= 60)
        let hub = try HubProcess()
        let neighbour = try RawSocket(port: hub.mqttPort)
        neighbour.send(Self.connect(version: 4, identifier: "neighbour"))
        #expect(neighbour.receive(count: 4) == [0x20, 2, 0, 0])
        neighbour.send([0x82, 8, 0, 1, 0, 3] + Array("n/#".utf8) + [1])
        #expect(neighbour.receive(count: 5) == [0x90, 3, 0, 1, 1])
        for (index, malformed) in cases.enumerated() {
            let found = try Self.answer(malformed, port: hub.mqttPort, identifier: "case-\(index)")
            #expect(found.answer == malformed.expected, "\(malformed.name)")
            #expect(found.isClosed, "\(malformed.name): the connection stays open")
            // It publishes to itself at QoS 1: the message comes back, and the acknowledgement.
            neighbour.send([0x32, 8, 0, 3] + Array("n/x".utf8) + [0, 7, 0x41])
            let echo = neighbour.receive(count: 14)
            #expect(echo.count == 14, "\(malformed.name): the neighbour got \(echo)")
            if echo.count == 14 {
                let packets = echo[0] == 0x40 ? Array(echo[..<4]) : Array(echo[10...])
                #expect(packets == [0x40, 2, 0, 7], "\(malformed.name): the neighbour's PUBACK")
                let at = echo[0] == 0x40 ? 4 : 0
                neighbour.send([0x40, 2, echo[at + 7], echo[at + 8]])
            }
        }
        #expect(try hub.status()["connections"] as? Int == 1)
        #expect(try hub.stop() == 0, "\(hub.transcript)")
    }

    private static func answer(
        _ malformed: Case, port: UInt16, identifier: String
    ) throws -> (answer: Answer, isClosed: Bool) {
        let socket = try RawSocket(port: port)
        if malformed.isConnected {
            let level: UInt8 = malformed.version == 5 ? 5 : 4
            socket.send(connect(version: level, identifier: identifier))
            let head = socket.receive(count: 2)
            guard head.count >= 2, head[0] == 0x20 else { return (.other(head), false) }
            var connack = head
            if connack.count < 2 + Int(head[1]) {
                connack += socket.receive(count: 2 + Int(head[1]) - head.count)
            }
            guard connack.count == 2 + Int(head[1]), connack[3] == 0 else { return (.other(connack), false) }
        }
        socket.send(malformed.bytes)
        let (bytes, isClosed) = socket.receiveUntilClosed()
        return (classify(bytes, version: malformed.version), isClosed)
    }

    /// One whole packet with nothing behind it, or nothing.
    private static func classify(_ bytes: [UInt8], version: UInt8) -> Answer {
        if bytes.isEmpty { return .nothing }
        guard bytes.count >= 2, bytes.count == 2 + Int(bytes[1]) else { return .other(bytes) }
        switch bytes[0] {
        case 0x20 where bytes.count >= 4 && bytes[2] == 0 && (version == 5) == (bytes.count > 4):
            return .connack(bytes[3])
        case 0xE0 where bytes.count >= 3: return .disconnect(bytes[2])
        default: return .other(bytes)
        }
    }

    private static func connect(version: UInt8, identifier: String) -> [UInt8] {
        var body: [UInt8] = [0, 4] + Array("MQTT".utf8) + [version, 2, 0, 60]
        if version == 5 { body.append(0) }
        body += [0, UInt8(identifier.utf8.count)] + Array(identifier.utf8)
        return [0x10, UInt8(body.count)] + body
    }

    private static func read() throws -> [Case] {
        let file = Programs.repository.appending(path: "Tests/MQTTWireTests/Vectors/malformed.txt")
        let text = try String(contentsOf: file, encoding: .utf8)
        return try text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map { line in
            let fields = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            try #require(fields.count == 6, "\(line)")
            let words = fields[5].split(separator: " ")
            let expected: Answer =
                switch words[0] {
                case "connack": .connack(try #require(UInt8(words[1], radix: 16)))
                case "disconnect": .disconnect(try #require(UInt8(words[1], radix: 16)))
                default: .nothing
                }
            return Case(
                name: "\(fields[0]) (\(fields[1]), \(fields[2]))", version: try #require(UInt8(fields[1])),
                isConnected: fields[3] == "connected",
                bytes: try fields[4].split(separator: " ").map { try #require(UInt8($0, radix: 16)) },
                expected: expected)
        }
    }
}
