import DeviceQueue
import Hummingbird
import Logging
import MQTTBroker
import NIOCore
import NIOPosix
import Platform
import Telemetry

/// The HTTP interface: health, metrics, status, devices, records and results, all JSON but the metrics.
struct HTTPService: Sendable {
    let pipeline: Pipeline
    let startedNanoseconds: UInt64
    let clock: any HubClock

    func router() -> Router<BasicRequestContext> {
        let router = Router()
        router.add(middleware: ErrorAnswers())
        router.get("/healthz") { _, _ in Self.json(.record([Column("status", .text("alive"))])) }
        router.get("/readyz") { _, _ in readiness() }
        router.get("/metrics") { _, _ in
            Response(
                status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
                body: ResponseBody(byteBuffer: ByteBuffer(bytes: Array(try await metrics().utf8))))
        }
        let api = router.group("/api/v1")
        api.get("status") { _, _ in Self.json(status()) }
        api.get("devices") { request, _ in try devices(request) }
        api.get("devices/{id}") { request, context in try device(request, context) }
        api.get("devices/{id}/records") { request, context in try await records(request, context) }
        addQuarantine(to: api)
        QueryRoutes(service: pipeline.queries).add(to: api)
        ReferenceRoutes(service: pipeline.references).add(to: api)
        GroupRoutes(service: pipeline.groups, identity: pipeline.queue.identity, clock: clock).add(to: api)
        router.get("**") { request, _ -> Response in
            throw HTTPError(.notFound, message: "there is nothing at \(request.uri.path); see /api/v1/status")
        }
        return router
    }

    // MARK: Health

    private func readiness() -> Response {
        var problems: [Value] = []
        switch pipeline.storage.state {
        case .running: break
        case .full(let text): problems.append(.text("storage waits for room: " + text))
        case .failed(let text): problems.append(.text("storage failed: " + text))
        }
        for query in pipeline.queries.statuses where [.failed, .stopped, .blocked].contains(query.state) {
            problems.append(.text("query \(query.definition.name): " + (query.failure ?? "")))
        }
        return Self.json(
            .record([
                Column("status", .text(problems.isEmpty ? "ready" : "not ready")),
                Column("problems", .array(problems)),
                // The hub works on without it, for a while: no reason to send its devices elsewhere.
                Column(
                    "warnings",
                    .array((pipeline.upkeepFailures + pipeline.references.warnings).map { .text($0) })),
            ]), status: problems.isEmpty ? .ok : .serviceUnavailable)
    }

    // MARK: Status

    func status() -> Value {
        let snapshot = HubStatus(
            pipeline, uptimeSeconds: Int((clock.monotonicNanoseconds() - startedNanoseconds) / 1_000_000_000))
        return snapshot.value
    }

    private func metrics() async throws -> String {
        let hub = HubStatus(
            pipeline, uptimeSeconds: Int((clock.monotonicNanoseconds() - startedNanoseconds) / 1_000_000_000))
        let groups = try await pipeline.groups.perform { worker in worker.statuses() }
        let queries = QueryStatus.prometheusText(
            pipeline.queries.statuses, durableEnd: pipeline.queue.durableEnd.bytes,
            now: EventTime(ticks: clock.wallTicks()))
        return hub.prometheusText + queries + GroupStatus.prometheusText(groups)
            + ReferenceStatus.prometheusText(pipeline.references.statuses)
    }

    // MARK: Data

    private func devices(_ request: Request) throws -> Response {
        let limit = min(try Self.integer(request, "limit") ?? 100, 10_000)
        let after = request.uri.queryParameters["after"].map(String.init) ?? ""
        let page = pipeline.queue.deviceSummaries(after: DeviceID(after), limit: limit)
        return Self.json(.array(page.map(HubStatus.value(of:))))
    }

    private func device(_ request: Request, _ context: BasicRequestContext) throws -> Response {
        let id = try Self.deviceName(context)
        guard let summary = pipeline.queue.deviceSummary(DeviceID(id)) else {
            throw HTTPError(.notFound, message: "no device \"\(id)\" has sent anything")
        }
        return Self.json(HubStatus.value(of: summary, pipeline.queue.tallies(device: summary.id)))
    }

    private func records(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
        let id = DeviceID(try Self.deviceName(context))
        let from = UInt64(max(try Self.integer(request, "from") ?? 1, 1))
        let limit = min(max(try Self.integer(request, "limit") ?? 100, 1), 10_000)
        guard pipeline.queue.deviceSummary(id) != nil else {
            throw HTTPError(.notFound, message: "no device \"\(id.text)\" has sent anything")
        }
        let found = try await Self.blocking {
            try pipeline.queue.records(device: id, from: from, limit: limit)
        }
        return Self.lines(found.map { RecordJSON.bytes($0) })
    }

    // MARK: Helpers

    /// The `{id}` of the path, its percent-encoding resolved: device names may hold blanks, `%`, `?` and any script.
    private static func deviceName(_ context: BasicRequestContext) throws -> String {
        let encoded = Array(try context.parameters.require("id").utf8)
        return String(decoding: encoded.withUnsafeBytes(PropertyBag.decode), as: UTF8.self)
    }

    /// Disk reads stay off the cooperative pool.
    static func blocking<Result: Sendable>(
        _ body: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        try await NIOThreadPool.singleton.runIfActive(body)
    }

    static func integer(_ request: Request, _ name: String) throws -> Int? {
        guard let text = request.uri.queryParameters[name[...]] else { return nil }
        guard let value = Int(text), value >= 0 else {
            throw HTTPError(.badRequest, message: "\(name)=\(text) is not a whole number")
        }
        return value
    }

    static func json(_ value: Value, status: HTTPResponse.Status = .ok) -> Response {
        var bytes: [UInt8] = []
        value.appendJSON(to: &bytes)
        bytes.append(0x0A)
        return Response(
            status: status, headers: [.contentType: "application/json; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }

    /// A JSON array of ready-made objects.
    static func lines(_ objects: [[UInt8]]) -> Response {
        var bytes: [UInt8] = [0x5B]
        for (index, object) in objects.enumerated() {
            if index > 0 { bytes.append(contentsOf: [0x2C, 0x0A]) }
            bytes.append(contentsOf: object)
        }
        bytes.append(contentsOf: [0x5D, 0x0A])
        return Response(
            status: .ok, headers: [.contentType: "application/json; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }
}
