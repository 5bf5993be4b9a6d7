import DeviceQueue
import Hummingbird
import NIOCore
import NIOPosix
import Telemetry

/// Gives every refusal and failure of the HTTP interface a JSON body that says what is wrong:
/// `{"error":{"message":"…"}}`.
struct ErrorAnswers: RouterMiddleware {
    typealias Context = BasicRequestContext

    @concurrent
    func handle(
        _ request: Request, context: Context,
        next: @concurrent (Request, Context) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch {
            let (status, message) = Self.explain(error, request)
            let explained = Value.record([
                Column("error", .record([Column("message", .text(message))]))
            ])
            var response = HTTPService.json(explained, status: status)
            if let error = error as? HTTPError { response.headers.append(contentsOf: error.headers) }
            return response
        }
    }

    /// The status that says who can act, and what is wrong.
    static func explain(_ error: any Error, _ request: Request) -> (HTTPResponse.Status, String) {
        switch error {
        case let error as HTTPError:
            (error.status, error.body ?? sentence(error.status, request))
        case let error as any HTTPResponseError: (error.status, sentence(error.status, request))
        case let error as QueueError: (status(of: error), error.description)
        case is CancellationError: (.serviceUnavailable, "the hub is stopping; ask again when it is back")
        case is ChannelError, is NIOThreadPoolError.ThreadPoolInactive:
            (.serviceUnavailable, "the hub is stopping; ask again when it is back")
        default: (.internalServerError, String(describing: error))
        }
    }

    private static func status(of error: QueueError) -> HTTPResponse.Status {
        switch error {
        // It was there when the request began.
        case .removed: .gone
        case .offsetOutOfRange: .badRequest
        case .full, .pendingFull, .poisoned: .serviceUnavailable
        default: .internalServerError
        }
    }

    /// For refusals of the router and the server, which have a status only.
    private static func sentence(_ status: HTTPResponse.Status, _ request: Request) -> String {
        let path = request.uri.path
        return switch status {
        case .notFound: "there is no \(request.method) \(path); see /api/v1/status"
        case .contentTooLarge: "\(path): the body is larger than 1 MiB"
        default: "\(request.method) \(path): \(status.code) \(status.reasonPhrase)"
        }
    }
}
