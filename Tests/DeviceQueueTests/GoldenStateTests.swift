import Telemetry
import Testing

@testable import DeviceQueue

/// The bytes of sidecars, marks and states, written down once by an encoder that shares nothing with the code.
@Suite struct GoldenStateTests {
    static let golden: [(name: String, hex: String)] = [
        (
            "ids",
            """
            48454144454e44440100000008ea4b7a00000000000000008002000000000000b6a4557d4f962c5e\
            01000000000000000200000000000000010000000000000000000000d53e67fad007000000000000\
            02000000000000000aab957bdc7f433c0aab957bdc7f433c98000000000000000100000001000000\
            30010000000000000000000001000000
            """
        ),
        (
            "marks",
            """
            48454144454e444401000000e65ae99500000000000000008002000000000000b6a4557d4f962c5e\
            0000000000000000020000000000000001000000000000000100000000000000d007000000000000\
            02000000000000000aab957bdc7f433c0aab957bdc7f433c98000000000000000100000001000000\
            300100000000000000000000010000009a59afd2cfc386672817d543c6116e7c0700000001000000\
            9a59afd2cfc3866778f3cb7f8b367fcf0200000002040000
            """
        ),
        (
            "state",
            """
            48454144454e445301000000275f4ceb8802000000000000b6a4557d4f962c5e69e61bf07b257d4c\
            800200000000000080020000000000000100000000000000d0070000000000000200000000000000\
            02000000000000000000000000000000000000000000000000000000000000000000000000000000\
            01000000000000000000000000000000000000000000000000000000000000008002000000000000\
            03000000000000000100000000000000000000000000000001000000000000000200000000000000\
            02000000000000000100000000000000020000000000000000000000000000000000000000000000\
            00000000000000000000000000000000000000000000000000000000000000000000000000000000\
            0000000000000000d500000000000000000000000000000080020000000000000200000000000000\
            d007000000000000e65ae99500000000010000000000000030010000000000000000000000000000\
            0200000000000000d001000000000000010000000000000001000000000000000200000000000000\
            ffffffff030000000100000001000000010200000000000001000000000000000000000000000000\
            00000000000000000000000000000000000000000000000000000000000000000000000000000000\
            00000000000000000000000000000000010000000000000000000000000000000000000000000000\
            00000000000000000000000000000000000000000000000000000000000000000000000000000000\
            00000000000000000000000000000000000000000000000000000000000000000100000000000000\
            04010000000200000000000000000000000100000000000000000000000000000000000000000000\
            6d636c6900000000
            """
        ),
    ]

    @Test("sidecars of ids, marks and states have their golden bytes")
    func files() throws {
        let files = MemoryFileStore()
        var limits = smallLimits(segmentBytes: 640)
        limits.recordBytesMax = 200
        limits.retention = RetentionPolicy(bytes: 640)
        let queue = try openQueue(files, limits)
        try store(
            [
                Message(device: "m", id: "id-1", payload: "{\"v\":1}", eventTicks: 1_500),
                Message(device: "m", id: "id-1", payload: "{}"),
                Message(device: "m", payload: "x", client: "cli", packetIdentifier: 513),
            ], in: queue)
        try store([Message(device: "n", id: "id-2", payload: "{\"v\":2}")], in: queue, at: 2_500)
        try store([Message(device: "n", id: "id-3", payload: "{\"v\":3}")], in: queue, at: 3_000)
        try queue.prepareNextSegment()
        let sidecar = files[logDirectory + "/00000000000000000000.ids"]
        try queue.applyRetention(nowTicks: 0)
        #expect(queue.firstOffset == QueueOffset(640))
        let found = [
            ("ids", sidecar),
            ("marks", files[logDirectory + "/00000000000000000000-00000000000000000640.marks"]),
            ("state", files[logDirectory + "/00000000000000000640.state"]),
        ]
        #expect(files[logDirectory + "/00000000000000000640.copy"] == found[2].1)
        for (name, bytes) in found {
            let hex = bytes.map { byte in
                let digits = String(byte, radix: 16)
                return digits.count == 1 ? "0" + digits : digits
            }.joined()
            let wanted = Self.golden.first { $0.name == name }?.hex
            #expect(hex == wanted, "\(name)")
        }
    }
}
