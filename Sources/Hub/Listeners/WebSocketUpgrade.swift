import Crypto
import NIOCore
import NIOHTTP1

/// The HTTP request that makes a connection a WebSocket of MQTT's: `GET /mqtt` with the subprotocol `mqtt`
/// (MQTT 5.0 §6 [MQTT-6.0.0-3], [MQTT-6.0.0-4]; RFC 6455 §4.2).
///
/// Confined to its event loop.
final class WebSocketUpgrader: HTTPServerProtocolUpgrader {
    static let path = "/mqtt"
    /// Header bytes of a request, a field, and the number of fields: cookies of a browser fit, a flood does not.
    static let headerBytesMax = 16 << 10
    static let fieldBytesMax = 8 << 10
    static let fieldsMax = 64

    let supportedProtocol = "websocket"
    /// Those that the Connection header must list as well: none.
    let requiredUpgradeHeaders: [String] = []
    private let whenUpgraded: (ChannelHandlerContext) -> Void

    init(whenUpgraded: @escaping (ChannelHandlerContext) -> Void) { self.whenUpgraded = whenUpgraded }

    func buildUpgradeResponse(
        channel: any Channel, upgradeRequest: HTTPRequestHead, initialResponseHeaders: HTTPHeaders
    ) -> EventLoopFuture<HTTPHeaders> {
        if let refusal = WebSocketRefusal(upgradeRequest) {
            return channel.eventLoop.makeFailedFuture(refusal)
        }
        let key = upgradeRequest.headers["Sec-WebSocket-Key"].first ?? ""
        // Connection and Upgrade are in there.
        var headers = initialResponseHeaders
        headers.add(name: "Sec-WebSocket-Accept", value: Self.accept(key))
        headers.add(name: "Sec-WebSocket-Protocol", value: "mqtt")
        return channel.eventLoop.makeSucceededFuture(headers)
    }

    func upgrade(context: ChannelHandlerContext, upgradeRequest: HTTPRequestHead) -> EventLoopFuture<Void> {
        whenUpgraded(context)
        return context.eventLoop.makeSucceededVoidFuture()
    }

    /// RFC 6455 §4.2.2, 5.4.
    static func accept(_ key: String) -> String {
        let digest = Insecure.SHA1.hash(data: Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8))
        return base64(Array(digest))
    }

    private static func base64(_ bytes: [UInt8]) -> String {
        let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let word = (0..<3).reduce(0) { $0 << 8 | (start + $1 < bytes.count ? Int(bytes[start + $1]) : 0) }
            for place in 0..<4 {
                text.append(place <= group.count ? digits[word >> (18 - 6 * place) & 63] : UInt8(ascii: "="))
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}

/// Why a request is no WebSocket of MQTT's, as the answer to it.
struct WebSocketRefusal: Error, Equatable {
    let status: HTTPResponseStatus
    let text: String

    /// - Returns: nil when nothing is wrong.
    init?(_ head: HTTPRequestHead) {
        let path = head.uri.prefix { $0 != "?" }
        let upgrades = head.headers[canonicalForm: "Upgrade"].map { $0.lowercased() }
        let offered = head.headers[canonicalForm: "Sec-WebSocket-Protocol"]
        if path != WebSocketUpgrader.path {
            self.init(
                .notFound, "there is nothing here but \(WebSocketUpgrader.path), for MQTT over WebSocket")
        } else if head.method != .GET {
            self.init(.methodNotAllowed, "MQTT over WebSocket begins with GET")
        } else if !upgrades.contains("websocket") {
            self.init(
                .upgradeRequired, "this is for MQTT over WebSocket: the request lacks Upgrade: websocket")
        } else if head.headers["Sec-WebSocket-Version"].first != "13" {
            self.init(.upgradeRequired, "the version of WebSocket that is spoken here is 13")
        } else if head.headers["Sec-WebSocket-Key"].first?.utf8.count != 24 {
            self.init(.badRequest, "Sec-WebSocket-Key is 16 bytes in base64")
        } else if !offered.contains("mqtt") {
            self.init(.badRequest, "the request lacks Sec-WebSocket-Protocol: mqtt")
        } else {
            return nil
        }
    }

    private init(_ status: HTTPResponseStatus, _ text: String) {
        self.status = status
        self.text = text
    }
}

/// Answers what is no WebSocket of MQTT's, and ends the connection. Confined to its event loop.
final class WebSocketRefusalHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let whenRefused: () -> Void
    private var isAnswered = false

    init(whenRefused: @escaping () -> Void) { self.whenRefused = whenRefused }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .head(let head) = unwrapInboundIn(data), !isAnswered else { return }
        isAnswered = true
        whenRefused()
        let refusal = WebSocketRefusal(head)
        let body = ByteBuffer(string: (refusal?.text ?? "the Connection header lacks Upgrade") + "\n")
        var headers = HTTPHeaders([
            ("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", String(body.readableBytes)),
            ("Connection", "close"),
        ])
        if refusal?.status == .upgradeRequired {
            headers.add(name: "Upgrade", value: "websocket")
            headers.add(name: "Sec-WebSocket-Version", value: "13")
        }
        if refusal?.status == .methodNotAllowed { headers.add(name: "Allow", value: "GET") }
        let answer = HTTPResponseHead(
            version: .http1_1, status: refusal?.status ?? .badRequest, headers: headers)
        context.write(wrapOutboundOut(.head(answer)), promise: nil)
        if head.method != .HEAD { context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil) }
        let bound = context.loopBound
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.whenComplete { _ in bound.value.close(promise: nil) }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: written)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // The request comes behind it, and is answered.
        if error is WebSocketRefusal { return }
        whenRefused()
        context.close(promise: nil)
    }
}
