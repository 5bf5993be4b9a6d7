/// Where the fields of a log frame are. The table is in `DeviceQueue.docc/LogFormat.md`; the offsets here are
/// its only copy in code. All integers are little-endian; every frame starts at a multiple of 8.
package enum FrameLayout {
    package static let frameBytes = 0
    package static let checksum = 4
    package static let kind = 8
    package static let flags = 9
    package static let reason = 10
    /// In a staging buffer only; 0 on disk.
    package static let outcome = 11
    package static let packetIdentifier = 12
    package static let topicBytes = 14
    package static let device = 16
    package static let client = 20
    package static let sequence = 24
    package static let previous = 32
    package static let arrivalTime = 40
    package static let eventTime = 48
    package static let messageIDOffset = 56
    package static let messageIDBytes = 60
    package static let propertiesBytes = 64
    package static let payloadBytes = 68
    package static let claimedDevice = 72
    /// The same place in a record with `FrameFlags.replayed`: its sequence in the quarantine.
    package static let replayedFrom = 72

    /// Header of a record or a quarantined record; the topic begins here.
    package static let recordHeaderBytes = 80
    /// Whole frame: kind, packet identifier and client.
    package static let releaseBytes = 24
    /// Header of a device or client definition; the name begins here.
    package static let definitionHeaderBytes = 40
    package static let commitBytes = 40
    package static let tickBytes = 48
    package static let replayedBytes = 40
    /// Of a frame of repetitions: the header with the number of entries, and each entry (offset, device, count).
    package static let repeatedHeaderBytes = 24
    package static let repeatedEntryBytes = 16
    package static let repeatedEntriesMax = 32
    package static let entryCount = 16

    /// The checksum covers the frame from here to its end.
    package static let checksummedFrom = 8
}

/// What a frame says. The raw value is on disk: never renumber.
package enum FrameKind: UInt8, Sendable {
    /// A reading in its device's queue.
    case record = 1
    /// A message set aside, in the quarantine queue (device 0).
    case quarantined = 2
    /// A device's number and name, with its last sequence so far; first in each segment that needs it.
    case device = 3
    /// An MQTT client's number and identifier, for QoS 2 state.
    case client = 4
    /// A client released a packet identifier (PUBREL).
    case release = 5
    /// A client's session state is gone.
    case sessionDiscarded = 6
    /// The clock moved watermarks on.
    case tick = 7
    /// Begins each group commit.
    case commit = 8
    /// A quarantined message was put through the rules again and not stored: it is settled, or waits on.
    case replayed = 9
    /// Messages that came again and were not stored.
    case repeated = 10
}

/// The flag byte of a record.
package enum FrameFlags {
    package static let qosMask: UInt8 = 0b0000_0011
    /// The event time is the device's own, not the arrival time.
    package static let deviceTime: UInt8 = 0b0000_0100
    package static let retain: UInt8 = 0b0000_1000
    /// The properties are an MQTT 5 property block.
    package static let version5: UInt8 = 0b0001_0000
    /// The PUBLISH carried DUP.
    package static let duplicate: UInt8 = 0b0010_0000
    /// A record that was in the quarantine before.
    package static let replayed: UInt8 = 0b0100_0000
}

/// What became of a staged frame; written into it by `DeviceQueue.append`, final once the commit returns.
package enum AppendOutcome: UInt8, Sendable {
    case pending = 0
    /// New: it has a device sequence.
    case stored = 1
    /// The same id with the same body came before: not stored again.
    case duplicate = 2
    /// The same id with another body came before: this one went to the quarantine queue.
    case conflict = 3
    /// Set aside with the reason it was staged with.
    case quarantined = 4
    /// A release or a discarded session was noted.
    case noted = 5
}
