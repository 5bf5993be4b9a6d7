import PerpetualQuery
import Telemetry
import Testing

@Suite struct FieldTests {
    private let noon = time("2026-03-01T12:00:00Z")

    private func rows(_ payloads: [String], limits: StreamLimits = StreamLimits()) -> [ResultRow] {
        var harness = Harness(limits: limits)
        return harness.run(
            payloads.map { .record(device: 1, arrival: noon, event: noon, payload: $0) } + [.flush])
    }

    @Test("numbers at the top level are aggregated; ids, times, texts, nested values and nulls are not")
    func expansion() {
        let rows = rows([
            "{\"messageId\":1,\"id\":2,\"ts\":3,\"timestamp\":4,\"deviceId\":5,\"device\":6,\"b\":7,"
                + "\"text\":\"8\",\"on\":true,\"none\":null,\"in\":{\"x\":9},\"list\":[10],\"a\":-1.5}"
        ])
        #expect(rows.map { $0["field"] } == [.text("a"), .text("b")])
    }

    @Test("a payload that is no JSON object counts for nothing, not even its first fields")
    func notJSON() {
        var harness = Harness()
        for payload in ["", "{\"a\":1,", "[1]", "7", "{\"a\":1} x", "\u{0}"] {
            #expect(
                harness.run(.record(device: 1, arrival: noon, event: noon, payload: payload)).isEmpty)
        }
        #expect(harness.engine.counters.notJSON == 6)
        #expect(harness.run(.flush).isEmpty)
    }

    @Test("a name that comes twice counts once, with its last value")
    func repeatedName() {
        let rows = rows(["{\"a\":1,\"a\":2,\"b\":5,\"b\":\"x\",\"c\":null,\"c\":3}"])
        #expect(rows.map { $0["field"] } == [.text("a"), .text("c")])
        #expect(rows.map { $0["sum"] } == [.bigint(2), .bigint(3)])
    }

    @Test("all spellings of a name are one field, also the excluded ones'")
    func spellings() throws {
        let payloads = [
            "{\"temp\":1}", "{\"te\\u006dp\":2}", "{\"t\\u0065mp\":3}", "{\"i\\u0064\":9}", "{\"a\\\\b\":4}",
            "{\"a\\u005Cb\":5}", "{\"q\\\"\":6}", "{\"q\\u0022\":7}", "{\"\\u00e9\":8}", "{\"é\":9}",
        ]
        let steps: [Step] = payloads.map { .record(device: 1, arrival: noon, event: noon, payload: $0) }
        var straight = Harness()
        let rows = straight.run(steps + [.flush])
        #expect(rows.map { $0["field"] } == [.text("a\\b"), .text("q\""), .text("temp"), .text("é")])
        #expect(rows.map { $0["sum"] } == [.bigint(9), .bigint(13), .bigint(6), .bigint(17)])
        var cut = Harness()
        for step in steps {
            _ = cut.run(step)
            try cut.restart()
        }
        #expect(cut.run(.flush) == rows)
    }

    @Test("integers stay integers, and one float makes the sum a float")
    func integersAndFloats() {
        let rows = rows([
            "{\"i\":3,\"f\":1.5,\"m\":1}", "{\"i\":4,\"f\":2.0,\"m\":0.5}", "{\"i\":-9,\"f\":0.25,\"m\":7}",
        ])
        #expect(rows.map { $0["field"] } == [.text("f"), .text("i"), .text("m")])
        #expect(rows.map { $0["min"] } == [.float(0.25), .bigint(-9), .float(0.5)])
        #expect(rows.map { $0["max"] } == [.float(2), .bigint(4), .bigint(7)])
        #expect(rows.map { $0["sum"] } == [.float(3.75), .bigint(-2), .float(8.5)])
        #expect(rows[1]["avg"] == .float(-2.0 / 3))
        #expect(rows[2]["avg"] == .float(8.5 / 3))
    }

    @Test("integers past 2^53 are compared with floats exactly")
    func largeIntegers() {
        let rows = rows(["{\"a\":9007199254740993}", "{\"a\":9007199254740992.0}", "{\"a\":-1e300}"])
        #expect(rows[0]["max"] == .bigint(9_007_199_254_740_993))
        #expect(rows[0]["min"] == .float(-1e300))
    }

    @Test("a sum that fits counts exactly, whatever the order passed through")
    func sumInAnyOrder() {
        let rows = rows(["{\"a\":9223372036854775807}", "{\"a\":5}", "{\"a\":-6}"])
        #expect(rows.map(\.output) == ["minute"])
        #expect(rows[0]["sum"] == .bigint(9_223_372_036_854_775_806))
        #expect(rows[0]["min"] == .bigint(-6))
    }

    @Test("a sum past 64 bits is null in its row and a row of `_errors`, never a wrap", arguments: [1, -1])
    func overflow(sign: Int64) {
        let great = "\(sign > 0 ? "" : "-")9223372036854775807"
        let rows = rows(["{\"a\":\(great)}", "{\"a\":\(great)}", "{\"b\":1}"])
        #expect(rows.map(\.output) == ["minute", "minute", "_errors"])
        #expect(rows[0]["sum"] == .null)
        #expect(rows[0]["avg"] == .float(Double(sign) * 0x1p63))
        #expect(rows[2]["reason"] == .text("sum_overflow"))
        #expect(rows[2]["group"] == .text("[\"device-7\",\"a\"]"))
        #expect(rows[2]["time"] == .time(noon))
    }

    @Test("floats whose sum is past the greatest double are an overflow too")
    func floatOverflow() {
        let rows = rows(["{\"a\":1e308}", "{\"a\":1e308}"])
        #expect(rows.map(\.output) == ["minute", "_errors"])
        #expect(rows[0]["sum"] == .null)
        #expect(rows[0]["avg"] == .null)
        #expect(rows[0]["max"] == .float(1e308))
    }

    @Test("hundreds of fields of one device are kept apart")
    func manyFields() {
        let payload = "{" + (0..<700).map { "\"f\($0)\":\($0)" }.joined(separator: ",") + "}"
        let rows = rows([payload, payload])
        #expect(rows.count == 700)
        for row in rows {
            guard case .text(let name) = row["field"], let value = Int64(name.dropFirst()) else {
                Issue.record("no field in \(row)")
                continue
            }
            #expect(row["sum"] == .bigint(2 * value))
        }
    }
}

