import DeviceQueue
import FileStoreKit
import MosquittoClient
import Platform
import ReferenceFiles
import ResultSink
import Telemetry
import Testing

@testable import Hub

/// The start of a hub's queries over a disk in memory.
private final class QueryStart {
    let files: MemoryFileStore
    let queue: DeviceQueue
    let service: QueryService
    let references: ReferenceService
    let clock = HubLife.Clock()

    var fleet: QueryFleet { service.fleet }

    /// - Parameters:
    ///   - configured: queries of the configuration.
    ///   - reference: the file that the configuration calls `sites`; none without one.
    ///   - downstream: another broker.
    init(
        _ files: MemoryFileStore, configured: [QueryDefinition] = [], reference: String? = nil,
        downstream: MosquittoURL? = nil
    ) throws {
        self.files = files
        queue = try DeviceQueue.open(
            directory: "/data/queue/0", files: files, limits: HubLife.queueLimits, nowTicks: 1, seed: 7)
        references = try ReferenceService(
            reference.map { [ReferenceSource(name: "sites", location: $0)] } ?? [], queue: queue,
            data: "/data",
            files: files, clock: clock,
            mayLack: QueryCatalog.references(
                ofKeptIn: "/data", configured: configured, names: ["sites"], files: files), log: { _ in })
        let storage = HubLife.Storage()
        let loop = BrokerLoop(
            executor: HubLife.Turns(), queue: queue, storage: storage, clock: clock, limits: HubLimits(),
            counters: HubCounters(startNonce: 1), seed: 1)
        let place = QueryOpener.Place(
            queue: queue, loop: loop, data: "/data", files: files, clock: clock,
            references: references.shelf,
            downstream: try downstream.map { try DownstreamBroker(url: $0, hub: "hub", log: { _ in }) },
            log: { _ in })
        service = try QueryService(place, storage: storage, runsMinute: false, queries: configured)
    }

    /// As the thread that looks after reference data does.
    func look() { references.lookAtAll { [service] in try service.adoptBeforeStart($0, $1) } }

    /// Makes or changes a query as somebody does while the hub runs.
    @discardableResult
    func put(_ name: String, _ text: String, isReset: Bool = false) throws -> String {
        var definition = QueryDefinition(name: name, text: text)
        definition.start = .earliest
        return try fleet.put(definition, isReset: isReset, isTrial: false, at: service.place).effect
    }

    /// Stores one reading, and lets the queries have it.
    func store(_ number: Int) throws {
        let device = try #require(queue.device(named: "d"))
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        let staging = StagingBuffer(byteCapacity: 8_192)
        let offset = Array("{\"n\":\(number),\"site\":\"1\"}".utf8).withUnsafeBytes { payload in
            Array("\(number)".utf8).withUnsafeBytes { id in
                staging.stageRecord(
                    device: device, client: 0, packetIdentifier: 0, flags: 1, reason: 0, eventTicks: nil,
                    topic: empty, properties: empty, payload: payload, messageID: .decoded(id))
            }
        }
        _ = try #require(offset)
        try queue.append(staging, arrivalTicks: Int64(1_000 + number))
        try queue.commit()
    }

    func end() { fleet.turn(isStopping: true) }

    func status(_ name: String) throws -> QueryStatus {
        try #require(fleet.statuses().first { $0.definition.name == name })
    }

    func rows(_ path: String) -> Int { files["/data/results/\(path)"].filter { $0 == 0x0A }.count }
}

@Suite("Queries at the start of a hub")
struct QueryStartTests {
    private static let join =
        "SELECT t.n, s.name INTO o FROM telemetry t JOIN sites s ON t.site = s.id"
    private static let pass = "SELECT n INTO p FROM telemetry"

    private func withSites() -> MemoryFileStore {
        let files = MemoryFileStore()
        files["/sites.csv"] = Array("id,name\n1,one\n".utf8)
        return files
    }

    @Test(
        "one that was added and joins with what is not there any more is shown as failed, and goes on later")
    func missingReference() throws {
        let files = withSites()
        let first = try QueryStart(files, reference: "/sites.csv")
        try first.put("join", Self.join)
        try first.put("pass", Self.pass)
        try first.store(1)
        first.end()
        #expect(first.rows("join/o/o.jsonl") == 1)

        let second = try QueryStart(files)
        try second.store(2)
        second.fleet.turn(isStopping: false)
        let status = try second.status("join")
        #expect(status.state == .failed)
        #expect(status.failure?.contains("sites") == true, "\(status.failure ?? "")")
        #expect(status.failure?.contains("--reference") == true, "\(status.failure ?? "")")
        #expect(try second.status("pass").state == .running)
        // Retention waits for it where it was, not where the log ends.
        let hold = try #require(second.queue.retention.holds.first { $0.name == "query join" })
        #expect(hold.from < second.queue.durableEnd)
        // It can be paused, and is refused what nobody can tell.
        #expect(throws: QueryRequestError.self) {
            try second.put(
                "join", "SELECT n, COUNT(*) AS c INTO o FROM telemetry GROUP BY n, TumblingWindow(second, 1)")
        }
        second.end()

