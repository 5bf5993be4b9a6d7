import ConsumerGroups
import DeviceQueue
import HTTPTypes
import Hummingbird
import NIOCore
import PerpetualQuery
import Platform
import Telemetry

/// `/api/v1/queries/…`: the queries over HTTP.
struct QueryRoutes: Sendable {
    typealias Context = BasicRequestContext

    let service: QueryService
    /// Of the default query.
    let results: ResultFiles

    func add(to api: RouterGroup<Context>) {
        api.get("queries") { _, _ in HTTPService.json(.array(service.statuses.map { value(of: $0) })) }
        api.post("queries/check") { request, _ in try await answer { try await check(request) } }
        let query = api.group("queries/{name}")
        query.get { _, context in try await answer { HTTPService.json(value(of: try status(context))) } }
        query.put { request, context in
            try await answer { try await put(request, context, isTrial: false) }
        }
        query.post("check") { request, context in
            try await answer { try await put(request, context, isTrial: true) }
        }
        query.delete { _, context in
            try await answer {
                let name = try context.parameters.require("name")
                try await service.perform { [place = service.place] in try $0.delete(name, at: place) }
                return Response(status: .noContent)
            }
        }
        query.post("pause") { _, context in
            try await answer {
                let name = try context.parameters.require("name")
                try await service.perform { [place = service.place] in try $0.pause(name, at: place) }
                return HTTPService.json(.record([Column("effect", .text("paused"))]))
            }
        }
        query.post("resume") { _, context in
            try await answer {
                let name = try context.parameters.require("name")
                try await service.perform { [place = service.place] in try $0.resume(name, at: place) }
                return HTTPService.json(.record([Column("effect", .text("resumed"))]))
            }
        }
        query.get("results") { request, context in
            try await answer { try await results(request, context) }
        }
    }

    // MARK: Definitions

    private static let bodyBytesMax = 1 << 20

    private func put(_ request: Request, _ context: Context, isTrial: Bool) async throws -> Response {
        let name = try context.parameters.require("name")
        let definition = try await definition(named: name, request)
        let fields = QueryFields(request)
        let isReset = fields["reset"] == "true"
        let (isNew, effect) = try await service.perform { [place = service.place] in
            try $0.put(definition, isReset: isReset, isTrial: isTrial, at: place)
        }
        return HTTPService.json(
            .record([Column("name", .text(name)), Column("effect", .text(effect))]),
            status: isNew && !isTrial ? .created : .ok)
    }

    /// A text alone, without a name.
    private func check(_ request: Request) async throws -> Response {
        let definition = try await definition(named: "query", request)
        let plan = try definition.plan()
        return HTTPService.json(
            .record([
                Column("outputs", .array(plan.outputs.map { .text($0) })),
                Column("plan", .array(plan.explanation.flatMap { $0.lines() }.map { .text($0) })),
            ]))
    }

    private func definition(named name: String, _ request: Request) async throws -> QueryDefinition {
        var buffer: ByteBuffer
        do {
            buffer = try await request.body.collect(upTo: Self.bodyBytesMax)
        } catch {
            throw QueryRequestError(.invalid, "body: a query has at most \(Self.bodyBytesMax) bytes")
        }
        let bytes = buffer.readBytes(length: buffer.readableBytes) ?? []
        guard let text = String(validating: bytes, as: UTF8.self), !text.isEmpty else {
            throw QueryRequestError(.invalid, "body: is the text of the query, in UTF-8")
        }
        var definition = QueryDefinition(name: name, text: text)
        let known = QueryDefinition.settingNames + ["topic", "reset"]
        for (key, value) in request.uri.queryParameters {
            switch String(key) {
            case "topic": try definition.setTopic(String(value))
            case "reset":
                guard ["true", "false"].contains(value) else {
                    throw QueryRequestError(.invalid, "reset: is true or false")
                }
            case let setting where QueryDefinition.settingNames.contains(setting):
                try definition.set(setting, String(value))
            case let other:
                let hint = Suggestion.nearest(to: other, in: known).map { " (did you mean \"\($0)\"?)" } ?? ""
                throw QueryRequestError(
                    .invalid,
                    "\(other): not a known parameter\(hint); there are: \(known.joined(separator: ", "))")
            }
        }
        return definition
    }

