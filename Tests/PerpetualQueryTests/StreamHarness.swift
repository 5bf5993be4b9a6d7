import PerpetualQuery
import QueryLanguage
import Telemetry
import Testing

/// A stream engine for a query text, with its rows as JSON lines.
final class StreamHarness {
    let plan: StreamPlan
    private let references: [ReferenceData]
    private let limits: StreamLimits
    let buffer: RowBuffer
    private(set) var engine: StreamEngine
    private(set) var sequence: UInt64 = 0

    init(
        _ text: String, settings: StreamSettings = StreamSettings(), references: [ReferenceData] = [],
        limits: StreamLimits = StreamLimits()
    ) throws {
        let (plan, errors) = QueryPlanner.plan(
            text: text, name: "test", settings: settings, referenceInputs: references.map(\.name))
        #expect(errors.map { $0.render(source: text) } == [])
        self.plan = try #require(plan)
        self.references = references
        self.limits = limits
        buffer = RowBuffer(plan: self.plan)
        engine = try StreamEngine(plan: self.plan, references: references, rows: buffer, limits: limits)
    }

    /// - Returns: the rows that came of it, as JSON.
    func take(_ payload: String, arrival: EventTime = EventTime(ticks: 0), input: Int = 0) throws -> [String]
    {
        sequence += 1
        try Array(payload.utf8).withUnsafeBytes { bytes in
            _ = try engine.process(
                StreamEvent(
                    input: input, device: 0, sequence: sequence, arrivalTime: arrival, eventTime: arrival,
                    payload: bytes))
        }
        return rows()
    }

    func tick(_ arrival: EventTime) throws -> [String] {
        try engine.tick(arrival: arrival)
        return rows()
    }

    func flush() throws -> [String] {
        try engine.flush()
        return rows()
    }

    func rows() -> [String] {
        var lines: [String] = []
        for row in 0..<buffer.count {
            var bytes: [UInt8] = []
            buffer.appendJSON(of: row, to: &bytes)
            lines.append(String(decoding: bytes, as: UTF8.self))
        }
        lines += buffer.systemRows.map { "\($0.output) " + String(decoding: $0.json(), as: UTF8.self) }
        buffer.removeAll()
        return lines
    }

    func restart() throws {
        let state = engine.snapshot()
        engine = try StreamEngine(plan: plan, references: references, rows: buffer, limits: limits)
        try engine.restore(state)
    }
}

extension StreamSettings {
    static func arrivingOnTime(outOfOrder seconds: Int64 = 0) -> StreamSettings {
        var settings = StreamSettings()
        settings.arrivesAtEventTime = true
        settings.timePolicy.outOfOrderToleranceTicks = seconds * EventTime.ticksPerSecond
        return settings
    }
}
