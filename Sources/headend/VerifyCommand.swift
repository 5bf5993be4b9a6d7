import ArgumentParser
import DeviceQueue
import Foundation
import Hub
import Platform
import Telemetry
import Verify

/// The proof: the answer key against what the hub has.
struct VerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Prove lost 0, counted twice 0, windows wrong 0.",
        discussion: """
            Joins the fleet's answer key with the stored queues and adds every minute up again, apart from the \
            query engine. Exit status 0 or 1.

            Example: headend verify --answer-key out/truth.jsonl --data headend-data
            """)

    @Option(
        name: .customLong("answer-key"),
        help: ArgumentHelp(
            "What the fleet wrote. Without it sequences, message ids and windows are checked.",
            valueName: "file"))
    var answerKey: String?
    @OptionGroup var source: SourceOptions
    @Flag(help: "The report as one JSON object.") var json = false

    func run() async throws {
        if let answerKey, !FileManager.default.isReadableFile(atPath: answerKey) {
            throw Failure(status: .environment, message: "\(answerKey): cannot be read: check --answer-key")
        }
        let report = try await Self.report(
            answerKey: answerKey, source: try source.open(),
            results: (source.data ?? "headend-data") + "/results")
        Console.line(json ? String(decoding: report.json, as: UTF8.self) : report.text)
        if !report.passed { throw ExitCode(ExitStatus.failed.rawValue) }
    }

    /// - Parameter results: the results folder; used for a stopped hub only.
    static func report(
        answerKey: String?, source: any RecordSource, results: String
    ) async throws -> VerifyReport {
        defer { source.close() }
        let verifier = Verifier(files: PosixFileStore())
        if let stopped = source as? StoppedHub {
            let folder = results + "/minute"
            do {
                let written = try ResultFiles(root: folder, files: PosixFileStore()).newestWindowEnd()
                let through = due(written, lastArrival: EventTime(ticks: stopped.queue.lastArrivalTicks))
                return try verifier.verify(
                    answerKey: answerKey, rows: .directory(folder), completeThrough: through,
                    removed: stopped.removed
                ) {
                    each in try stopped.queue.scan { record, _ in try each(record) }
                }
            } catch {
                throw Failure(status: .usage, message: String(describing: error))
            }
        }
        guard let running = source as? RunningHub else { throw Failure.input("nothing to verify") }
        let (rows, written) = try await running.results()
        let (records, removed) = try await running.everything()
        let through = due(written, lastArrival: records.map(\.arrivalTime).max())
        do {
            return try verifier.verify(
                answerKey: answerKey, rows: .lines(rows), completeThrough: through, removed: removed
            ) {
                each in
                for record in records { try each(record) }
            }
        } catch {
            throw Failure(status: .usage, message: String(describing: error))
        }
    }
}

extension VerifyCommand {
    /// The window end up to which there must be results: what was written, or what the log's clock says is due,
    /// whichever is later; a hub that wrote nothing does not pass.
    ///
    /// A window is due a minute after its end (the late tolerance), and five seconds for the way to the file.
    static func due(_ written: EventTime?, lastArrival: EventTime?) -> EventTime? {
        guard let lastArrival, lastArrival.ticks > 0 else { return written }
        let minute = EventTime.ticksPerMinute
        let due = EventTime(
            ticks: (lastArrival.ticks - minute - 5 * EventTime.ticksPerSecond) / minute * minute)
        return max(written ?? due, due)
    }
}

extension StoppedHub {
    /// What retention removed, as far as the log on disk says.
    var removed: Verifier.Removed {
        var removed = Verifier.Removed()
        for entry in queue.removedRecords { removed.records[entry.device.text] = entry.count }
        removed.quarantined = queue.firstQuarantinedSequence - 1
        if queue.firstOffset.bytes > 0 { removed.arrivedBefore = queue.firstArrivalTime }
        return removed
    }
}

extension RunningHub {
    /// Every result row, and the window end up to which there must be some.
    func results() async throws -> (rows: [[UInt8]], through: EventTime?) {
        var rows: [[UInt8]] = []
        var since: EventTime?
        while true {
            var query = [("limit", "20000")]
            if let since { query.append(("since", since.description)) }
            let page = Self.objects(try await get("api/v1/queries/minute/results", query))
            guard let last = page.last else { return (rows, since) }
            rows.append(contentsOf: page)
            guard let end = Self.windowEnd(last) else {
                throw Failure.input("\(base): a result row without windowEnd")
            }
            since = end
        }
    }

    private static func windowEnd(_ row: [UInt8]) -> EventTime? {
        var found: EventTime?
        _ = row.withUnsafeBytes { bytes in
            JSONFieldScanner.forEachTopLevelField(bytes) { name, value in
                if case .text(let raw, _) = value, name.elementsEqual("windowEnd".utf8) {
                    found = EventTime.parse(iso8601: raw)
                }
            }
        }
        return found
    }

    /// Every stored and every quarantined record, each device's in order, and what retention had removed when
    /// they were read.
    func everything() async throws -> (records: [TelemetryRecord], removed: Verifier.Removed) {
        var records: [TelemetryRecord] = []
        var removed = Verifier.Removed()
        var after = ""
        while true {
            let page = try await devices(after: after, limit: 1_000)
            for device in page {
                let found = try await pages {
                    try await self.records(device: device.id, from: $0, limit: 10_000)
                }
                // What went while this was read counts as gone: all behind it was read.
                let first = try await firstSequence(device)
                if first > 1 { removed.records[device.id] = first - 1 }
                records += found.filter { $0.sequence >= first }
            }
            guard let last = page.last, page.count == 1_000 else { break }
            after = last.id
        }
        let aside = try await pages { try await quarantined(from: $0, limit: 10_000) }
        let log = try await logStatus()
        removed.quarantined = log.removedQuarantined
        if log.removedSegments > 0 { removed.arrivedBefore = log.firstTime.flatMap { EventTime.parse($0) } }
        records += aside.filter { $0.sequence > removed.quarantined }
        return (records, removed)
    }

    private func pages(_ read: (_ from: UInt64) async throws -> [[UInt8]]) async throws -> [TelemetryRecord] {
        var records: [TelemetryRecord] = []
        while true {
            let lines = try await read((records.last?.sequence ?? 0) + 1)
            if lines.isEmpty { return records }
            records += try lines.map(Self.record)
        }
    }

    private struct LogStatus: Decodable {
        var removedQuarantined: UInt64
        var removedSegments: UInt64
        var firstTime: String?
    }

    private func logStatus() async throws -> LogStatus {
        struct Status: Decodable { var log: LogStatus }
        return try JSONDecoder().decode(Status.self, from: try await get("api/v1/status")).log
    }

    private func firstSequence(_ device: DeviceLine) async throws -> UInt64 {
        try JSONDecoder().decode(
            DeviceLine.self, from: try await get("api/v1/devices/\(device.id)")
        ).firstSequence
    }

    private static func record(_ json: [UInt8]) throws -> TelemetryRecord {
        guard let record = RecordJSON.parse(json) else {
            throw Failure.input(
                "the hub sent a record that is none: \(String(decoding: json, as: UTF8.self))")
        }
        return record
    }
}
