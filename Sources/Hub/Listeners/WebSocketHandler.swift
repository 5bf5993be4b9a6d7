import NIOCore

/// WebSocket frames of a client in, MQTT bytes out, and the other way only what is no data: the frames around what
/// the hub sends are written by `HopHandler`.
///
/// Confined to its event loop.
final class WebSocketHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// How long a peer may take to answer a close frame.
    private static let closeTimeout = TimeAmount.seconds(5)

    private var reader = WebSocketReader()
    private enum State {
        case open
        /// A close frame has left; the peer's is awaited.
        case closing
        case closed
    }
    private var state = State.open
    private var closeTimer: Scheduled<Void>?
    /// The payload of a ping that has no answer yet, 125 bytes at most: the newest is enough (RFC 6455 §5.5.3).
    private var unanswered: [UInt8]?
    /// Something wants to read, and a peer that pings and does not read may not be.
    private var isReadWanted = false

    func handlerRemoved(context: ChannelHandlerContext) { closeTimer?.cancel() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard state != .closed else { return }
        let frames = unwrapInboundIn(data)
        var payload = context.channel.allocator.buffer(capacity: frames.readableBytes)
        var controls: [WebSocketReader.Control] = []
        var violation: WebSocketReader.Violation?
        payload.writeWithUnsafeMutableBytes(minimumWritableBytes: frames.readableBytes) { target in
            frames.withUnsafeReadableBytes { source in
                do throws(WebSocketReader.Violation) {
                    return try reader.read(source, into: target, controls: &controls)
                } catch {
                    violation = error
                    return 0
                }
            }
        }
        if state == .open, payload.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(payload)) }
        for control in controls { take(control, context) }
        if let violation { refuse(violation, context) }
        answer(context)
    }

    func read(context: ChannelHandlerContext) {
        guard unanswered != nil else { return context.read() }
        isReadWanted = true
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        answer(context)
        context.fireChannelWritabilityChanged()
    }

    /// One pong for all the pings that came, once the channel has room: what a peer that does not read makes the
    /// hub write stays bounded.
    private func answer(_ context: ChannelHandlerContext) {
        guard let ping = unanswered, context.channel.isWritable else { return }
        unanswered = nil
        write(WebSocketFrameHeader.pong, ping, context, promise: nil)
        resumeReading(context)
    }

    private func resumeReading(_ context: ChannelHandlerContext) {
        guard isReadWanted else { return }
        isReadWanted = false
        context.read()
    }

    private func take(_ control: WebSocketReader.Control, _ context: ChannelHandlerContext) {
        switch control {
        case .ping(let bytes):
            if state == .open { unanswered = bytes }
        case .pong: return
        case .close(let bytes):
            // The peer ends it, or has answered: the status goes back as it came (RFC 6455 §5.5.1).
            if state == .open {
                unanswered = nil
                write(WebSocketFrameHeader.close, Array(bytes.prefix(2)), context, promise: nil)
            }
            finish(context)
        }
    }

    private func refuse(_ violation: WebSocketReader.Violation, _ context: ChannelHandlerContext) {
        guard state == .open else { return finish(context) }
        unanswered = nil
        let status = [UInt8(violation.code >> 8), UInt8(violation.code & 0xFF)]
        write(WebSocketFrameHeader.close, status + Array(violation.reason.utf8), context, promise: nil)
        finish(context)
    }

    /// Ends the connection behind what was written, or soon.
    private func finish(_ context: ChannelHandlerContext) {
        guard state != .closed else { return }
        end(.closed, context)
        let bound = context.loopBound
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.whenComplete { _ in bound.value.close(promise: nil) }
        context.writeAndFlush(wrapOutboundOut(ByteBuffer()), promise: written)
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard mode == .all, state == .open else {
            if state == .closing { promise?.succeed(()) } else { context.close(mode: mode, promise: promise) }
            return
        }
        end(.closing, context)
        // 1000: what the connection was for is done.
        write(WebSocketFrameHeader.close, [0x03, 0xE8], context, promise: promise)
    }

    /// Pings get no answer any more; what still comes is read, so that the peer's end is noticed. A peer that
    /// takes nothing is not waited for.
    private func end(_ state: State, _ context: ChannelHandlerContext) {
        self.state = state
        unanswered = nil
        if closeTimer == nil {
            let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
            closeTimer = context.eventLoop.scheduleTask(in: Self.closeTimeout) {
                bound.value.handler.state = .closed
                bound.value.context.close(promise: nil)
            }
        }
        resumeReading(context)
    }

    private func write(
        _ first: UInt8, _ payload: [UInt8], _ context: ChannelHandlerContext, promise: EventLoopPromise<Void>?
    ) {
        var buffer = context.channel.allocator.buffer(capacity: payload.count + 2)
        buffer.writeBytes(WebSocketFrameHeader.bytes(first, payloadBytes: payload.count))
        buffer.writeBytes(payload)
        context.writeAndFlush(wrapOutboundOut(buffer), promise: promise)
    }
}
