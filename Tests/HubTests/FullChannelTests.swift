import NIOCore
import NIOEmbedded
import Testing

@testable import Hub

/// Channels whose peer takes nothing.
@Suite("Full channels")
struct FullChannelTests {
    /// The reads that reach the socket.
    private final class Reads: ChannelOutboundHandler {
        typealias OutboundIn = ByteBuffer
        var count = 0

        func read(context: ChannelHandlerContext) {
            count += 1
            context.read()
        }
    }

    private static func ping(_ payload: [UInt8]) -> [UInt8] {
        [0x89, 0x80 | UInt8(payload.count), 0, 0, 0, 0] + payload
    }

    private static func setWritable(_ isWritable: Bool, _ channel: EmbeddedChannel) {
        channel.isWritable = isWritable
        channel.pipeline.fireChannelWritabilityChanged()
    }

    /// What was written since the last call.
    private static func written(_ channel: EmbeddedChannel) throws -> [[UInt8]] {
        var all: [[UInt8]] = []
        while let buffer = try channel.readOutbound(as: ByteBuffer.self) {
            all.append(Array(buffer.readableBytesView))
        }
        return all
    }

    private static func open(_ reads: Reads) throws -> EmbeddedChannel {
        let channel = EmbeddedChannel()
        try channel.pipeline.syncOperations.addHandlers([reads, WebSocketHandler()])
        return channel
    }

    @Test("The pings of one read get one pong, the newest one's")
    func onePong() throws {
        let channel = try Self.open(Reads())
        try channel.writeInbound(ByteBuffer(bytes: (0..<1_000).flatMap { Self.ping([UInt8($0 & 0xFF)]) }))
        #expect(try Self.written(channel) == [[0x8A, 1, 0xE7]])
        try channel.writeInbound(ByteBuffer(bytes: Self.ping([])))
        #expect(try Self.written(channel) == [[0x8A, 0]])
    }

    @Test("While the channel is full pings get no pong and nothing is read; then there is one")
    func heldPong() throws {
        let reads = Reads()
        let channel = try Self.open(reads)
        Self.setWritable(false, channel)
        channel.pipeline.read()
        #expect(reads.count == 1, "who does not ping is read, whatever waits for it")
        for number in 0..<1_000 {
            try channel.writeInbound(ByteBuffer(bytes: Self.ping([UInt8(number & 0xFF), 7])))
        }
        channel.pipeline.read()
        #expect(try Self.written(channel) == [])
        #expect(reads.count == 1)
        Self.setWritable(true, channel)
        #expect(try Self.written(channel) == [[0x8A, 2, 0xE7, 7]])
        #expect(reads.count == 2, "the read that was wanted")
        Self.setWritable(true, channel)
        channel.pipeline.read()
        #expect(try Self.written(channel) == [])
        #expect(reads.count == 3)
    }

    @Test("At the end of a connection no pong comes behind the close frame, and the peer's end is read")
    func end() throws {
        let reads = Reads()
        let channel = try Self.open(reads)
        Self.setWritable(false, channel)
        try channel.writeInbound(ByteBuffer(bytes: Self.ping([1])))
        channel.pipeline.read()
        channel.close(promise: nil)
        #expect(reads.count == 1)
        Self.setWritable(true, channel)
        #expect(try Self.written(channel) == [[0x88, 2, 0x03, 0xE8]])
    }

    @Test("What is sent while the channel is full goes in one write, and counts as sent when it is taken")
    func gathered() throws {
        let bench = try HopBench()
        let handler = HopHandler(bench.bridge.sockets, origin: .init(listener: 1), isFramed: true) {}
        let channel = EmbeddedChannel(handler: handler)
        func send(_ bytes: [UInt8]) -> Int { bytes.withUnsafeBytes { handler.send($0) } }
        #expect(send([1, 2, 3]) == 3)
        #expect(try Self.written(channel) == [[0x82, 3, 1, 2, 3]])
        Self.setWritable(false, channel)
        for number in UInt8(0)..<100 { #expect(send([number]) == 0) }
        #expect(try Self.written(channel) == [])
        Self.setWritable(true, channel)
        #expect(try Self.written(channel) == [[0x82, 100] + Array(0..<100)])
        #expect(send([9]) == 1)
        Self.setWritable(false, channel)
        #expect(send([4]) == 0)
        handler.close()
        #expect(try Self.written(channel) == [[0x82, 1, 9], [0x82, 1, 4]], "nothing is lost at the end")
        _ = try? channel.finish()
    }
}
