import CChecksum

#if _endian(big)
    #error("The log is little-endian and is read without swapping; this machine is big-endian.")
#endif

/// Constants and checksums of the log; the tables are in `DeviceQueue.docc/LogFormat.md`.
enum LogFormat {
    /// The format that this build writes and reads.
    static let version: UInt32 = 1
    static let segmentHeaderBytes = 64
    /// Free of ordinary frames at the end of each segment, for the commit that recovery may have to add.
    static let segmentReserveBytes = FrameLayout.commitBytes
    /// `HEADENDQ`
    static let segmentMagic: UInt64 = 0x5144_4E45_4441_4548
    /// `HEADENDI`
    static let indexMagic: UInt64 = 0x4944_4E45_4441_4548
    static let indexVersion: UInt32 = 1
    /// `HEADENDD`
    static let idsMagic: UInt64 = 0x4444_4E45_4441_4548
    static let idsVersion: UInt32 = 1
    /// `HEADENDS`
    static let stateMagic: UInt64 = 0x5344_4E45_4441_4548
    static let stateVersion: UInt32 = 1

    /// The seed of the checksums of one segment.
    static func salt(logID: UInt64, base: UInt64) -> UInt32 {
        UInt32(truncatingIfNeeded: mixed(mixed(logID) ^ base) >> 32)
    }

    /// A bijection that spreads every bit (finaliser of SplitMix64, Steele, Lea and Flood 2014).
    static func mixed(_ value: UInt64) -> UInt64 {
        var bits = value &+ 0x9E37_79B9_7F4A_7C15
        bits = (bits ^ (bits >> 30)) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ (bits >> 27)) &* 0x94D0_49BB_1331_11EB
        return bits ^ (bits >> 31)
    }

    /// The checksum of a frame of `byteCount` bytes.
    @inline(__always)
    static func checksum(_ frame: UnsafeRawPointer, byteCount: Int, salt: UInt32) -> UInt32 {
        headend_crc32c(
            salt, frame + FrameLayout.checksummedFrom, byteCount - FrameLayout.checksummedFrom)
    }

    /// Writes the length and the checksum into a frame that is otherwise complete.
    @inline(__always)
    static func seal(_ frame: UnsafeMutableRawPointer, byteCount: Int, salt: UInt32) {
        let sum = UInt64(checksum(frame, byteCount: byteCount, salt: salt))
        frame.storeBytes(of: sum << 32 | UInt64(UInt32(byteCount)), as: UInt64.self)
    }

    /// Whether the fields of a frame with a right checksum agree with its length.
    @inline(__always)
    static func isWellFormed(_ frame: UnsafeRawPointer, byteCount: Int) -> Bool {
        let kind = frame.load(fromByteOffset: FrameLayout.kind, as: UInt8.self)
        let nameBytes = Int(frame.load(fromByteOffset: FrameLayout.topicBytes, as: UInt16.self))
        switch kind {
        case FrameKind.record.rawValue, FrameKind.quarantined.rawValue:
            guard byteCount >= FrameLayout.recordHeaderBytes else { return false }
            let properties = Int(frame.load(fromByteOffset: FrameLayout.propertiesBytes, as: UInt32.self))
            let payload = Int(frame.load(fromByteOffset: FrameLayout.payloadBytes, as: UInt32.self))
            let idOffset = Int(frame.load(fromByteOffset: FrameLayout.messageIDOffset, as: UInt32.self))
            let idBytes = Int(frame.load(fromByteOffset: FrameLayout.messageIDBytes, as: UInt32.self))
            return FrameLayout.recordHeaderBytes + nameBytes + properties + payload <= byteCount
                && idOffset + idBytes <= byteCount
        case FrameKind.device.rawValue, FrameKind.client.rawValue:
            return byteCount >= FrameLayout.definitionHeaderBytes + nameBytes
        case FrameKind.release.rawValue, FrameKind.sessionDiscarded.rawValue:
            return byteCount == FrameLayout.releaseBytes
        case FrameKind.tick.rawValue: return byteCount == FrameLayout.tickBytes
        case FrameKind.commit.rawValue: return byteCount == FrameLayout.commitBytes
        case FrameKind.replayed.rawValue: return byteCount == FrameLayout.replayedBytes
        case FrameKind.repeated.rawValue:
            let count = Int(frame.load(fromByteOffset: FrameLayout.entryCount, as: UInt32.self))
            return count > 0 && count <= FrameLayout.repeatedEntriesMax
                && byteCount == FrameLayout.repeatedHeaderBytes + count * FrameLayout.repeatedEntryBytes
        default: return false
        }
    }
}

