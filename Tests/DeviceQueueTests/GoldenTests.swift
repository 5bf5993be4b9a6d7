import FileStoreKit
import Telemetry
import Testing

@testable import DeviceQueue

/// The bytes of format version 1, written down once by an encoder that shares nothing with the code. When one
/// of these changes, logs in the field no longer open: then the version must change too.
@Suite struct GoldenTests {
    static let golden: [(name: String, hex: String)] = [
        (
            "header",
            """
            48454144454e445101000000fa96c1b400000000000000000008000000000000b6a4557d4f962c5e\
            69e61bf07b257d4c0000000000000000000000009704a69a
            """
        ),
        (
            "commit",
            """
            28000000e3492099080000000000000000000000000000000100000000000000d001000000000000
            """
        ),
        (
            "device",
            """
            300000001535357c0300000000000100010000000000000000000000000000000000000000000000\
            6d00000000000000
            """
        ),
        (
            "record",
            """
            700000008212cceb0105000000001300010000000000000001000000000000000000000000000000\
            d007000000000000dc050000000000006c0000000400000002000000070000000000000000000000\
            646576696365732f6d2f74656c656d6574727901007b2276223a317d69642d31
            """
        ),
        (
            "quarantine definition",
            """
            28000000c3bd69070300000000000000000000000000000000000000000000000000000000000000
            """
        ),
        (
            "quarantined",
            """
            7000000095b58c9d0201040000001300000000000000000001000000000000000000000000000000\
            d007000000000000d007000000000000650000000400000000000000020000000100000000000000\
            646576696365732f6d2f74656c656d657472797b7d69642d3100000000000000
            """
        ),
        (
            "client",
            """
            30000000a7014e5d0400000000000300000000000100000000000000000000000000000000000000\
            636c690000000000
            """
        ),
        (
            "QoS 2 record",
            """
            68000000d53e67fa0102000001021300010000000100000002000000000000009800000000000000\
            d007000000000000d007000000000000000000000000000000000000010000000000000000000000\
            646576696365732f6d2f74656c656d657472797800000000
            """
        ),
        (
            "commit of the release",
            """
            28000000545ce18e0800000000000000000000000000000002000000000000001800000000000000
            """
        ),
        (
            "release",
            """
            1800000069f9c04d05000000010200000000000001000000
            """
        ),
        (
            "commit of a record",
            """
            28000000b5f69bef0800000000000000000000000000000003000000000000006800000000000000
            """
        ),
        (
            "held record",
            """
            68000000ac384584010200000500130001000000010000000300000000000000d001000000000000\
            d007000000000000d007000000000000000000000000000000000000010000000000000000000000\
            646576696365732f6d2f74656c656d657472797900000000
            """
        ),
        (
            "commit of the discard",
            """
            28000000b29d11a90800000000000000000000000000000004000000000000001800000000000000
            """
        ),
        (
            "sessionDiscarded",
            """
            18000000d9d4464406000000000000000000000001000000
            """
        ),
        (
            "commit of the tick",
            """
            280000000ff126140800000000000000000000000000000005000000000000003000000000000000
            """
        ),
        (
            "tick",
            """
            3000000013822d720700000000000000000000000000000000000000000000000000000000000000\
            b80b000000000000
            """
        ),
    ]

    @Test("every kind of frame has its golden bytes")
    func frames() throws {
        let files = MemoryFileStore()
        let queue = try openQueue(files)
        try store(
            [
                Message(
                    device: "m", id: "id-1", payload: "{\"v\":1}", eventTicks: 1_500, properties: [1, 0]),
                Message(device: "m", id: "id-1", payload: "{}"),
                Message(device: "m", payload: "x", client: "cli", packetIdentifier: 513),
            ], in: queue)
        try control(.release, client: "cli", packetIdentifier: 513, in: queue)
        try store([Message(device: "m", payload: "y", client: "cli", packetIdentifier: 5)], in: queue)
        try control(.sessionDiscarded, client: "cli", in: queue)
        try queue.appendTick(arrivalTicks: 3_000)
        try queue.commit()
        let bytes = files[logDirectory + "/00000000000000000000.log"]
        var at = 0
        for (name, hex) in Self.golden {
            let end = at + hex.utf8.count / 2
            let found = bytes[at..<end].map { byte in
                let digits = String(byte, radix: 16)
                return digits.count == 1 ? "0" + digits : digits
            }
            #expect(found.joined() == hex, "\(name)")
            at = end
        }
        #expect(bytes[at...].allSatisfy { $0 == 0 })
        #expect(queue.durableEnd.bytes == UInt64(at))
    }

    @Test(
        "the frames of replays and repetitions have their golden bytes",
        arguments: [
            (
                480,
                """
                28000000f2ff13d50a00000000000000010000000000000050010000000000000100000001000000
                """
            ),
            (
                560,
                """
                280000004ae928cb0900080000000000000000000000000001000000000000000000000000000000
                """
            ),
            (
                640,
                """
                68000000c3dbc0050145000000001300010000000000000002000000000000005001000000000000\
                2823000000000000dc05000000000000000000000000000000000000010000000100000000000000\
                646576696365732f6d2f74656c656d657472796200000000
                """
            ),
        ])
    func replays(at: Int, hex: String) throws {
        let files = MemoryFileStore()
        let queue = try openQueue(files)
        try store([Message(device: "m", payload: "b", reason: .badTimestamp)], in: queue)
        let repeated = Message(device: "m", id: "i", payload: "x")
        try store([repeated], in: queue)
        try store([repeated], in: queue)
        try replay([(1, Message(device: "m", payload: "b", reason: .noRule))], in: queue)
        try replay([(1, Message(device: "m", payload: "b", eventTicks: 1_500))], in: queue)
        let bytes = files[logDirectory + "/00000000000000000000.log"]
        let found = bytes[at..<at + hex.utf8.count / 2].map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }
        #expect(found.joined() == hex)
    }

    @Test("raw values that are on disk keep their numbers")
    func numbers() {
        #expect((1...10).compactMap { FrameKind(rawValue: $0) }.count == 10)
        #expect(FrameKind.record.rawValue == 1)
        #expect(FrameKind.commit.rawValue == 8)
        #expect(FrameLayout.recordHeaderBytes == 80)
    }
}
