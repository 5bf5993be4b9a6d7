import Foundation

/// Where vectors are run: a hub in memory, or one behind a port.
package protocol VectorHost: AnyObject {
    func open() throws -> any VectorSocket
    /// Lets time pass; never called where vectors with `memory` are left out.
    func wait(seconds: Double)
}

/// A client's end of a connection.
package protocol VectorSocket: AnyObject {
    func send(_ bytes: [UInt8])
    /// Bytes that have come, waiting for them if the host must; empty when none come, or the hub has closed.
    func receive() -> [UInt8]
    func receiveUntilClosed() -> (bytes: [UInt8], isClosed: Bool)
    /// Breaks the connection.
    func drop()
}

/// Runs one vector in one version.
package final class VectorRunner {
    private final class Client {
        let socket: any VectorSocket
        var unread: [UInt8] = []
        var isOver = false

        init(_ socket: any VectorSocket) { self.socket = socket }
    }

    /// What is not as the vector says; nothing after it was run.
    package struct Failure: Error, CustomStringConvertible {
        package var description: String

        package init(description: String) { self.description = description }
    }

    private let host: any VectorHost
    private let version: Int
    private let run: String
    private var clients: [String: Client] = [:]
    private var order: [String] = []

    /// - Parameter run: a text that no other run on this host has.
    package init(host: any VectorHost, version: Int, run: String) {
        self.host = host
        self.version = version
        self.run = run
    }

    /// - Throws: `Failure` with the place in the file.
    package func run(_ vector: Vector) throws {
        defer { for name in order { clients[name]?.socket.drop() } }
        var line = vector.lines.last?.number ?? 0
        do {
            for step in vector.lines {
                line = step.number
                try take(step.step)
            }
            line = vector.lines.last?.number ?? 0
            for name in order where clients[name]?.isOver == false {
                try quiet(name)
                let rest = clients[name]?.unread ?? []
                guard rest.isEmpty else { throw Failure(description: "\(name) got \(hex(rest)) as well") }
            }
        } catch let failure as Failure {
            let place = "\(vector.file):\(line): \(vector.name), version \(version)"
            throw Failure(description: "\(place): \(failure)")
        }
    }

    private func take(_ step: Vector.Step) throws {
        switch step {
        case .send(let name, let tokens): try client(name).socket.send(bytes(tokens))
        case .expect(let name, let tokens): try expect(tokens, at: name)
        case .connect(let name, let start, let properties): try connect(name, start, properties)
        case .quiet(let name): try quiet(name)
        case .closed(let name): try closed(name)
        case .bye(let name):
            try client(name).socket.send([0xE0, 0])
            try closed(name)
        case .drop(let name):
            try client(name).socket.drop()
            clients[name]?.isOver = true
        case .wait(let seconds): host.wait(seconds: seconds)
        }
    }

    private func bytes(_ tokens: [Token]) -> [UInt8] {
        tokens.bytes(version: version, run: run).map { $0 ?? 0 }
    }

    /// The client's connection, which is opened when it is first spoken of, or again after its end.
    private func client(_ name: String) throws -> Client {
        if let client = clients[name], !client.isOver { return client }
        let client = Client(try host.open())
        if clients[name] == nil { order.append(name) }
        clients[name] = client
        return client
    }

    private func connect(_ name: String, _ start: Vector.Start, _ properties: [Token]) throws {
        let level: UInt8 = version == 5 ? 5 : 4
        let hour: [Token] = start == .clean ? [] : [.bytes([0x11, 0, 0, 0x0E, 0x10])]
        var inner = hour
        if case .properties(let more)? = properties.first { inner += more }
        let packet: [Token] = [
            .bytes([0x10]),
            .group([
                .text("MQTT", isPrefixed: true), .bytes([level, start == .clean ? 2 : 0, 0, 0]),
                .properties(inner), .text("~" + name, isPrefixed: true),
            ]),
        ]
        try client(name).socket.send(bytes(packet))
        let connack: [Token] = [
            .bytes([0x20]), .group([.bytes([start == .resume ? 1 : 0, 0]), .anyRest]),
        ]
        try expect(connack, at: name)
    }

    private func quiet(_ name: String) throws {
        try client(name).socket.send([0xC0, 0])
        try expect([.bytes([0xD0, 0])], at: name)
    }

    private func closed(_ name: String) throws {
        guard let client = clients[name], !client.isOver else {
            throw Failure(description: "\(name) is not there")
        }
        let end = client.socket.receiveUntilClosed()
        let rest = client.unread + end.bytes
        guard rest.isEmpty else { throw Failure(description: "\(name) got \(hex(rest)) before its end") }
        guard end.isClosed else { throw Failure(description: "\(name) is not closed") }
        client.isOver = true
    }

    private func expect(_ tokens: [Token], at name: String) throws {
        guard let client = clients[name], !client.isOver else {
            throw Failure(description: "\(name) is not there")
        }
        // Not a packet of this version.
        if tokens.bytes(version: version, run: run).isEmpty { return }
        guard let packet = next(client) else {
            throw Failure(description: "\(name) got no packet, but \(hex(client.unread))")
        }
        let wanted: [UInt8?]
        if tokens.hasAnyRest {
            let rest = max(packet.count - tokens.bytes(version: version, run: run).count, 0)
            // A length of more than one byte takes some of what is left.
            let choices = (max(rest - 3, 0)...rest).reversed().map {
                tokens.bytes(version: version, run: run, anyRest: $0)
            }
            wanted = choices.first { $0.count == packet.count } ?? choices[0]
        } else {
            wanted = tokens.bytes(version: version, run: run)
        }
        let isSame =
            wanted.count == packet.count && zip(wanted, packet).allSatisfy { $0 == nil || $0 == $1 }
        guard isSame else {
            throw Failure(description: "\(name) got \(hex(packet)) and not \(hex(wanted))")
        }
    }

    /// The next whole packet, if one comes.
    private func next(_ client: Client) -> [UInt8]? {
        while true {
            if let count = Self.packetBytes(client.unread) {
                defer { client.unread.removeFirst(count) }
                return Array(client.unread[..<count])
            }
            let more = client.socket.receive()
            if more.isEmpty { return nil }
            client.unread += more
        }
    }

    /// The length of the packet at the front, when it is whole.
    private static func packetBytes(_ bytes: [UInt8]) -> Int? {
        var length = 0
        for index in 1..<5 where index < bytes.count {
            length |= Int(bytes[index] & 0x7F) << (7 * (index - 1))
            if bytes[index] < 0x80 {
                let count = index + 1 + length
                return bytes.count >= count ? count : nil
            }
        }
        return nil
    }

    private func hex(_ bytes: [UInt8]) -> String { hex(bytes.map(Optional.some)) }

    private func hex(_ bytes: [UInt8?]) -> String {
        let shown = bytes.prefix(80).map { byte in byte.map { String(format: "%02X", $0) } ?? ".." }
        return shown.joined(separator: " ") + (bytes.count > 80 ? " … (\(bytes.count) bytes)" : "")
    }
}