/// The first 64 bytes of a segment.
struct SegmentHeader: Equatable {
    var base: UInt64
    /// The size of the whole file.
    var byteCount: UInt64
    var logID: UInt64
    /// The key of the message id hash.
    var hashKey: UInt64

    var salt: UInt32 { LogFormat.salt(logID: logID, base: base) }

    /// The header as it stands on disk.
    func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(LogFormat.segmentHeaderBytes)
        bytes.append(littleEndian: LogFormat.segmentMagic)
        bytes.append(littleEndian: LogFormat.version)
        bytes.append(littleEndian: salt)
        bytes.append(littleEndian: base)
        bytes.append(littleEndian: byteCount)
        bytes.append(littleEndian: logID)
        bytes.append(littleEndian: hashKey)
        bytes.append(littleEndian: UInt64(0))
        bytes.append(littleEndian: UInt32(0))
        let sum = bytes.withUnsafeBytes { headend_crc32c(0, $0.baseAddress, $0.count) }
        bytes.append(littleEndian: sum)
        return bytes
    }

    /// Reads a header.
    ///
    /// - Throws: `.newerFormat` or `.corrupt` with the path.
    static func decode(_ bytes: [UInt8], path: String) throws(QueueError) -> SegmentHeader {
        let advice = """
            the segment header is damaged; restore the file from a backup, or move this file and all later \
            ones out of the directory to go on without their readings
            """
        guard bytes.count == LogFormat.segmentHeaderBytes else {
            throw .corrupt(path: path, offset: 0, explanation: advice)
        }
        let found = bytes.withUnsafeBytes { raw in
            (
                magic: raw.load(fromByteOffset: 0, as: UInt64.self),
                version: raw.load(fromByteOffset: 8, as: UInt32.self),
                salt: raw.load(fromByteOffset: 12, as: UInt32.self),
                sum: raw.load(fromByteOffset: 60, as: UInt32.self),
                real: headend_crc32c(0, raw.baseAddress, 60),
                header: SegmentHeader(
                    base: raw.load(fromByteOffset: 16, as: UInt64.self),
                    byteCount: raw.load(fromByteOffset: 24, as: UInt64.self),
                    logID: raw.load(fromByteOffset: 32, as: UInt64.self),
                    hashKey: raw.load(fromByteOffset: 40, as: UInt64.self))
            )
        }
        guard found.magic == LogFormat.segmentMagic else {
            throw .corrupt(path: path, offset: 0, explanation: advice)
        }
        // Before the checksum: a newer format may keep its checksum elsewhere.
        guard found.version <= LogFormat.version else {
            throw .newerFormat(path: path, found: Int(found.version), known: Int(LogFormat.version))
        }
        guard found.version == LogFormat.version, found.sum == found.real,
            found.salt == found.header.salt, found.header.byteCount % 8 == 0,
            found.header.byteCount > UInt64(LogFormat.segmentHeaderBytes + LogFormat.segmentReserveBytes),
            found.header.byteCount <= UInt64(Int32.max)
        else { throw .corrupt(path: path, offset: 0, explanation: advice) }
        return found.header
    }
}

extension [UInt8] {
    /// Appends an integer, least byte first.
    mutating func append<Number: FixedWidthInteger>(littleEndian value: Number) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }
}
