import MQTTWire

extension Message {
    /// It stands for one whose record did not read back.
    var isUnreadable: Bool { topic.isEmpty }

    /// Writes the fields of a `message` or `retained` record.
    /// - Parameter wallOffset: what makes a wall clock of the broker's time, in nanoseconds.
    func write(to record: inout RecordWriter, wallOffset: Int64) {
        record.put(expiresAt.map { WallTime.wall($0, wallOffset) } ?? 0)
        record.put(qos.rawValue | (retain ? JournalFlags.retain : 0))
        record.put(publisher)
        record.put(topic)
        var encoded: [UInt8] = []
        var kept = properties
        // What is left of it is worked out from `expiresAt`; the interval itself travels along.
        kept.topicAlias = nil
        kept.subscriptionIdentifiers = []
        encodeProperties(kept, into: &encoded)
        record.put(UInt32(encoded.count))
        record.bytes.append(contentsOf: encoded)
        record.bytes.append(contentsOf: payload)
    }

    /// The message of a `message` or `retained` record.
    ///
    /// - Parameters:
    ///   - position: of the record.
    ///   - wallOffset: see `write(to:wallOffset:)`.
    /// - Returns: nil when the record is not one of this program's.
    package convenience init?(
        journalled body: UnsafeRawBufferPointer, at position: UInt64, wallOffset: Int64
    ) {
        var record = RecordReader(body)
        let expiry: Int64 = record.number()
        let flags: UInt8 = record.number()
        let publisher = record.text()
        let topic = record.text() ?? ""
        let propertyBytes: UInt32 = record.number()
        let encoded = record.bytes(Int(propertyBytes))
        let payload = record.rest()
        guard record.isWhole, let properties = try? parsePublishProperties(encoded) else { return nil }
        self.init(
            topic: topic, payload: Array(payload),
            qos: QoS(rawValue: flags & JournalFlags.qosMask) ?? .atLeastOnce,
            retain: flags & JournalFlags.retain != 0, properties: properties, publisher: publisher,
            expiresAt: expiry == 0 ? nil : WallTime.monotonic(expiry, wallOffset))
        journalPosition = position
    }
}

/// Times that outlive the process: the broker counts monotonic nanoseconds, the journal those of the wall clock.
enum WallTime {
    static func wall(_ monotonic: UInt64, _ offset: Int64) -> Int64 {
        max(1, Int64(clamping: monotonic).addingReportingOverflow(offset).partialValue)
    }

    /// What has passed before the broker began is due at once.
    static func monotonic(_ wall: Int64, _ offset: Int64) -> UInt64 {
        let (value, overflow) = wall.subtractingReportingOverflow(offset)
        return overflow || value < 1 ? 1 : UInt64(value)
    }
}
