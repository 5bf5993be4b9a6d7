/// Field access by name on a frame that passed its check: the guard of every raw load here. A hot-path file
/// with raw pointers.
extension UnsafeRawPointer {
    @inline(__always) var frameBytes: Int { Int(load(as: UInt32.self)) }
    @inline(__always) var frameChecksum: UInt32 {
        load(fromByteOffset: FrameLayout.checksum, as: UInt32.self)
    }
    @inline(__always) var kindByte: UInt8 { load(fromByteOffset: FrameLayout.kind, as: UInt8.self) }
    @inline(__always) var flagByte: UInt8 { load(fromByteOffset: FrameLayout.flags, as: UInt8.self) }
    @inline(__always) var reasonByte: UInt8 { load(fromByteOffset: FrameLayout.reason, as: UInt8.self) }
    @inline(__always) var packetIdentifier: UInt16 {
        load(fromByteOffset: FrameLayout.packetIdentifier, as: UInt16.self)
    }
    @inline(__always) var topicBytes: Int {
        Int(load(fromByteOffset: FrameLayout.topicBytes, as: UInt16.self))
    }
    @inline(__always) var device: UInt32 { load(fromByteOffset: FrameLayout.device, as: UInt32.self) }
    @inline(__always) var client: UInt32 { load(fromByteOffset: FrameLayout.client, as: UInt32.self) }
    @inline(__always) var sequence: UInt64 { load(fromByteOffset: FrameLayout.sequence, as: UInt64.self) }
    @inline(__always) var previous: UInt64 { load(fromByteOffset: FrameLayout.previous, as: UInt64.self) }
    @inline(__always) var arrivalTicks: Int64 {
        load(fromByteOffset: FrameLayout.arrivalTime, as: Int64.self)
    }
    @inline(__always) var eventTicks: Int64 { load(fromByteOffset: FrameLayout.eventTime, as: Int64.self) }
    @inline(__always) var messageIDOffset: Int {
        Int(load(fromByteOffset: FrameLayout.messageIDOffset, as: UInt32.self))
    }
    @inline(__always) var messageIDBytes: Int {
        Int(load(fromByteOffset: FrameLayout.messageIDBytes, as: UInt32.self))
    }
    @inline(__always) var propertiesBytes: Int {
        Int(load(fromByteOffset: FrameLayout.propertiesBytes, as: UInt32.self))
    }
    @inline(__always) var payloadBytes: Int {
        Int(load(fromByteOffset: FrameLayout.payloadBytes, as: UInt32.self))
    }
    @inline(__always) var claimedDevice: UInt32 {
        UInt32(truncatingIfNeeded: load(fromByteOffset: FrameLayout.claimedDevice, as: UInt64.self))
    }

    /// Of a record with `FrameFlags.replayed`: its sequence in the quarantine.
    @inline(__always) var replayedFrom: UInt64 {
        load(fromByteOffset: FrameLayout.replayedFrom, as: UInt64.self)
    }
    /// Of a frame of repetitions.
    @inline(__always) var entryCount: Int {
        Int(load(fromByteOffset: FrameLayout.entryCount, as: UInt32.self))
    }
    func repeatedEntry(_ index: Int) -> (offset: UInt64, device: UInt32, count: UInt32) {
        let entry = self + FrameLayout.repeatedHeaderBytes + index * FrameLayout.repeatedEntryBytes
        return (
            entry.load(as: UInt64.self), entry.load(fromByteOffset: 8, as: UInt32.self),
            entry.load(fromByteOffset: 12, as: UInt32.self)
        )
    }

    @inline(__always) var messageIDBuffer: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: self + messageIDOffset, count: messageIDBytes)
    }
    @inline(__always) var topicBuffer: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: self + FrameLayout.recordHeaderBytes, count: topicBytes)
    }
    @inline(__always) var propertiesBuffer: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            start: self + FrameLayout.recordHeaderBytes + topicBytes, count: propertiesBytes)
    }
    @inline(__always) var payloadBuffer: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            start: self + FrameLayout.recordHeaderBytes + topicBytes + propertiesBytes, count: payloadBytes)
    }
    @inline(__always) var nameBuffer: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: self + FrameLayout.definitionHeaderBytes, count: topicBytes)
    }
    @inline(__always) var isRecordLike: Bool {
        kindByte == FrameKind.record.rawValue || kindByte == FrameKind.quarantined.rawValue
    }
}

extension UnsafeRawBufferPointer {
    /// Whether both hold the same bytes.
    @inline(__always)
    func equals(_ other: UnsafeRawBufferPointer) -> Bool {
        guard count == other.count else { return false }
        guard let mine = baseAddress, let its = other.baseAddress else { return count == 0 }
        return headendEqual(mine, its, count)
    }
}

/// memcmp without a C import: eight bytes at a time.
@inline(__always)
private func headendEqual(_ left: UnsafeRawPointer, _ right: UnsafeRawPointer, _ byteCount: Int) -> Bool {
    var at = 0
    while byteCount - at >= 8 {
        if left.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            != right.loadUnaligned(fromByteOffset: at, as: UInt64.self)
        {
            return false
        }
        at += 8
    }
    while at < byteCount {
        if left.load(fromByteOffset: at, as: UInt8.self) != right.load(fromByteOffset: at, as: UInt8.self) {
            return false
        }
        at += 1
    }
    return true
}
