/// The name a device goes by: UTF-8, 1 to 128 bytes, no `+`, `#`, `/` or NUL.
package struct DeviceID: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let text: String

    package init(_ text: String) { self.text = text }

    // By bytes, as MQTT compares names: Swift's String holds two spellings of one letter for equal.
    package static func == (left: DeviceID, right: DeviceID) -> Bool {
        left.text.utf8.elementsEqual(right.text.utf8)
    }

    package func hash(into hasher: inout Hasher) {
        for byte in text.utf8 { hasher.combine(byte) }
        hasher.combine(UInt8(0xFF))
    }

    package static func < (left: DeviceID, right: DeviceID) -> Bool {
        left.text.utf8.lexicographicallyPrecedes(right.text.utf8)
    }

    package var description: String { text }
}

/// A place in a shard's log: the count of bytes before it since the log began. It never goes back, and
/// retention does not renumber it.
package struct QueueOffset: Hashable, Comparable, Sendable, CustomStringConvertible {
    package var bytes: UInt64

    @inlinable package init(_ bytes: UInt64) { self.bytes = bytes }

    @inlinable package static func < (left: QueueOffset, right: QueueOffset) -> Bool {
        left.bytes < right.bytes
    }

    package var description: String { String(bytes) }
}

/// Why a message was set aside rather than stored as a reading. The raw value is on disk: never renumber.
package enum QuarantineReason: UInt8, Sendable, CaseIterable, CustomStringConvertible {
    /// JSON was promised by the ingest rule and the payload is not JSON (RFC 8259).
    case notJSON = 1
    /// The time field is there but is neither ISO 8601 nor an epoch number.
    case badTimestamp = 2
    /// The message id is longer than 128 bytes or is not a string or number.
    case badMessageID = 3
    /// The same message id came before with another body; the first was kept.
    case conflict = 4
    /// The device's name is missing, empty, over 128 bytes or not allowed.
    case badDevice = 5
    /// The payload is over the ingest limit.
    case oversize = 6
    /// Registration is closed and nobody knows the device.
    case unregistered = 7
    /// Only after a replay: no ingest rule takes the message's topic any more.
    case noRule = 8

    package var description: String {
        switch self {
        case .notJSON: "not_json"
        case .badTimestamp: "bad_timestamp"
        case .badMessageID: "bad_message_id"
        case .conflict: "conflict"
        case .badDevice: "bad_device"
        case .oversize: "oversize"
        case .unregistered: "unregistered"
        case .noRule: "no_rule"
        }
    }
}
