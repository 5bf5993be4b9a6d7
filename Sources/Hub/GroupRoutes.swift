import ConsumerGroups
import DeviceQueue
import HTTPTypes
import Hummingbird
import NIOCore
import NIOPosix
import Platform
import Telemetry

/// `/api/v1/groups/…`: consumer groups over HTTP.
struct GroupRoutes: Sendable {
    typealias Context = BasicRequestContext

    let service: GroupService
    let identity: UInt64
    let clock: any HubClock

    func add(to api: RouterGroup<Context>) {
        api.get("groups") { _, _ in try await answer { try await list() } }
        let group = api.group("groups/{group}")
        group.get { _, context in try await answer { try await show(try name(context)) } }
        group.put { request, context in
            try await answer { try await create(try name(context), request) }
        }
        group.delete { _, context in try await answer { try await delete(try name(context)) } }
        group.post("fetch") { request, context in
            try await answer { try await fetch(try name(context), request) }
        }
        group.post("commit") { request, context in
            try await answer { try await commit(try name(context), request) }
        }
        group.post("release") { request, context in
            try await answer { try await release(try name(context), request) }
        }
        group.post("seek") { request, context in
            try await answer { try await seek(try name(context), request) }
        }
        group.delete("members/{member}") { _, context in
            try await answer { try await leave(try name(context), try Self.decoded("member", context)) }
        }
    }

    // MARK: Groups

    private func list() async throws -> Response {
        let snapshots = try await service.perform { worker in worker.statuses() }
        return HTTPService.json(.array(snapshots.map(\.value)))
    }

    private func show(_ name: String) async throws -> Response {
        HTTPService.json(try await service.perform { worker in try worker.status(name) }.value)
    }

    private func create(_ name: String, _ request: Request) async throws -> Response {
        let fields = try await body(request, known: ["devices", "from", "mustNotMiss"])
        let definition = GroupDefinition(
            name: name, devices: try fields.devices("devices") ?? .all,
            start: try fields.start("from") ?? .earliest,
            mustNotMiss: try fields.flag("mustNotMiss") ?? false, createdTicks: clock.wallTicks(),
            logID: identity)
        try definition.validate(service.limits)
        let isNew = try await service.create(definition)
        let status = try await service.perform { worker in try worker.status(name) }
        return HTTPService.json(status.value, status: isNew ? .created : .ok)
    }

    private func delete(_ name: String) async throws -> Response {
        let _: Void = try await service.request { worker, reply in worker.delete(name, reply: reply) }
        return Response(status: .noContent)
    }

    private func seek(_ name: String, _ request: Request) async throws -> Response {
        let fields = try await body(request, known: ["to"])
        guard let start = try fields.start("to") else {
            throw GroupError.invalid(field: "to", explanation: "missing; where should the group go on?")
        }
        try await service.seek(name, to: start)
        return HTTPService.json(try await service.perform { worker in try worker.status(name) }.value)
    }

    // MARK: Records

    private func fetch(_ name: String, _ request: Request) async throws -> Response {
        let query = QueryFields(request)
        try query.check(known: ["member", "max", "bytes", "wait", "lease", "session"])
        let limits = service.limits
        var session: UInt64?
        if let text = query["session"] {
            guard let number = UInt64(text, radix: 36) else {
                throw GroupError.invalid(field: "session", explanation: "not one that a fetch gave")
            }
            session = number
        }
        let member = try query.required("member")
        guard !member.hasPrefix(GroupJoin.memberPrefix) else {
            throw GroupError.invalid(
                field: "member", explanation: "names that begin with mqtt: are those of MQTT clients")
        }
        let fetch = GroupFetch(
            member: member, session: session,
            recordsMax: try query.integer("max", 1...limits.fetchRecords) ?? min(100, limits.fetchRecords),
            bytesMax: try query.integer("bytes", 1...limits.fetchBytes) ?? limits.fetchBytes,
            wait: try query.duration("wait", 0...limits.waitNanosecondsMax) ?? 0,
            lease: try lease(query))
        let now = clock.monotonicNanoseconds()
        let fetched: GroupFetched = try await service.request { worker, reply in
            do {
                try worker.group(name).fetch(fetch, now: now, reply: reply)
            } catch {
                reply(.failure(error))
            }
        }
        return Self.response(fetched, group: name, member: fetch.member)
    }

    private func lease(_ query: QueryFields) throws -> UInt64 {
        let limits = service.limits
        return try query.duration("lease", limits.leaseNanosecondsMin...limits.leaseNanosecondsMax)
            ?? limits.leaseNanoseconds
    }

    private func commit(_ name: String, _ request: Request) async throws -> Response {
        let query = QueryFields(request)
        try query.check(known: ["lease"])
        let lease = try lease(query)
        let fields = try await body(request, known: ["member", "commit"])
        guard let member = try fields.text("member") else {
            throw GroupError.invalid(field: "member", explanation: "missing; who commits?")
        }
        guard let text = try fields.text("commit") else {
            throw GroupError.invalid(
                field: "commit", explanation: "missing; give the one that the fetch gave")
        }
        guard let token = CommitToken(text: text) else {
            throw GroupError.invalid(field: "commit", explanation: "\"\(text)\" is not one that a fetch gave")
        }
        let clock = clock
        try await service.request { worker, reply in
            do {
                try worker.group(name).commit(
                    member: member, token: token, lease: lease, now: clock.monotonicNanoseconds(),
                    nowTicks: clock.wallTicks(), reply: reply)
            } catch {
                reply(.failure(error))
            }
        }
        return Response(status: .noContent)
    }