    // MARK: Status

    private func status(_ context: Context) throws -> QueryStatus {
        let name = try context.parameters.require("name")
        let statuses = service.statuses
        guard let status = statuses.first(where: { $0.definition.name == name }) else {
            let known = statuses.map(\.definition.name)
            throw QueryRequestError(
                .unknown, "no query \"\(name)\"; there are: \(known.joined(separator: ", "))")
        }
        return status
    }

    private func value(of status: QueryStatus) -> Value {
        let queue = service.place.queue
        let durable = queue.durableEnd.bytes
        let now = service.place.clock.wallTicks()
        let counters = status.counters
        func number(_ name: String, _ value: UInt64) -> Column {
            Column(name, .bigint(Int64(truncatingIfNeeded: value)))
        }
        return .record([
            Column("name", .text(status.definition.name)), Column("state", .text(status.state.rawValue)),
            Column("failure", status.failure.map { .text($0) } ?? .null),
            Column("why", .text(status.explanation(durableEnd: durable))),
            number("consumedOffset", status.consumed.bytes), number("durableOffset", durable),
            number("backlogBytes", durable - min(status.consumed.bytes, durable)),
            Column("watermark", status.watermark.map { .time($0) } ?? .null),
            Column(
                "watermarkDelaySeconds",
                status.watermark.map { .float(Double(now - $0.ticks) / 1e7) } ?? .null),
            Column("completeThrough", status.completeThrough.map { .time($0) } ?? .null),
            Column(
                "counters",
                .record([
                    number("events", counters.events), number("notJSON", counters.notJSON),
                    number("accepted", counters.accepted), number("late", counters.late),
                    number("early", counters.early), number("outOfOrder", counters.outOfOrder),
                    number("withoutTime", counters.withoutTime), number("rowsEmitted", counters.rows),
                    number("openWindows", UInt64(status.openGroups)),
                    number("waitingRows", UInt64(status.waitingRows)),
                    number("joinedRows", UInt64(status.joinedRows)), number("errors", counters.errors),
                ])),
            number("stateBytes", UInt64(status.stateBytes)),
            Column("recentErrors", .array(status.recentErrors.map { .text($0) })),
            Column("sinks", .array(status.sinks.map { HubStatus.value(of: $0) })),
            Column("definition", status.definition.value),
        ])
    }

    /// Rows of complete windows of the default query, oldest first; a reader goes on with `since=` the last
    /// `windowEnd` it got. Of other queries their newest rows.
    private func results(_ request: Request, _ context: Context) async throws -> Response {
        let status = try status(context)
        let limit = min(max(try HTTPService.integer(request, "limit") ?? 1_000, 1), 100_000)
        guard status.definition.isDefault else {
            return HTTPService.lines(status.recentRows.suffix(limit).map { Array($0.utf8) })
        }
        var since: EventTime?
        if let text = request.uri.queryParameters["since"] {
            guard let parsed = EventTime.parse(String(text)) else {
                throw HTTPError(.badRequest, message: "since=\(text) is not an ISO 8601 time")
            }
            since = parsed
        }
        let rows = try await HTTPService.blocking { [since, results] in
            try results.rows(since: since, limit: limit)
        }
        return HTTPService.lines(rows)
    }

    private func answer(_ body: () async throws -> Response) async throws -> Response {
        do {
            return try await body()
        } catch let error as QueryRequestError {
            let status: HTTPResponse.Status =
                switch error.kind {
                case .invalid: .badRequest
                case .unknown: .notFound
                case .conflict: .conflict
                case .unavailable: .serviceUnavailable
                }
            throw HTTPError(status, message: error.description)
        }
    }
}
