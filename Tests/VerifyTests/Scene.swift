import Foundation
import Platform
import Telemetry
import Verify

/// A small plant's run in which everything is right: an answer key, the stored records and the result rows.
/// Tests spoil one thing and see what the proof says.
struct Scene {
    struct Row {
        var device: String
        var field: String
        /// Milliseconds.
        var end: Int64
        var count: Int
        var min: Double
        var max: Double
        var sum: Double
        var average: Double
        var identifier: String

        var json: [UInt8] {
            let (from, to) = (EventTime(milliseconds: end - 60_000), EventTime(milliseconds: end))
            return Array(
                """
                {"device":"\(device)","field":"\(field)","windowStart":"\(from)","windowEnd":"\(to)",\
                "count":\(count),"min":\(min),"max":\(max),"avg":\(average),"sum":\(sum),\
                "_rid":"\(identifier)"}
                """.utf8)
        }
    }

    /// 2026-03-01T12:00:00Z.
    static let start: Int64 = 1_772_366_400_000
    /// A reading every five seconds.
    static let readingCount = 60

    var key: [String] = []
    var records: [TelemetryRecord] = []
    var rows: [Row] = []
    var completeThrough: EventTime? = EventTime(milliseconds: start + 300_000)

    /// Devices `d1` and `d2`; of each, reading 10 is never sent, 20 is malformed, 30 arrives two minutes
    /// late, 40 is sent after 41. Reading 12 lies on a boundary.
    init() {
        for device in ["d1", "d2"] {
            var sums: [String: Row] = [:]
            var order = Array(1...Self.readingCount)
            order.swapAt(39, 40)
            var sequence: UInt64 = 0
            for number in order {
                let time = Self.start + Int64(number) * 5_000
                let (temperature, count) = (Self.temperature(number), number * 3)
                let expectation = number == 10 ? "never" : number == 20 ? "quarantine" : "once"
                key.append(Self.keyLine(device, number, time, temperature, count, expectation))
                if number == 10 { continue }
                let arrival = time + (number == 30 ? 120_000 : number == 40 ? 6_000 : 20)
                if number != 20 { sequence += 1 }
                let payload = Self.payload(device, number, time, temperature, count)
                records.append(
                    Self.record(
                        device, sequence: number == 20 ? 1 : sequence, id: "\(device):\(number)",
                        event: time,
                        arrival: arrival, payload: number == 20 ? "{\"id\":" : payload,
                        reason: number == 20 ? .notJSON : nil))
                if number == 20 || number == 30 { continue }
                let end = (time + 59_999) / 60_000 * 60_000
                for (field, value) in [("temperature", temperature), ("count", Double(count))] {
                    let fresh = Row(
                        device: device, field: field, end: end, count: 0, min: value, max: value, sum: 0,
                        average: 0,
                        identifier: "\(device)/\(field)/\(end)")
                    var row = sums["\(field) \(end)"] ?? fresh
                    row.count += 1
                    row.min = Swift.min(row.min, value)
                    row.max = Swift.max(row.max, value)
                    row.sum += value
                    row.average = row.sum / Double(row.count)
                    sums["\(field) \(end)"] = row
                }
            }
            rows += sums.sorted { $0.key < $1.key }.map(\.value)
        }
    }

    static func temperature(_ number: Int) -> Double { 21 + Double((number * 37) % 19) / 10 }

    static func keyLine(
        _ device: String, _ number: Int, _ time: Int64, _ temperature: Double, _ count: Int,
        _ expectation: String
    ) -> String {
        """
        {"id":"\(device):\(number)","device":"\(device)","seq":\(number),\
        "event_time":"\(EventTime(milliseconds: time))","sent":[],\
        "values":{"temperature":\(temperature),"count":\(count)},\
        "true_values":{"temperature":\(temperature),"count":\(count)},"faults":[],"expect":"\(expectation)"}
        """
    }

    static func payload(_ device: String, _ number: Int, _ time: Int64, _ temperature: Double, _ count: Int)
        -> String
    {
        """
        {"id":"\(device):\(number)","ts":"\(EventTime(milliseconds: time))","temperature":\(temperature),\
        "count":\(count),"note":"ok"}
        """
    }

    static func record(
        _ device: String, sequence: UInt64, id: String?, event: Int64, arrival: Int64, payload: String,
        reason: QuarantineReason? = nil
    ) -> TelemetryRecord {
        TelemetryRecord(
            device: DeviceID(device), sequence: sequence, messageID: id,
            arrivalTime: EventTime(milliseconds: arrival), eventTime: EventTime(milliseconds: event),
            topic: "devices/\(device)/telemetry", properties: [], payload: Array(payload.utf8),
            quarantineReason: reason, offset: QueueOffset(0))
    }

    /// The place of a reading's record.
    func index(of identifier: String) -> Int { records.firstIndex { $0.messageID == identifier } ?? -1 }

    /// Gives each device's stored records the sequences 1, 2, 3 … again.
    mutating func renumber() {
        var last: [String: UInt64] = [:]
        for index in records.indices where records[index].quarantineReason == nil {
            last[records[index].device.text, default: 0] += 1
            records[index].sequence = last[records[index].device.text] ?? 0
        }
    }

    func verify(removed: Verifier.Removed = Verifier.Removed()) throws -> VerifyReport {
        let directory = try TemporaryDirectory()
        try directory.write("truth.jsonl", key.map { $0 + "\n" }.joined())
        return try Verifier(files: PosixFileStore()).verify(
            answerKey: directory.path + "/truth.jsonl", rows: .lines(rows.map(\.json)),
            completeThrough: completeThrough, removed: removed
        ) { each in for record in records { try each(record) } }
    }
}

/// A directory that goes with its owner.
final class TemporaryDirectory {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "verify-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ name: String, _ text: String) throws {
        let file = URL(filePath: path).appending(path: name)
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: file)
    }
}
