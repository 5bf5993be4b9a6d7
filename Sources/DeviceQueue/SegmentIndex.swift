import CChecksum
import Platform

/// The sidecar of a sealed segment: for each device in it the first and last sequence and where its last
/// frame is. A cache of the segment. Layout: `DeviceQueue.docc/LogFormat.md`.
struct SegmentIndex: Sendable, Equatable {
    struct Entry: Sendable, Equatable {
        var device: UInt32
        var firstSequence: UInt64
        var lastSequence: UInt64
        var lastOffset: UInt64
    }

    private static let headerBytes = 40
    private static let entryBytes = 32

    let base: UInt64
    let logID: UInt64
    /// Ascending by device.
    let entries: [Entry]

    /// Bytes in memory.
    var byteCount: Int { entries.count * MemoryLayout<Entry>.stride }

    /// The entry of a device, nil when the segment has no record of it.
    func entry(_ device: UInt32) -> Entry? {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].device < device { low = middle + 1 } else { high = middle }
        }
        return low < entries.count && entries[low].device == device ? entries[low] : nil
    }

    /// Reads a segment from its beginning to its end.
    static func build(_ segment: Segment, file: any StoredFile, bufferBytes: Int) throws(QueueError)
        -> SegmentIndex
    {
        var places: [UInt32: Int] = [:]
        var entries: [Entry] = []
        var scanner = SegmentScanner(
            segment: segment, file: file, position: LogFormat.segmentHeaderBytes,
            limit: Int(segment.byteCount), bufferBytes: bufferBytes)
        while let frame = try scanner.next() {
            guard frame.isRecordLike else { continue }
            if let place = places[frame.device] {
                entries[place].lastSequence = frame.sequence
                entries[place].lastOffset = scanner.frameOffset
            } else {
                places[frame.device] = entries.count
                entries.append(
                    Entry(
                        device: frame.device, firstSequence: frame.sequence, lastSequence: frame.sequence,
                        lastOffset: scanner.frameOffset))
            }
        }
        guard scanner.stop != .bad else { throw damaged(segment, scanner.position) }
        entries.sort { $0.device < $1.device }
        return SegmentIndex(base: segment.base, logID: segment.logID, entries: entries)
    }

    static func damaged(_ segment: Segment, _ position: Int) -> QueueError {
        .corrupt(
            path: segment.path, offset: UInt64(position),
            explanation: "not a frame; restore the file from a backup, or start the hub to see what is left")
    }

    func encoded() -> [UInt8] {
        var rest: [UInt8] = []
        rest.reserveCapacity(Self.headerBytes + entries.count * Self.entryBytes)
        rest.append(littleEndian: base)
        rest.append(littleEndian: logID)
        rest.append(littleEndian: UInt64(entries.count))
        for entry in entries {
            rest.append(littleEndian: UInt64(entry.device))
            rest.append(littleEndian: entry.firstSequence)
            rest.append(littleEndian: entry.lastSequence)
            rest.append(littleEndian: entry.lastOffset)
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(rest.count + 16)
        bytes.append(littleEndian: LogFormat.indexMagic)
        bytes.append(littleEndian: LogFormat.indexVersion)
        bytes.append(littleEndian: rest.withUnsafeBytes { headend_crc32c(0, $0.baseAddress, $0.count) })
        bytes.append(contentsOf: rest)
        return bytes
    }

    /// Reads the sidecar; nil when it is missing, damaged, or of another segment: it is only a cache.
    static func load(_ segment: Segment, files: any FileStore) -> SegmentIndex? {
        guard let bytes = try? files.contents(of: segment.indexPath), bytes.count >= headerBytes else {
            return nil
        }
        return bytes.withUnsafeBytes { raw -> SegmentIndex? in
            func word(_ at: Int) -> UInt64 { raw.loadUnaligned(fromByteOffset: at, as: UInt64.self) }
            let start = raw.baseAddress.map { $0 + 16 }
            guard word(0) == LogFormat.indexMagic,
                raw.loadUnaligned(fromByteOffset: 8, as: UInt32.self) == LogFormat.indexVersion,
                raw.loadUnaligned(fromByteOffset: 12, as: UInt32.self)
                    == headend_crc32c(0, start, raw.count - 16),
                word(16) == segment.base, word(24) == segment.logID,
                word(32) == UInt64((raw.count - headerBytes) / entryBytes),
                (raw.count - headerBytes) % entryBytes == 0
            else { return nil }
            var entries: [Entry] = []
            entries.reserveCapacity(Int(word(32)))
            for at in stride(from: headerBytes, to: raw.count, by: entryBytes) {
                entries.append(
                    Entry(
                        device: UInt32(truncatingIfNeeded: word(at)), firstSequence: word(at + 8),
                        lastSequence: word(at + 16), lastOffset: word(at + 24)))
            }
            return SegmentIndex(base: segment.base, logID: segment.logID, entries: entries)
        }
    }
}
