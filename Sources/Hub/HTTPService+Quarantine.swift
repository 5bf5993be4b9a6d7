import DeviceQueue
import Hummingbird
import Telemetry

/// `GET /api/v1/quarantine` and `POST /api/v1/quarantine/replay`.
extension HTTPService {
    func addQuarantine(to api: RouterGroup<BasicRequestContext>) {
        api.get("quarantine") { request, _ in try await quarantine(request) }
        api.post("quarantine/replay") { request, _ in try await replay(request) }
    }

    /// What waits, in order: `reason=`, `device=`, `from=`, `limit=`; `state=all` for those that a replay settled too,
    /// `kept=true` for the other body of a conflict.
    private func quarantine(_ request: Request) async throws -> Response {
        var page = QuarantinePage()
        page.reason = try Self.reason(request)
        page.device = request.uri.queryParameters["device"].map(String.init)
        page.from = UInt64(max(try Self.integer(request, "from") ?? 1, 1))
        page.limit = min(max(try Self.integer(request, "limit") ?? 100, 1), 10_000)
        page.includesSettled = try Self.word(request, "state", ["waiting", "all"]) == "all"
        page.withKept = try Self.flag(request, "kept")
        let queue = pipeline.queue
        return Self.lines(try await Self.blocking { [page] in try page.objects(queue) })
    }

    /// Puts messages through the current rules again; the answer says what became of them and where to go on.
    private func replay(_ request: Request) async throws -> Response {
        var wanted = ReplayRequest()
        wanted.reason = try Self.reason(request)
        wanted.device = request.uri.queryParameters["device"].map(String.init)
        wanted.from = UInt64(max(try Self.integer(request, "from") ?? 1, 1))
        wanted.limit = min(max(try Self.integer(request, "limit") ?? 10_000, 1), 100_000)
        wanted.isDryRun = try Self.flag(request, "dryRun")
        let result: Result<ReplayResult, HubError> = try await Self.blocking { [wanted, pipeline] in
            var replay = QuarantineReplay(pipeline: pipeline, request: wanted)
            do {
                return .success(try replay.run())
            } catch let error as HubError {
                return .failure(error)
            }
        }
        switch result {
        case .success(let result): return Self.json(result.value)
        case .failure(let error): throw HTTPError(.serviceUnavailable, message: error.description)
        }
    }

    private static func reason(_ request: Request) throws -> QuarantineReason? {
        let known = QuarantineReason.allCases
        guard let word = try word(request, "reason", known.map(\.description)) else { return nil }
        return known.first { $0.description == word }
    }

    private static func flag(_ request: Request, _ name: String) throws -> Bool {
        try word(request, name, ["true", "false"]) == "true"
    }

    /// One of a parameter's words; nil when it is not there.
    private static func word(_ request: Request, _ name: String, _ known: [String]) throws -> String? {
        guard let value = request.uri.queryParameters[name[...]].map(String.init) else { return nil }
        guard known.contains(value) else {
            let hint = Suggestion.nearest(to: value, in: known).map { " (did you mean \($0)?)" } ?? ""
            throw HTTPError(
                .badRequest, message: "\(name)=\(value) is none of \(known.joined(separator: ", "))\(hint)")
        }
        return value
    }
}
