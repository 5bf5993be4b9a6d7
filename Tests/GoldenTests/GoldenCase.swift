import Foundation
import PerpetualQuery
import Platform
import QueryLanguage
import QueryReplay
import ReferenceFiles
import Telemetry
import Testing

/// A case: a folder with `query.sql`, events and the rows that must come of them.
///
/// Events: `input.jsonl`, or `NAME.jsonl` for each of several inputs. Reference data:
/// `reference.NAME.jsonl`, `.json`, `.csv` or `.db`. Rows: `expected.jsonl`, or `expected.OUTPUT.jsonl` for
/// each of several outputs.
/// Settings stand in comments at the head of the query: `-- late: 5s`, `-- out-of-order: 2s`, `-- early:
/// 1m`, `-- policy: drop`, `-- watermark-over: FIELD`, `-- idle-after: 30s`, `-- arrival: FIELD`, `-- errors: divert`,
/// `-- fails: reason`, `-- fixed order`.
struct GoldenCase: Sendable, CustomTestStringConvertible {
    var name: String
    var folder: URL
    var query: String
    var settings = StreamSettings()
    var arrivalField: String?
    /// The reason with which the query must stop.
    var failure: String?
    /// The order of the events is what the case is about.
    var hasFixedOrder = false

    var testDescription: String { name }

    static let all: [GoldenCase] = {
        guard let root = Bundle.module.url(forResource: "Cases", withExtension: nil),
            let names = try? FileManager.default.contentsOfDirectory(atPath: root.path)
        else { return [] }
        return names.sorted().compactMap { GoldenCase(root.appending(path: $0)) }
    }()

    init?(_ folder: URL) {
        guard let text = try? String(contentsOf: folder.appending(path: "query.sql"), encoding: .utf8) else {
            return nil
        }
        name = folder.lastPathComponent
        self.folder = folder
        query = text
        var devices: String?
        var idle: Int64?
        for line in text.split(separator: "\n") where line.hasPrefix("-- ") {
            let parts = line.dropFirst(3).split(separator: ":", maxSplits: 1).map {
                $0.trimmingCharacters(in: .whitespaces)
            }
            let value = parts.count > 1 ? parts[1] : ""
            switch parts[0] {
            case "late":
                settings.timePolicy.lateToleranceTicks =
                    value == "unlimited" ? TimePolicy.unlimited : Self.ticks(value)
            case "out-of-order": settings.timePolicy.outOfOrderToleranceTicks = Self.ticks(value)
            case "early": settings.timePolicy.earlyToleranceTicks = Self.ticks(value)
            case "policy":
                settings.timePolicy.lateAction =
                    value == "drop" ? .drop : value == "divert" ? .divert : .adjust
            case "arrival": arrivalField = value
            case "watermark-over": devices = value
            case "idle-after": idle = value == "unlimited" ? TimePolicy.unlimited : Self.ticks(value)
            case "errors": settings.errorPolicy = .divert
            case "fails": failure = value
            case "fixed order": hasFixedOrder = true
            default: break
            }
        }
        settings.arrivesAtEventTime = arrivalField == nil
        if let devices {
            settings.minimumWatermark = try? MinimumWatermark(fields: devices, idleTicks: idle)
        }
    }

    private static func ticks(_ text: String) -> Int64 {
        let units: [(String, Int64)] = [
            ("ms", 10_000), ("s", 10_000_000), ("m", 600_000_000), ("h", 36_000_000_000),
        ]
        for (suffix, scale) in units where text.hasSuffix(suffix) {
            if let number = Int64(text.dropLast(suffix.count)) { return number * scale }
        }
        return 0
    }

    private func lines(_ file: String) -> [[UInt8]]? {
        guard let text = try? String(contentsOf: folder.appending(path: file), encoding: .utf8) else {
            return nil
        }
        return text.split(separator: "\n").map { Array($0.utf8) }
    }

