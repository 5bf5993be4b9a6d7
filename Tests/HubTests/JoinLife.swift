import DeviceQueue
import FileStoreKit
import Platform
import ReferenceFiles
import Telemetry
import Testing

@testable import Hub

/// One life of a hub's queries over a disk in memory: log, reference data, engine, outbox and sinks are the real ones,
/// commits, looks and turns the test's.
final class JoinLife {
    static let file = "/sites.csv"
    static let results = "/data/results/join/o/o.jsonl"
    static let text = """
        SELECT t.n, s.name INTO o FROM telemetry t LEFT JOIN sites s ON t.site = s.id
        """

    let files: MemoryFileStore
    let clock: HubLife.Clock
    let queue: DeviceQueue
    let service: ReferenceService
    let place: QueryOpener.Place
    let fleet: QueryFleet
    private(set) var statuses: [QueryStatus] = []

    /// - Throws: when the disk is dead.
    init(_ files: MemoryFileStore, clock: HubLife.Clock, text: String = JoinLife.text) throws {
        self.files = files
        self.clock = clock
        queue = try DeviceQueue.open(
            directory: "/data/queue/0", files: files, limits: HubLife.queueLimits, nowTicks: 1, seed: 7)
        service = try ReferenceService(
            [ReferenceSource(name: "sites", location: Self.file)], queue: queue, data: "/data", files: files,
            clock: clock, log: { _ in })
        let storage = HubLife.Storage()
        let loop = BrokerLoop(
            executor: HubLife.Turns(), queue: queue, storage: storage, clock: clock, limits: HubLimits(),
            counters: HubCounters(startNonce: 1), seed: 1)
        place = QueryOpener.Place(
            queue: queue, loop: loop, data: "/data", files: files, clock: clock, references: service.shelf,
            log: { _ in })
        fleet = QueryFleet(queue: queue, storage: storage, clock: clock)
        var definition = QueryDefinition(name: "join", text: text)
        definition.start = .earliest
        for definition in try QueryCatalog(place: place).definitions(configured: [definition], threads: 1) {
            try fleet.add(try QueryOpener(definition, at: place), mustOpen: true)
        }
        look()
    }

    func look() {
        let fleet = fleet
        withoutActuallyEscaping(
            { try fleet.adopt($0, as: $1) } as (ReferenceContents, ReferenceHistory) throws -> Void
        ) {
            let adopt = Unchecked(body: $0)
            service.lookAtAll { try adopt.body($0, $1) }
        }
    }

    /// Guard: called on the thread that made it, before the call that it is given to returns.
    private struct Unchecked: @unchecked Sendable {
        let body: (ReferenceContents, ReferenceHistory) throws -> Void
    }

    /// Stores the readings `numbers` of one device; those that are there already are not stored again.
    func append(_ numbers: Range<Int>) throws {
        let device = try #require(queue.device(named: "d"))
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        let staging = StagingBuffer(byteCapacity: 8_192)
        for number in numbers {
            let payload = Array("{\"n\":\(number),\"site\":\(number % 3)}".utf8)
            let offset = payload.withUnsafeBytes { payload in
                Array("\(number)".utf8).withUnsafeBytes { id in
                    staging.stageRecord(
                        device: device, client: 0, packetIdentifier: 0, flags: 1, reason: 0, eventTicks: nil,
                        topic: empty, properties: empty, payload: payload, messageID: .decoded(id))
                }
            }
            _ = try #require(offset)
        }
        try queue.append(staging, arrivalTicks: Int64(1_000 + numbers.lowerBound))
        try queue.commit()
    }

    func turn(isStopping: Bool = false) {
        fleet.turn(isStopping: isStopping)
        statuses = fleet.statuses()
    }

    var lines: [String] {
        String(decoding: files[Self.results], as: UTF8.self).split(separator: "\n").map(String.init)
    }
}
