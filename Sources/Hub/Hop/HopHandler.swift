import NIOCore

/// The last handler of a channel of SwiftNIO's: its bytes go to the broker's loop, the broker's bytes come from
/// there.
///
/// Confined to its event loop.
final class HopHandler: ChannelDuplexHandler, HopSocket {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = Never
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    private let end: HopSocketEnd
    private let origin: ConnectionOrigin
    /// What is sent leaves as WebSocket frames.
    private let isFramed: Bool
    /// Ends the connection without a last word.
    private let cut: () -> Void
    private var context: ChannelHandlerContext?
    private var port: HopPort?
    /// Something wants to read, and may not.
    private var isReadWanted = false
    /// Bytes that were sent while the channel was full: no more than `HopLimits.sentBytesMax`.
    private var waitingBytes = 0
    /// Those of them that were not written yet: together they cost one write, which is kilobytes under TLS however
    /// short it is.
    private var gathered = ByteBuffer()

    init(_ end: HopSocketEnd, origin: ConnectionOrigin, isFramed: Bool, cut: @escaping () -> Void) {
        self.end = end
        self.origin = origin
        self.isFramed = isFramed
        self.cut = cut
    }

    // MARK: From the channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        port = end.opened(self, from: origin)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        ended()
        self.context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard let port else { return }
        unwrapInboundIn(data).withUnsafeReadableBytes { end.received($0, on: port) }
    }

    func read(context: ChannelHandlerContext) {
        // Behind its end nobody listens: what still comes is read and forgotten, so that the end is noticed.
        guard let port, !end.mayRead(port) else { return context.read() }
        isReadWanted = true
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        guard context.channel.isWritable, waitingBytes > 0, port != nil else { return }
        tellSent(waitingBytes - gathered.readableBytes)
        writeGathered(context)
        if context.channel.isWritable { tellSent(waitingBytes) }
    }

    private func tellSent(_ byteCount: Int) {
        waitingBytes -= byteCount
        if let port { end.sent(byteCount, on: port) }
    }

    func channelInactive(context: ChannelHandlerContext) { ended() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        ended()
        cut()
    }

    private func ended() {
        if let port { end.closed(port) }
        port = nil
    }

    // MARK: From the bridge

    func send(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard let context else { return bytes.count }
        if context.channel.isWritable, gathered.readableBytes == 0 {
            write(bytes, context)
            if context.channel.isWritable { return bytes.count }
        } else {
            gathered.writeBytes(bytes)
        }
        waitingBytes += bytes.count
        return 0
    }

    private func writeGathered(_ context: ChannelHandlerContext) {
        guard gathered.readableBytes > 0 else { return }
        let bytes = gathered
        gathered = ByteBuffer()
        bytes.withUnsafeReadableBytes { write($0, context) }
    }

    private func write(_ bytes: UnsafeRawBufferPointer, _ context: ChannelHandlerContext) {
        var buffer: ByteBuffer
        if isFramed {
            let header = WebSocketFrameHeader.bytes(WebSocketFrameHeader.binary, payloadBytes: bytes.count)
            buffer = context.channel.allocator.buffer(capacity: header.count + bytes.count)
            buffer.writeBytes(header)
        } else {
            buffer = context.channel.allocator.buffer(capacity: bytes.count)
        }
        buffer.writeBytes(bytes)
        context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
    }

    func close() {
        port = nil
        guard let context else { return }
        writeGathered(context)
        // Each handler says its last word, TLS and WebSocket with a time limit of their own.
        context.close(promise: nil)
        resumeReading()
    }

    func abort() {
        port = nil
        cut()
    }

    func resumeReading() {
        guard isReadWanted, let context else { return }
        isReadWanted = false
        context.read()
    }
}
