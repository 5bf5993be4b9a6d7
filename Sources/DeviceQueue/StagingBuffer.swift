package import Telemetry

/// Publishes on their way from an event loop to the storage thread, already in log format: frames one after
/// the other in one block of memory, written once from the read buffer.
///
/// The event loop fills it, hands it over whole, and gets it back when its commit is durable, each frame with
/// its outcome; then it is reset and used again. Nothing is allocated a message.
///
/// `@unchecked Sendable`: exactly one thread holds it at a time; handing over is the guard.
package final class StagingBuffer: @unchecked Sendable {
    /// The frames; `byteCount` bytes are used.
    package let base: UnsafeMutableRawPointer
    package let byteCapacity: Int
    package private(set) var byteCount = 0
    package private(set) var frameCount = 0

    /// Where a message id stands, so that it is stored in place.
    package enum MessageIDPlace {
        case none
        /// Byte ranges within the topic, the properties or the payload.
        case topic(Range<Int>)
        case properties(Range<Int>)
        case payload(Range<Int>)
        /// The id had to be decoded (percent-encoding, JSON escapes): it is stored behind the payload.
        case decoded(UnsafeRawBufferPointer)
    }

    package init(byteCapacity: Int) {
        precondition(byteCapacity >= 4_096)
        self.byteCapacity = byteCapacity
        base = UnsafeMutableRawPointer.allocate(byteCount: byteCapacity, alignment: 16)
    }

    deinit { base.deallocate() }

    /// Forgets the frames; the memory stays.
    package func reset() {
        byteCount = 0
        frameCount = 0
    }

    /// The bytes that `stageRecord` needs for a message.
    @inline(__always)
    package static func recordBytes(topic: Int, properties: Int, payload: Int, decodedID: Int) -> Int {
        (FrameLayout.recordHeaderBytes + topic + properties + payload + decodedID + 7) & ~7
    }

    /// Writes one record frame (or one quarantined, when `reason` is not 0).
    ///
    /// - Parameters:
    ///   - device: the number from `DeviceQueue.device(named:)`; for a quarantined message of an unknown
    ///     device 0.
    ///   - client: the number from `DeviceQueue.client(named:)` at QoS 2, else 0.
    ///   - eventTicks: the device's own time, or nil for the arrival time.
    ///   - replayedFrom: the sequence in the quarantine that a record comes from, 0 for a new message.
    /// - Returns: the frame's offset in this buffer, or nil when there is no room: hand the buffer over, take
    ///   another (a larger one if the message is larger than any).
    @inline(__always)
    package func stageRecord(
        device: UInt32, client: UInt32, packetIdentifier: UInt16, flags: UInt8, reason: UInt8,
        eventTicks: Int64?, topic: UnsafeRawBufferPointer, properties: UnsafeRawBufferPointer,
        payload: UnsafeRawBufferPointer, messageID: MessageIDPlace, replayedFrom: UInt64 = 0
    ) -> Int? {
        var decoded = UnsafeRawBufferPointer(start: nil, count: 0)
        if case .decoded(let bytes) = messageID { decoded = bytes }
        let frameBytes = Self.recordBytes(
            topic: topic.count, properties: properties.count, payload: payload.count,
            decodedID: decoded.count)
        guard byteCount + frameBytes <= byteCapacity else { return nil }
        let frame = base + byteCount
        let header = FrameLayout.recordHeaderBytes
        let propertiesAt = header + topic.count
        let payloadAt = propertiesAt + properties.count
        let decodedAt = payloadAt + payload.count
        let idOffset: Int
        let idBytes: Int
        switch messageID {
        case .none: (idOffset, idBytes) = (0, 0)
        case .topic(let range): (idOffset, idBytes) = (header + range.lowerBound, range.count)
        case .properties(let range): (idOffset, idBytes) = (propertiesAt + range.lowerBound, range.count)
        case .payload(let range): (idOffset, idBytes) = (payloadAt + range.lowerBound, range.count)
        case .decoded(let bytes): (idOffset, idBytes) = (decodedAt, bytes.count)
        }
        // The last word first: its padding bytes are part of the checksummed frame and must be zero.
        frame.storeBytes(of: 0, toByteOffset: frameBytes - 8, as: UInt64.self)
        frame.storeBytes(of: UInt64(UInt32(frameBytes)), toByteOffset: 0, as: UInt64.self)
        let kind = reason == 0 ? FrameKind.record : FrameKind.quarantined
        frame.storeBytes(of: kind.rawValue, toByteOffset: FrameLayout.kind, as: UInt8.self)
        frame.storeBytes(
            of: flags | (eventTicks == nil ? 0 : FrameFlags.deviceTime)
                | (replayedFrom == 0 ? 0 : FrameFlags.replayed),
            toByteOffset: FrameLayout.flags, as: UInt8.self)
        frame.storeBytes(of: reason, toByteOffset: FrameLayout.reason, as: UInt8.self)
        frame.storeBytes(of: 0, toByteOffset: FrameLayout.outcome, as: UInt8.self)
        frame.storeBytes(of: packetIdentifier, toByteOffset: FrameLayout.packetIdentifier, as: UInt16.self)
        frame.storeBytes(of: UInt16(topic.count), toByteOffset: FrameLayout.topicBytes, as: UInt16.self)
        frame.storeBytes(of: reason == 0 ? device : 0, toByteOffset: FrameLayout.device, as: UInt32.self)
        frame.storeBytes(of: client, toByteOffset: FrameLayout.client, as: UInt32.self)
        frame.storeBytes(of: 0, toByteOffset: FrameLayout.sequence, as: UInt64.self)
        frame.storeBytes(of: 0, toByteOffset: FrameLayout.previous, as: UInt64.self)
        frame.storeBytes(of: 0, toByteOffset: FrameLayout.arrivalTime, as: Int64.self)
        frame.storeBytes(of: eventTicks ?? 0, toByteOffset: FrameLayout.eventTime, as: Int64.self)
        frame.storeBytes(of: UInt32(idOffset), toByteOffset: FrameLayout.messageIDOffset, as: UInt32.self)
        frame.storeBytes(of: UInt32(idBytes), toByteOffset: FrameLayout.messageIDBytes, as: UInt32.self)
        frame.storeBytes(
            of: UInt32(properties.count), toByteOffset: FrameLayout.propertiesBytes, as: UInt32.self)
        frame.storeBytes(of: UInt32(payload.count), toByteOffset: FrameLayout.payloadBytes, as: UInt32.self)
        frame.storeBytes(
            of: reason == 0 ? replayedFrom : UInt64(device), toByteOffset: FrameLayout.claimedDevice,
            as: UInt64.self)
        if let source = topic.baseAddress {
            (frame + header).copyMemory(from: source, byteCount: topic.count)
        }
        if let source = properties.baseAddress {
            (frame + propertiesAt).copyMemory(from: source, byteCount: properties.count)
        }
        if let source = payload.baseAddress {
            (frame + payloadAt).copyMemory(from: source, byteCount: payload.count)
        }
        if let source = decoded.baseAddress {
            (frame + decodedAt).copyMemory(from: source, byteCount: decoded.count)
        }
        defer {
            byteCount += frameBytes
            frameCount += 1
        }
        return byteCount
    }

    /// Writes a frame that ends a QoS 2 exchange (PUBREL) or a client's whole session state.
    ///
    /// - Returns: the frame's offset, or nil when there is no room.
    package func stageControl(_ kind: FrameKind, client: UInt32, packetIdentifier: UInt16) -> Int? {
        precondition(kind == .release || kind == .sessionDiscarded)
        guard byteCount + FrameLayout.releaseBytes <= byteCapacity else { return nil }
        let frame = base + byteCount
        frame.initializeMemory(as: UInt8.self, repeating: 0, count: FrameLayout.releaseBytes)
        frame.storeBytes(of: UInt32(FrameLayout.releaseBytes), as: UInt32.self)
        frame.storeBytes(of: kind.rawValue, toByteOffset: FrameLayout.kind, as: UInt8.self)
        frame.storeBytes(of: packetIdentifier, toByteOffset: FrameLayout.packetIdentifier, as: UInt16.self)
        frame.storeBytes(of: client, toByteOffset: FrameLayout.client, as: UInt32.self)
        defer {
            byteCount += FrameLayout.releaseBytes
            frameCount += 1
        }
        return byteCount
    }

    /// Writes a frame that notes why a quarantined message waits on after a replay.
    ///
    /// - Returns: the frame's offset, or nil when there is no room.
    package func stageReplayed(sequence: UInt64, reason: QuarantineReason) -> Int? {
        guard byteCount + FrameLayout.replayedBytes <= byteCapacity else { return nil }
        let frame = base + byteCount
        frame.initializeMemory(as: UInt8.self, repeating: 0, count: FrameLayout.replayedBytes)
        frame.storeBytes(of: UInt32(FrameLayout.replayedBytes), as: UInt32.self)
        frame.storeBytes(of: FrameKind.replayed.rawValue, toByteOffset: FrameLayout.kind, as: UInt8.self)
        frame.storeBytes(of: reason.rawValue, toByteOffset: FrameLayout.reason, as: UInt8.self)
        frame.storeBytes(of: sequence, toByteOffset: FrameLayout.sequence, as: UInt64.self)
        defer {
            byteCount += FrameLayout.replayedBytes
            frameCount += 1
        }
        return byteCount
    }

    /// The outcome of the frame at an offset that staging returned.
    @inline(__always)
    package func outcome(at offset: Int) -> AppendOutcome {
        AppendOutcome(rawValue: (base + offset).load(fromByteOffset: FrameLayout.outcome, as: UInt8.self))
            ?? .pending
    }
}