        let third = try QueryStart(files, reference: "/sites.csv")
        // It is behind: a turn that stops the hub would not read all for it.
        for _ in 0..<3 { third.fleet.turn(isStopping: false) }
        third.end()
        #expect(try third.status("join").failure == nil)
        #expect(third.rows("join/o/o.jsonl") == 2)
        #expect(third.rows("pass/p/p.jsonl") == 2)
        #expect(try third.status("join").definition.version == 1)
    }

    @Test(
        "without the file and its history the hub starts all the same, and the query runs when the file is back"
    )
    func missingRows() throws {
        let files = withSites()
        let first = try QueryStart(files, reference: "/sites.csv")
        try first.put("join", Self.join)
        try first.store(1)
        first.end()
        for path in files.files(below: "/data/references").keys { try files.remove(path) }
        try files.remove("/sites.csv")
        // A configured one that joins with it is another matter.
        #expect(throws: HubError.self) {
            try QueryStart(
                files, configured: [QueryDefinition(name: "other", text: Self.join)], reference: "/sites.csv")
        }
        let second = try QueryStart(files, reference: "/sites.csv")
        second.look()
        second.fleet.turn(isStopping: false)
        #expect(try second.status("join").failure?.contains("sites has no rows yet") == true)
        #expect(second.references.warnings.contains { $0.contains("the queries that join with it wait") })
        #expect(throws: QueryRequestError.self) { try second.put("more", Self.join) }
        files["/sites.csv"] = Array("id,name\n1,one\n".utf8)
        second.look()
        try second.store(2)
        second.clock.nanoseconds += 2_000_000_000
        second.end()
        #expect(second.rows("join/o/o.jsonl") == 2)
        #expect(second.references.warnings == [])
    }

    @Test("one that was added and cannot be opened can be removed, or edited with its state given up")
    func replaced() throws {
        let files = withSites()
        let first = try QueryStart(files, reference: "/sites.csv")
        try first.put("join", Self.join)
        try first.put("other", Self.join)
        try first.store(1)
        first.end()
        let second = try QueryStart(files)
        try second.fleet.delete("other", at: second.service.place)
        try second.put("join", Self.pass, isReset: true)
        second.end()
        #expect(second.rows("join/p/p.jsonl") == 1)
        #expect(try second.status("join").definition.version == 2)
        #expect(second.fleet.slot("other") == nil)
        #expect(second.queue.retention.holds.map(\.name) == ["query join"])
    }

    @Test(
        "one that begins anew is there after a crash, whichever step of that was the last one",
        arguments: 0..<6)
    func beginningCut(step: Int) throws {
        let files = MemoryFileStore()
        let first = try QueryStart(files)
        try first.put("pass", Self.pass)
        try first.store(1)
        first.end()
        #expect(first.rows("pass/p/p.jsonl") == 1)
        // As `QueryCatalog.beginAnew` does it, up to some step.
        let folder = first.service.place.folder(of: "pass")
        var pending = try first.status("pass").definition
        pending.version = 2
        pending.beginsAnew = true
        try folder.save(pending)
        if step >= 1 { try files.rename(folder.path, to: folder.path + ".aside-1") }
        if step >= 2 {
            try files.rename("/data/results/pass/p/p.jsonl", to: "/data/results/pass/p/p.jsonl.aside-1")
        }
        if step >= 3 { try files.createDirectory(folder.path) }
        pending.beginsAnew = false
        if step >= 4 { try folder.save(pending) }
        if step >= 5 {
            try QueryFolder(path: folder.path + ".aside-1", results: "", files: files).save(pending)
        }

        let second = try QueryStart(files)
        for _ in 0..<3 { second.fleet.turn(isStopping: false) }
        second.end()
        let status = try second.status("pass")
        #expect(status.failure == nil)
        #expect(status.definition.version == 2)
        #expect(!status.definition.beginsAnew)
        #expect(second.rows("pass/p/p.jsonl") == 1)
        // Only the crash brings it back, not what it left.
        try second.fleet.delete("pass", at: second.service.place)
        #expect(try QueryStart(files).fleet.slots.isEmpty)
    }

    @Test("a configured one that joins with what is not there keeps the hub from starting")
    func configuredMissing() throws {
        #expect(throws: QueryRequestError.self) {
            try QueryStart(MemoryFileStore(), configured: [QueryDefinition(name: "join", text: Self.join)])
        }
    }

    @Test("an edit of a configured one holds over starts until the configuration says something else")
    func editOfConfigured() throws {
        let files = MemoryFileStore()
        let pass = QueryDefinition(name: "pass", text: Self.pass)
        let first = try QueryStart(files, configured: [pass])
        let edited = Self.pass + " WHERE n > 5"
        #expect(try first.put("pass", edited, isReset: true).contains("until pass is changed there"))
        first.end()

        let second = try QueryStart(files, configured: [pass])
        #expect(try second.status("pass").definition.text == edited)
        #expect(try second.status("pass").definition.overridden != nil)
        #expect(try second.put("pass", edited) == "nothing changes")
        let again = Self.pass + " WHERE n > 7"
        #expect(try second.put("pass", again, isReset: true).contains("until pass is changed there"))
        second.end()

        // The configuration takes over what was tried.
        let third = try QueryStart(files, configured: [QueryDefinition(name: "pass", text: again)])
        #expect(try third.status("pass").definition.overridden == nil)
        #expect(try third.status("pass").definition.version == 3)
        #expect(try third.put("pass", Self.pass, isReset: true).contains("until pass is changed there"))
        #expect(try third.put("pass", again, isReset: true).contains("says again"))
        #expect(try third.status("pass").definition.overridden == nil)
        third.end()
        let fourth = try QueryStart(files, configured: [QueryDefinition(name: "pass", text: again)])
        #expect(try fourth.status("pass").definition.text == again)
    }

    @Test(
        "rows that go downstream want a downstream: a configured query, one that is added, one that was added"
    )
    func withoutDownstream() throws {
        var definition = QueryDefinition(name: "pass", text: Self.pass)
        try definition.setFlag("downstream", "p=true")
        let files = MemoryFileStore()
        #expect(throws: QueryRequestError.self) { try QueryStart(files, configured: [definition]) }
        let start = try QueryStart(files)
        #expect(throws: QueryRequestError.self) {
            try start.fleet.put(definition, isReset: false, isTrial: true, at: start.service.place)
        }
        try start.put("pass", Self.pass)
        start.end()
        // As a hub that had one left it.
        var kept = try start.status("pass").definition
        try kept.setFlag("downstream", "p=true")
        try start.service.place.folder(of: "pass").save(kept)
        let again = try QueryStart(files)
        again.end()
        #expect(try again.status("pass").state == .failed)
        #expect(try again.status("pass").failure?.contains("--downstream") == true)
    }

    @Test("a downstream cursor that is ahead of the checkpoint, or behind what is kept, is no reason to stop")
    func cursorElsewhere() throws {
        let files = MemoryFileStore()
        // Nobody is there: rows wait.
        let url = MosquittoURL(host: "127.0.0.1", port: 1)
        var definition = QueryDefinition(name: "pass", text: Self.pass)
        try definition.setFlag("downstream", "p=true")
        definition.start = .earliest
        let first = try QueryStart(files, configured: [definition], downstream: url)
        try first.store(1)
        first.end()
        first.service.place.downstream?.stop()
        func position(_ start: QueryStart, _ name: String) throws -> UInt64 {
            try #require(try start.status("pass").sinks.first { $0.name == name }).position
        }
        #expect(try position(first, "downstream") == 0)
        let end = try position(first, "files")
        #expect(end > 0)
        // As after a crash between the rows and the checkpoint that was to cover them.
        let cursor = SinkCursor(path: "/data/query/pass/downstream.cursor", files: files)
        try cursor.save(end + 50)
        let second = try QueryStart(files, configured: [definition], downstream: url)
        second.end()
        #expect(try position(second, "downstream") == end)
        #expect(try cursor.load() == end)
        second.service.place.downstream?.stop()
        // A query that has run before begins with the rows that are yet to come.
        try files.remove("/data/query/pass/downstream.cursor")
        let third = try QueryStart(files, configured: [definition], downstream: url)
        try third.store(2)
        third.end()
        #expect(try cursor.load() == end)
        #expect(try position(third, "files") > end)
        third.service.place.downstream?.stop()
    }

    @Test("queries beyond those that the downstream takes are refused")
    func manyDownstream() throws {
        let start = try QueryStart(MemoryFileStore(), downstream: MosquittoURL(host: "127.0.0.1", port: 1))
        defer { start.service.place.downstream?.stop() }
        func put(_ number: Int) throws {
            var definition = QueryDefinition(name: "q\(number)", text: Self.pass)
            try definition.setFlag("downstream", "p=true")
            _ = try start.fleet.put(definition, isReset: false, isTrial: false, at: start.service.place)
        }
        for number in 0..<DownstreamBroker.queriesMax { try put(number) }
        #expect(throws: QueryRequestError.self) { try put(99) }
        // Room again, and again after a pause.
        try start.fleet.pause("q1", at: start.service.place)
        try put(99)
        #expect(try start.status("q99").failure == nil)
    }

    @Test("rows without a topic cannot go downstream, and an output that is none is named")
    func outputs() throws {
        var silent = QueryDefinition(name: "pass", text: Self.pass)
        try silent.setFlag("downstream", "p=true")
        try silent.setTopic("p=")
        let start = try QueryStart(MemoryFileStore())
        #expect(throws: QueryRequestError.self) { try QueryOpener(silent, at: start.service.place) }
        var wrong = QueryDefinition(name: "pass", text: Self.pass)
        try wrong.setFlag("downstream", "q=true")
        #expect(throws: QueryRequestError.self) { try wrong.plan(references: []) }
        #expect(throws: QueryRequestError.self) { try wrong.setFlag("downstream", "p=yes") }
    }
}