    var references: [ReferenceData] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        let reader = ReferenceReader(files: PosixFileStore())
        return names.sorted().compactMap { file in
            guard file.hasPrefix("reference.") else { return nil }
            let name = String(file.split(separator: ".")[1])
            let source = ReferenceSource(name: name, location: folder.appending(path: file).path)
            do { return try reader.read(source).data } catch {
                Issue.record("\(error)")
                return nil
            }
        }
    }

    func plan(_ settings: StreamSettings) -> StreamPlan? {
        let (plan, errors) = QueryPlanner.plan(
            text: query, name: name, settings: settings, referenceInputs: references.map(\.name))
        for error in errors { Issue.record("\(error.render(source: query, name: name))") }
        return plan
    }

    /// Rows by output, as they must be.
    func expected(_ plan: StreamPlan) -> [String: [[Column]]] {
        var rows: [String: [[Column]]] = [:]
        for output in plan.outputs + ["_late", "_errors"] {
            var found = lines("expected.\(output).jsonl")
            if plan.outputs.count == 1, output == plan.outputs[0] { found = found ?? lines("expected.jsonl") }
            rows[output] = (found ?? []).compactMap { line in
                line.withUnsafeBytes { RowDifference.columns(of: $0) }
            }
        }
        return rows
    }

    struct Event: Sendable {
        var input: Int
        var payload: [UInt8]
        var sequence: UInt64
        var time: Int64
        var arrival: Int64
    }

    /// The events in the order of their arrival.
    func events(_ plan: StreamPlan, _ engine: StreamEngine) -> [Event] {
        var events: [Event] = []
        let arrival = arrivalField.map { FieldReader($0) }
        for (index, input) in plan.inputs.enumerated() {
            let file = plan.inputs.count == 1 ? "input.jsonl" : "\(input.name).jsonl"
            var last = Int64.min
            for (number, payload) in (lines(file) ?? []).enumerated() {
                payload.withUnsafeBytes { bytes in
                    let event = StreamEvent(
                        input: index, device: 0, sequence: UInt64(number + 1),
                        arrivalTime: EventTime(ticks: 0),
                        eventTime: EventTime(ticks: 0), payload: bytes)
                    let time = engine.time(of: event)?.ticks ?? last
                    let arrived = arrival?.time(of: bytes)?.ticks ?? time
                    last = max(last, arrived)
                    events.append(
                        Event(
                            input: index, payload: payload, sequence: event.sequence, time: time,
                            arrival: arrived))
                }
            }
        }
        if plan.inputs.count == 1 { return events }
        return events.enumerated().sorted {
            ($0.element.arrival, $0.offset) < ($1.element.arrival, $1.offset)
        }.map(\.element)
    }
}

/// An engine with its rows collected.
final class GoldenRun {
    let plan: StreamPlan
    let golden: GoldenCase
    let buffer: RowBuffer
    var engine: StreamEngine
    private(set) var rows: [ResultRow] = []

    init(_ golden: GoldenCase, _ plan: StreamPlan) throws {
        self.golden = golden
        self.plan = plan
        buffer = RowBuffer(plan: plan)
        engine = try StreamEngine(plan: plan, references: golden.references, rows: buffer)
    }

    func take(_ event: GoldenCase.Event) throws {
        try event.payload.withUnsafeBytes { bytes in
            _ = try engine.process(
                StreamEvent(
                    input: event.input, device: 0, sequence: event.sequence,
                    arrivalTime: EventTime(ticks: max(event.arrival, -621_355_968_000_000_000)),
                    eventTime: EventTime(ticks: event.time), payload: bytes))
        }
        collect()
    }

    /// Takes the events of the only input decoded ahead, some at a time.
    func take(_ events: [GoldenCase.Event], inBatchesOf size: Int, restarts: Bool) throws {
        let batch = EventBatch(plan: plan, input: 0)
        let decoder = EventDecoder(plan: plan, input: 0, limits: StreamLimits())
        var at = 0
        while at < events.count {
            batch.removeAll(firstSequence: events[at].sequence)
            while at < events.count, batch.count < size, batch.hasRoom(for: events[at].payload.count) {
                let arrival = EventTime(ticks: max(events[at].arrival, -621_355_968_000_000_000))
                events[at].payload.withUnsafeBytes { decoder.add($0, arrival: arrival, line: at, to: batch) }
                at += 1
            }
            decoder.finish(batch)
            if restarts { try restart() }
            let stopped = try engine.process(batch, stopsAtOthers: true)
            precondition(stopped == nil, "event \(at) of \(golden.name) is no JSON object")
            collect()
        }
    }

    func finish() throws {
        try engine.flush()
        collect()
    }

    private func collect() {
        rows += (0..<buffer.count).map { buffer.resultRow($0) } + buffer.systemRows
        buffer.removeAll()
    }

    /// Swaps the engine for one restored from its own checkpoint.
    func restart() throws {
        let state = engine.snapshot()
        engine = try StreamEngine(plan: plan, references: golden.references, rows: buffer)
        try engine.restore(state)
    }

    func columns(_ output: String) -> [[Column]] { rows.filter { $0.output == output }.map(\.columns) }
}
