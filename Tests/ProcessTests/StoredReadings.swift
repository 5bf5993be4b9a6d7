import DeviceQueue
import Platform
import Telemetry
import Testing

/// What a stopped hub has stored, against what was sent and acknowledged.
enum StoredReadings {
    /// Nothing acknowledged is lost, nothing is there twice, everything is in the order of sending.
    ///
    /// - Parameters:
    ///   - data: the data directory as the test sees it; the hub's own when nil.
    ///   - segmentCountMin: log segments there must be, so that their change was met.
    ///   - others: whether other devices may have sent too.
    ///   - isCompressed: whether sealed segments are to be compressed by now.
    /// - Returns: the latest event time that is stored.
    @discardableResult
    static func compare(
        _ sent: [Sent], with hub: HubProcess, data: String? = nil, segmentCountMin: Int = 2,
        others: Bool = false, isCompressed: Bool = false
    ) throws -> EventTime {
        let files = PosixFileStore()
        let directory = try DataDirectory.open(data ?? hub.data, files: files, createIfMissing: false)
        defer { directory.close() }
        let queue = try DeviceQueue.open(
            directory: directory.queuePath, files: files, mode: .readOnly, nowTicks: SystemClock().wallTicks()
        )
        var lastEvent = EventTime(ticks: 0)
        for device in sent {
            let id = DeviceID(device.device)
            let records = try queue.records(device: id, from: 1, limit: 10_000_000)
            lastEvent = records.map(\.eventTime).max().map { max($0, lastEvent) } ?? lastEvent
            let gap = zip(records, records.indices).first { $0.sequence != UInt64($1 + 1) }
            #expect(gap == nil, "\(id.text): the sequence has a gap")
            let stored = records.map { Int($0.messageID?.split(separator: ":").last ?? "") ?? 0 }
            let lost = Set(device.acked).subtracting(stored)
            let lostCount = lost.count
            #expect(lostCount == 0, "\(id.text): acknowledged and lost: \(lost.sorted().prefix(10))")
            let twice = repeated(stored).prefix(10)
            #expect(twice.isEmpty, "\(id.text): stored twice")
            let turned = zip(stored, stored.dropFirst()).first { $0 >= $1 }
            #expect(turned == nil, "\(id.text): not in the order of sending")
            // Not compared inside the macro, which would print every number.
            let isComplete = stored == Array(1...max(device.count, 1))
            #expect(isComplete, "\(id.text): \(stored.count) stored, \(device.count) sent")
        }
        let names = try files.list(directory.queuePath)
        let compressed = names.filter { $0.hasSuffix(".logz") }.count
        let segments = names.filter { $0.hasSuffix(".log") }.count + compressed
        #expect(segments >= segmentCountMin, "the load was too small for \(segmentCountMin) segments")
        if isCompressed { #expect(compressed > 0, "no segment was compressed") }
        if !others { #expect(queue.deviceCount == sent.count) }
        #expect(queue.lastQuarantinedSequence == 0, "something was quarantined")
        return lastEvent
    }

    private static func repeated(_ numbers: [Int]) -> [Int] {
        Dictionary(grouping: numbers) { $0 }.filter { $0.value.count > 1 }.keys.sorted()
    }
}
