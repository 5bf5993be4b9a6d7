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
                    answerKey: answerKey, rows: .directory(folder), completeThrough: through
                ) {
                    each in try stopped.queue.scan { record, _ in try each(record) }
                }
            } catch {
                throw Failure(status: .usage, message: String(describing: error))
            }
        }
        guard let running = source as? RunningHub else { throw Failure.input("nothing to verify") }
        let (rows, written) = try await running.results()
        let records = try await running.everything()
        let through = due(written, lastArrival: records.map(\.arrivalTime).max())
        do {
            return try verifier.verify(answerKey: answerKey, rows: .lines(rows), completeThrough: through) {
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

    /// Every stored and every quarantined record, each device's in order.
    func everything() async throws -> [TelemetryRecord] {
        var records: [TelemetryRecord] = []
        var after = ""
        while true {
            let page = try await devices(after: after, limit: 1_000)
            for device in page {
                var next: UInt64 = 1
                while true {
                    let lines = try await self.records(device: device.id, from: next, limit: 10_000)
                    records.append(contentsOf: try lines.map(Self.record))
                    if lines.isEmpty { break }
                    next += UInt64(lines.count)
                }
            }
            guard let last = page.last, page.count == 1_000 else { break }
            after = last.id
        }
        var next: UInt64 = 1
        while true {
            let lines = try await quarantined(from: next, limit: 10_000)
            records.append(contentsOf: try lines.map(Self.record))
            if lines.isEmpty { return records }
            next += UInt64(lines.count)
        }
    }

    private static func record(_ json: [UInt8]) throws -> TelemetryRecord {
        guard let record = RecordJSON.parse(json) else {
            throw Failure.input(
                "the hub sent a record that is none: \(String(decoding: json, as: UTF8.self))")
        }
        return record
    }
}