@Suite struct LimitTests {
    private let noon = time("2026-03-01T12:00:00Z")

    private func record(_ payload: String, device: UInt32 = 1) -> Step {
        .record(device: device, arrival: noon, event: noon, payload: payload)
    }

    private func outcome(_ limits: StreamLimits, _ steps: [Step]) throws -> [String] {
        var harness = Harness(limits: limits)
        var cut = Harness(limits: limits)
        var rows: [ResultRow] = []
        for step in steps + [.flush] {
            let straight = harness.run(step)
            #expect(cut.run(step) == straight)
            try cut.restart(limits: limits)
            rows += straight
        }
        #expect(harness.engine.counters.errors == UInt64(rows.filter { $0.output == "_errors" }.count))
        return rows.map { row in
            guard case .text(let text) = row[row.output == "_errors" ? "reason" : "field"] else { return "?" }
            return text
        }
    }

    @Test("names past the limit of those that are remembered, or too long for it, give the same rows")
    func fieldNames() throws {
        var limits = StreamLimits()
        limits.fieldNamesMax = 2
        let long = String(repeating: "n", count: 300)
        let steps = [
            record("{\"a\":1,\"\(long)\":1}"), record("{\"b\":1,\"c\":1,\"c\":\"x\"}"), record("{\"a\":1}"),
        ]
        #expect(try outcome(limits, steps) == ["a", "b", long])
    }

    @Test("a record of thousands of fields gives all its rows")
    func fieldsPerRecord() throws {
        let payload = "{" + (0..<3_000).map { "\"f\($0)\":1" }.joined(separator: ",") + "}"
        #expect(try outcome(StreamLimits(), [record(payload)]).count == 3_000)
    }

    @Test("groups, timelines and keys past the limits go to `_errors`, and the query goes on")
    func groups() throws {
        var limits = StreamLimits()
        limits.openGroupsMax = 2
        #expect(
            try outcome(limits, [record("{\"a\":1,\"b\":1,\"c\":1}"), record("{\"d\":1}", device: 2)])
                == ["limit", "limit", "a", "b"])
        limits = StreamLimits()
        limits.timelinesMax = 1
        #expect(
            try outcome(limits, [record("{\"a\":1}"), record("{\"b\":1}", device: 2)]) == ["limit", "a"])
        let long = String(repeating: "n", count: 20_000)
        #expect(
            try outcome(StreamLimits(), [record("{\"\(long)\":1}"), record("{\"a\":1}")])
                == ["limit", "a"])
    }

    @Test("a long payload is not copied into a late row")
    func longPayload() {
        var limits = StreamLimits()
        limits.rowPayloadBytesMax = 10
        var harness = Harness(limits: limits)
        let rows = harness.run([
            .record(device: 1, arrival: noon, event: noon.plus(seconds: -61), payload: "{\"a\":1}"),
            .record(device: 1, arrival: noon, event: noon.plus(seconds: -61), payload: "{\"abcdef\":1}"),
        ])
        #expect(rows.map { $0["payload"] } == [.text("{\"a\":1}"), .null])
    }
}
