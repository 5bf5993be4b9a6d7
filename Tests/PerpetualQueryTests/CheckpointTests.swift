import PerpetualQuery
import Telemetry
import Testing

@Suite struct CheckpointTests {
    private let noon = time("2026-03-01T12:00:00Z")

    private let steps: [Step]

    init() {
        steps = [
            .record(device: 2, arrival: noon, event: noon, payload: "{\"t\":21.5,\"n\":-3,\"te\\u0078t\":1}"),
            .record(device: 1, arrival: noon, event: noon.plus(seconds: 61), payload: "{\"n\":7}"),
            .tick(arrival: noon),
        ]
    }

    private func state() -> [UInt8] {
        var harness = Harness()
        _ = harness.run(steps)
        return harness.engine.snapshot()
    }

    private func restored(_ state: [UInt8]) throws -> Harness {
        let harness = Harness()
        try harness.engine.restore(state)
        return harness
    }

    @Test("the bytes of a checkpoint are the documented ones")
    func golden() {
        let hex = state().map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
        #expect(hex == Self.goldenHex)
    }

    @Test("the state that the versions before the SQL engine wrote is taken over as it stood")
    func firstFormat() throws {
        let digits = Array(Self.firstHex.utf8)
        let bytes = stride(from: 0, to: digits.count, by: 2).map {
            UInt8(String(decoding: digits[$0..<($0 + 2)], as: UTF8.self), radix: 16) ?? 0
        }
        var adopted = try restored(bytes)
        var straight = Harness()
        _ = straight.run(steps)
        let rest: [Step] = [
            .record(device: 2, arrival: noon, event: noon, payload: "{\"t\":1,\"text\":2}"),
            .tick(arrival: noon.plus(seconds: 200)), .flush,
        ]
        #expect(adopted.engine.completeThrough == straight.engine.completeThrough)
        adopted.sequences = straight.sequences
        #expect(adopted.run(rest) == straight.run(rest))
        #expect(adopted.engine.counters.rows == straight.engine.counters.rows)
        for index in bytes.indices {
            var damaged = bytes
            damaged[index] ^= 0x10
            #expect(throws: CheckpointError.self, "byte \(index)") { try restored(damaged) }
        }
    }

    @Test("a state of several pieces is restored as it was")
    func pieces() throws {
        var harness = Harness()
        harness.engine.deviceName = {
            DeviceID("device-" + String(repeating: "x", count: Int($0 % 97)) + "\($0)")
        }
        for device in UInt32(1)...12_000 {
            _ = harness.run(.record(device: device, arrival: noon, event: noon, payload: "{\"t\":21.5}"))
        }
        let pieces = harness.engine.snapshotPieces()
        #expect(pieces.count > 3)
        let state = Array(pieces.joined())
        #expect(state == harness.engine.snapshot())
        let again = try restored(state)
        #expect(again.engine.openState.groups == 12_000)
        #expect(again.engine.snapshot() == state)
    }

    @Test("every damaged byte of a checkpoint is found")
    func damage() {
        let bytes = state()
        for index in bytes.indices {
            var damaged = bytes
            damaged[index] ^= 0x10
            #expect(throws: CheckpointError.self, "byte \(index)") { try restored(damaged) }
        }
        for count in 0..<bytes.count {
            #expect(throws: CheckpointError.self, "cut at \(count)") { try restored(Array(bytes[..<count])) }
        }
    }

    @Test("a checkpoint of another query, or of a newer format, is refused and says what to do")
    func otherPlan() {
        var settings = DefaultQuery.settings
        settings.timePolicy.lateToleranceTicks = 1
        #expect(throws: CheckpointError.otherPlan) {
            try Harness(settings: settings).engine.restore(state())
        }
        #expect(CheckpointError.otherPlan.description.contains("delete the checkpoint"))
        #expect(CheckpointError.newerFormat(version: 9).description.contains("format 9"))
    }

    static let goldenHex =
        "4845444c49564531ffffffffffffff7f0000000000000080ff0100004845445354524d310100000017be4f780200"
        + "00000000000000000000000000000000000000000000020000000000000000000000000000000000000000000000"
        + "00000000000000000000000000000000000000000000000000000000000000000000000000000000005a13f593f7"
        + "3e000200000000a0d61894f73e000a000000046465766963652d3300807c323d94f73e000a000000046465766963"
        + "652d370000000000000000800000000000000080020000000000000000a0d61894f73e000100000000a0d61894f7"
        + "3e00030000000d000000046465766963652d3300046e00010000000000000001000100000000000000fdffffffff"
        + "fffffffdfffffffffffffffdffffffffffffffffffffffffffffff0d000000046465766963652d33000474000100"
        + "00000000000001070100000000000000000000000080354000000000008035400000000000803540000000000000"
        + "000010000000046465766963652d3300047465787400010000000000000001000100000000000000010000000000"
        + "000001000000000000000100000000000000000000000000000001000000002c5d6094f73e0001000000002c5d60"
        + "94f73e00010000000d000000046465766963652d3700046e00010000000000000001000100000000000000070000"
        + "000000000007000000000000000700000000000000000000000000000092913f47f23d70d0"

    /// Of the version before the SQL engine, for the same steps.
    static let firstHex =
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
