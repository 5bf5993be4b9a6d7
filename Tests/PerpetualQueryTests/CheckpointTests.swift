import PerpetualQuery
import Telemetry
import Testing

@Suite struct CheckpointTests {
    private let noon = time("2026-03-01T12:00:00Z")

    private func engine() -> QueryEngine {
        var harness = Harness()
        _ = harness.run([
            .record(device: 2, arrival: noon, event: noon, payload: "{\"t\":21.5,\"n\":-3,\"te\\u0078t\":1}"),
            .record(device: 1, arrival: noon, event: noon.plus(seconds: 61), payload: "{\"n\":7}"),
            .tick(arrival: noon),
        ])
        return harness.engine
    }

    @Test("the bytes of a checkpoint are the documented ones")
    func golden() {
        let bytes = engine().snapshot()
        let hex = bytes.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
        #expect(hex == Self.goldenHex)
    }

    @Test("every damaged byte of a checkpoint is found")
    func damage() {
        let bytes = engine().snapshot()
        for index in bytes.indices {
            var damaged = bytes
            damaged[index] ^= 0x10
            #expect(throws: CheckpointError.self, "byte \(index)") {
                _ = try QueryEngine(plan: .perMinute, restoring: damaged)
            }
        }
        for count in 0..<bytes.count {
            #expect(throws: CheckpointError.self, "cut at \(count)") {
                _ = try QueryEngine(plan: .perMinute, restoring: Array(bytes[..<count]))
            }
        }
    }

    @Test("a checkpoint of another query, or of a newer format, is refused and says what to do")
    func otherPlan() {
        var plan = QueryPlan.perMinute
        plan.version = 2
        #expect(throws: CheckpointError.otherPlan) {
            _ = try QueryEngine(plan: plan, restoring: engine().snapshot())
        }
        #expect(CheckpointError.otherPlan.description.contains("delete the checkpoint"))
        #expect(CheckpointError.newerFormat(version: 9).description.contains("format 9"))
    }

    static let goldenHex =
        "484544515545525901000000aa741aaf005a13f593f73e00ffffffffffffff7f0000000000000080020000000000"
        + "00000000000000000000000000000000000000000000000000000000000000000000040000000000000000000000"
        + "0000000000000000000000000400000000000000010000007401000000010000006e020000000400000074657874"
        + "020000000900000074655c7530303738740200000001000000807c323d94f73e0001000000002c5d6094f73e0001"
        + "00000001000000000100000000000000070000000000000007000000000000000700000000000000000000000000"
        + "00000200000000a0d61894f73e000100000000a0d61894f73e000300000000000000070100000000000000000000"
        + "000080354000000000008035400000000000803540000000000000000001000000000100000000000000fdffffff"
        + "fffffffffdfffffffffffffffdffffffffffffffffffffffffffffff020000000001000000000000000100000000"
        + "000000010000000000000001000000000000000000000000000000d0aa104a"
}
