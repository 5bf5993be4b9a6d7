import Glibc
import Platform

/// A TCP peer that answers MQTT packets as a script says, one connection after the other.
final class FakePeer: Sendable {
    enum Reply: Sendable {
        case bytes([UInt8])
        case nothing
        /// Sends the bytes and closes the connection.
        case close([UInt8])
    }

    struct Packet: Sendable, Equatable {
        /// 0 for the first connection.
        var connection: Int
        var firstByte: UInt8
        var body: [UInt8]

        /// The topic of a PUBLISH.
        var topic: String {
            guard body.count >= 2 else { return "" }
            let count = Int(body[0]) << 8 | Int(body[1])
            return String(decoding: body.dropFirst(2).prefix(count), as: UTF8.self)
        }

        /// The packet identifier's two bytes of a PUBLISH at QoS 1 or 2.
        var identifier: [UInt8] {
            guard body.count >= 2 else { return [] }
            let count = Int(body[0]) << 8 | Int(body[1])
            return Array(body.dropFirst(2 + count).prefix(2))
        }
    }

    let port: UInt16
    let packets = Inbox<Packet>()
    private let descriptor: Int32
    private let thread: NamedThread

    init(_ script: @escaping @Sendable (Packet) -> Reply) throws {
        let (descriptor, port) = try FreePort.listener(backlog: 16)
        self.descriptor = descriptor
        self.port = port
        let packets = packets
        thread = NamedThread("fake-peer") {
            var connection = 0
            while case let socket = accept(descriptor, nil, nil), socket >= 0 {
                Self.serve(socket, connection, packets, script)
                close(socket)
                connection += 1
            }
        }
    }

    /// Takes no more connections; the one at hand ends with its client.
    func stop() {
        shutdown(descriptor, Int32(SHUT_RDWR))
        thread.join()
        close(descriptor)
    }

    private static func serve(
        _ socket: Int32, _ connection: Int, _ packets: Inbox<Packet>, _ script: (Packet) -> Reply
    ) {
        while let packet = readPacket(socket, connection) {
            packets.append(packet)
            switch script(packet) {
            case .bytes(let bytes): _ = send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL))
            case .nothing: break
            case .close(let bytes):
                _ = send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL))
                return
            }
        }
    }

    private static func readPacket(_ socket: Int32, _ connection: Int) -> Packet? {
        func bytes(_ count: Int) -> [UInt8]? {
            var buffer = [UInt8](repeating: 0, count: count)
            if count == 0 { return buffer }
            return recv(socket, &buffer, count, Int32(MSG_WAITALL)) == count ? buffer : nil
        }
        guard let first = bytes(1)?[0] else { return nil }
        var length = 0
        for shift in [0, 7, 14, 21] {
            guard let byte = bytes(1)?[0] else { return nil }
            length |= Int(byte & 0x7F) << shift
            if byte < 0x80 { break }
        }
        guard let body = bytes(length) else { return nil }
        return Packet(connection: connection, firstByte: first, body: body)
    }
}
