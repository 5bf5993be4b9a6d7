import NIOCore
import Platform

/// SwiftNIO's end of a connection: bytes from the channel to the core, bytes from the core to the channel.
///
/// `@unchecked Sendable`: confined to its channel's event loop.
final class NIOConnectionHandler: ChannelDuplexHandler, ConnectionTransport, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let loop: BrokerLoop
    private let clock: any HubClock
    private var connection: Connection?
    private var context: ChannelHandlerContext?
    /// The beginning of a frame whose rest has not come yet.
    private var partial: ByteBuffer?
    private var isClosing = false

    init(loop: BrokerLoop, clock: any HubClock) {
        self.loop = loop
        self.clock = clock
    }

    func channelActive(context: ChannelHandlerContext) {
        self.context = context
        guard let connection = loop.addConnection(now: clock.monotonicNanoseconds()) else {
            context.close(promise: nil)
            return
        }
        connection.transport = self
        self.connection = connection
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        if let connection { loop.removeConnection(connection) }
        connection = nil
        self.context = nil
        partial = nil
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard let connection, !isClosing else { return }
        var bytes = unwrapInboundIn(data)
        if var joined = partial {
            partial = nil
            joined.writeBuffer(&bytes)
            bytes = joined
        }
        let now = clock.monotonicNanoseconds()
        let used = bytes.withUnsafeReadableBytes { connection.receive($0, now: now) }
        if used < bytes.readableBytes {
            bytes.moveReaderIndex(forwardBy: used)
            if used > 0 || partial == nil { partial = keep(bytes) }
        }
    }

    /// Keeps the rest of a read in memory of its own size, so that the read buffer can be used again.
    private func keep(_ rest: ByteBuffer) -> ByteBuffer {
        if rest.readerIndex == 0 { return rest }
        var kept = ByteBuffer()
        kept.reserveCapacity(rest.readableBytes)
        kept.writeImmutableBuffer(rest)
        return kept
    }

    func read(context: ChannelHandlerContext) {
        guard let connection, !loop.mayRead(connection) else {
            context.read()
            return
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if let connection { loop.writabilityChanged(connection, isWritable: context.channel.isWritable) }
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A reset or a broken pipe: the network's business, not an operator's.
        context.close(promise: nil)
    }

    // MARK: ConnectionTransport

    func send(_ bytes: UnsafeRawBufferPointer) {
        guard let context, !isClosing else { return }
        var buffer = context.channel.allocator.buffer(capacity: bytes.count)
        buffer.writeBytes(bytes)
        context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
    }

    func closeAfterFlush() {
        guard let context, !isClosing else { return }
        isClosing = true
        let channel = context.channel
        // The empty write completes behind all that was written before it.
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in channel.close(promise: nil) }
        // A peer that never reads must not hold the socket.
        context.eventLoop.scheduleTask(in: .seconds(5)) { channel.close(promise: nil) }
    }

    func resumeReading() { context?.read() }
}