    private func release(_ name: String, _ request: Request) async throws -> Response {
        let fields = try await body(request, known: ["member"])
        guard let member = try fields.text("member") else {
            throw GroupError.invalid(field: "member", explanation: "missing; who gives back?")
        }
        try await service.perform { worker in try worker.group(name).giveBack(member: member) }
        return Response(status: .noContent)
    }

    private func leave(_ name: String, _ member: String) async throws -> Response {
        try await service.perform { worker in try worker.group(name).leave(member: member) }
        return Response(status: .noContent)
    }

    // MARK: Helpers

    /// One record a line, as `queue read` writes them, with how often it was delivered and its commit token.
    private static func response(_ fetched: GroupFetched, group: String, member: String) -> Response {
        var bytes: [UInt8] = []
        Column.appendJSON(
            [
                Column("group", .text(group)), Column("member", .text(member)),
                Column("session", .text(String(fetched.delivery.session, radix: 36))),
                Column("commit", fetched.delivery.records.last.map { .text($0.token.description) } ?? .null),
            ], to: &bytes)
        bytes.removeLast()
        bytes.append(contentsOf: #","records":["#.utf8)
        for (delivered, record) in zip(fetched.delivery.records, fetched.records) {
            bytes.append(contentsOf: delivered == fetched.delivery.records.first ? "\n".utf8 : ",\n".utf8)
            bytes.append(
                contentsOf: #"{"delivery":\#(delivered.deliveries),"commit":"\#(delivered.token)","#.utf8)
            bytes.append(contentsOf: RecordJSON.bytes(record).dropFirst())
        }
        bytes.append(contentsOf: "]}\n".utf8)
        return Response(
            status: .ok, headers: [.contentType: "application/json; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }

    private func body(_ request: Request, known: [String]) async throws -> RequestFields {
        let buffer = try await request.body.collect(upTo: 1 << 20)
        return try RequestFields(Array(buffer.readableBytesView), known: known)
    }

    private func name(_ context: Context) throws -> String {
        let name = try Self.decoded("group", context)
        try GroupDefinition.validate(name: name, service.limits)
        return name
    }

    private static func decoded(_ parameter: String, _ context: Context) throws -> String {
        let encoded = Array(try context.parameters.require(parameter).utf8)
        return String(decoding: encoded.withUnsafeBytes(PropertyBag.decode), as: UTF8.self)
    }

    /// Errors with the status that says who can act.
    private func answer(_ body: () async throws -> Response) async throws -> Response {
        do {
            return try await body()
        } catch let error as GroupError {
            throw HTTPError(Self.status(of: error), message: error.description)
        }
    }

    private static func status(of error: GroupError) -> HTTPResponse.Status {
        switch error {
        case .invalid: .badRequest
        case .unknownGroup: .notFound
        case .differs, .unknownMember, .stale, .behind, .ahead, .superseded, .interrupted: .conflict
        case .limit, .memberFull: .tooManyRequests
        case .failed, .storage, .stopping: .serviceUnavailable
        }
    }
}

extension GroupService {
    /// Makes a group, or finds that it is there and the same; true when it is new.
    func create(_ definition: GroupDefinition) async throws -> Bool {
        let isThere = try await perform { worker in
            guard worker.exists(definition.name) else { return false }
            try worker.requireSame(definition)
            return true
        }
        if isThere { return false }
        return try await withPlace(definition.start, for: definition) { place in
            try await request { worker, reply in worker.create(definition, at: place, reply: reply) }
        }
    }

    /// Moves a group.
    func seek(_ name: String, to start: GroupStart) async throws {
        let definition = try await perform { worker in try worker.group(name).definition }
        try await withPlace(start, for: definition) { place in
            let _: Void = try await request { worker, reply in
                do {
                    try worker.group(name).seek(to: place, reply: reply)
                } catch {
                    reply(.failure(error))
                }
            }
        }
    }

    /// Finds a place and has a group go there. What must not miss anything holds the log before the place is looked
    /// for and until the group holds it itself: retention works meanwhile.
    ///
    /// The search may read segments, so it stays off the cooperative pool and off the groups' thread.
    private func withPlace<Success>(
        _ start: GroupStart, for definition: GroupDefinition, _ body: (GroupPlace) async throws -> Success
    ) async throws -> Success {
        let queue = queue
        let holdName = "group:\(definition.name), being placed \(nextPlacing())"
        let first =
            definition.mustNotMiss ? queue.hold(name: holdName, from: QueueOffset(0)) : QueueOffset(0)
        defer { queue.releaseHold(name: holdName) }
        let place = try await NIOThreadPool.singleton.runIfActive {
            try GroupPlace.find(start, definition.devices, notBefore: first, in: queue)
        }
        return try await body(place)
    }
}
