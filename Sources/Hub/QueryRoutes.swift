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

    func add(to api: RouterGroup<Context>) {
        api.get("queries") { _, _ in HTTPService.json(.array(service.statuses.map { value(of: $0) })) }
        api.post("queries/check") { request, _ in try await Self.answer { try await check(request) } }
        let query = api.group("queries/{name}")
        query.get { _, context in try await Self.answer { HTTPService.json(value(of: try status(context))) } }
        query.put { request, context in
            try await Self.answer { try await put(request, context, isTrial: false) }
        }
        query.post("check") { request, context in
            try await Self.answer { try await put(request, context, isTrial: true) }
        }
        query.delete { _, context in
            try await Self.answer {
                let name = try context.parameters.require("name")
                try await service.perform { [place = service.place] in try $0.delete(name, at: place) }
                return Response(status: .noContent)
            }
        }
        query.post("pause") { _, context in
            try await Self.answer {
                let name = try context.parameters.require("name")
                try await service.perform { [place = service.place] in try $0.pause(name, at: place) }
                return HTTPService.json(.record([Column("effect", .text("paused"))]))
            }
        }
        query.post("resume") { _, context in
            try await Self.answer {
                let name = try context.parameters.require("name")
                try await service.resume(name)
                return HTTPService.json(.record([Column("effect", .text("resumed"))]))
            }
        }
        query.get("results") { request, context in
            try await Self.answer { try await results(request, context) }
        }
    }

    // MARK: Definitions

    private static let bodyBytesMax = 1 << 20

    private func put(_ request: Request, _ context: Context, isTrial: Bool) async throws -> Response {
        let name = try context.parameters.require("name")
        let definition = try await definition(named: name, request)
        let fields = QueryFields(request)
        let isReset = fields["reset"] == "true"
        let (isNew, effect) = try await service.put(definition, isReset: isReset, isTrial: isTrial)
        return HTTPService.json(
            .record([Column("name", .text(name)), Column("effect", .text(effect))]),
            status: isNew && !isTrial ? .created : .ok)
    }

    /// A text alone, without a name.
    private func check(_ request: Request) async throws -> Response {
        let definition = try await definition(named: "query", request)
        let plan = try definition.plan(references: service.place.references.names)
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
        let known = QueryDefinition.settingNames + ["topic"] + QueryDefinition.flagNames + ["reset"]
        // A template says whether its rows are retained unless that is said too: those last.
        var flags: [(String, String)] = []
        for (key, value) in request.uri.queryParameters {
            switch String(key) {
            case "topic": try definition.setTopic(String(value))
            case let flag where QueryDefinition.flagNames.contains(flag): flags.append((flag, String(value)))
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
        for (setting, value) in flags { try definition.setFlag(setting, value) }
        return definition
    }

    // MARK: Status

    private func status(_ context: Context) throws -> QueryStatus {
        let name = try context.parameters.require("name")
        let statuses = service.statuses
        guard let status = statuses.first(where: { $0.definition.name == name }) else {
            throw QueryRequestError(unknown: name, of: statuses.map(\.definition.name))
        }
        return status
    }

    private func value(of status: QueryStatus) -> Value {
        status.value(
            durableEnd: service.place.queue.durableEnd.bytes,
            now: EventTime(ticks: service.place.clock.wallTicks()))
    }

    private static let rowsMax = 100_000

    /// Rows of one output; see `ResultHistory`. The header `Headend-Next` says where the next page begins.
    private func results(_ request: Request, _ context: Context) async throws -> Response {
        let definition = try status(context).definition
        let known = ["output", "since", "order", "limit"]
        let fields = QueryFields(request)
        do throws(GroupError) { try fields.check(known: known) } catch {
            throw QueryRequestError(.invalid, "\(error)")
        }
        let history = try history(of: definition, output: fields["output"])
        var limit = 1_000
        if let text = fields["limit"] {
            guard let number = Int(text), (1...Self.rowsMax).contains(number) else {
                throw QueryRequestError(
                    .invalid, "limit: \"\(text)\" is not a whole number from 1 to \(Self.rowsMax)")
            }
            limit = number
        }
        var order = ResultHistory.Order.oldest
        if let text = fields["order"] {
            guard let named = ResultHistory.Order(rawValue: text) else {
                throw QueryRequestError(.invalid, "order: \"\(text)\" is not oldest or newest")
            }
            order = named
        }
        var since: ResultHistory.Since?
        if let text = fields["since"] {
            since = ResultHistory.Since(text)
            if since == nil {
                throw QueryRequestError(
                    .invalid,
                    "since: \"\(text)\" is neither an ISO 8601 time, such as 2026-03-01T00:12:00Z, nor the _rid of a "
                        + "row, nor what the header Headend-Next said")
            }
        }
        let page = try await HTTPService.blocking { [since, order, limit] in
            try history.page(since: since, order: order, limit: limit)
        }
        var response = HTTPService.lines(page.rows)
        if let next = page.next, let name = HTTPField.Name("Headend-Next") {
            response.headers[name] = next
        }
        return response
    }

    /// - Throws: when it is not clear which output is meant, or it has no files.
    private func history(of definition: QueryDefinition, output asked: String?) throws -> ResultHistory {
        let plan = try? definition.plan(references: service.place.references.names)
        let system = [StreamPlan.lateOutput, StreamPlan.errorOutput]
        let folder = service.place.folder(of: definition.name)
        // While it cannot be planned, what it had put out tells.
        let own = plan?.outputs ?? folder.outputs
        let outputs = own + system
        guard let output = asked ?? (own.count == 1 ? own[0] : nil) else {
            throw QueryRequestError(
                .invalid,
                "output: \(definition.name) has several, name one: \(outputs.joined(separator: ", "))")
        }
        guard outputs.contains(output) else {
            let hint = Suggestion.nearest(to: output, in: outputs).map { "; did you mean \($0)?" } ?? ""
            throw QueryRequestError(
                .unknown,
                "output: \(definition.name) has no \"\(output)\", it has \(outputs.joined(separator: ", "))\(hint)"
            )
        }
        if definition.outputs.contains(where: { $0.name == output && !$0.isFile }) {
            throw QueryRequestError(
                .conflict, "output: \(output) has no files (file: false), so its rows are on their topic only"
            )
        }
        let isWindowed =
            plan.map { plan in
                plan.outputs.firstIndex(of: output).map { plan.isWindowed(output: $0) } ?? false
            } ?? (own.contains(output) && !folder.grownFiles.contains(output))
        return ResultHistory(
            results: folder.results, output: output, isWindowed: isWindowed, files: service.place.files)
    }

    /// Tells what was wrong with a request.
    static func answer(_ body: () async throws -> Response) async throws -> Response {
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
