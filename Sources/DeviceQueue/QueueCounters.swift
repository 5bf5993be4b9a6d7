package import Telemetry

/// What the queue counted, over all its restarts: everything up to `replayedDuplicates` comes from the log.
///
/// `received = stored + duplicates + quarantined + quarantineRemoved` always holds: a message is stored, came before,
/// or waits in the quarantine; a replay moves it from there to one of the first two, retention to the last. Releases
/// and discarded sessions are not messages and are not counted here.
package struct QueueCounters: Sendable, Equatable {
    package var received: UInt64 = 0
    package var stored: UInt64 = 0
    package var duplicates: UInt64 = 0
    /// Messages that wait in the quarantine, by the raw value of `QuarantineReason`; index 0 is a reason this build
    /// does not know.
    package var quarantinedByReason = [UInt64](repeating: 0, count: 16)
    /// Messages that waited in the quarantine until retention removed them.
    package var quarantineRemoved: UInt64 = 0
    /// Messages that were ever set aside, by the reason it was done for.
    package var setAsideByReason = [UInt64](repeating: 0, count: 16)
    /// Quarantined messages that a replay stored, and that it found to be stored already.
    package var replayedStored: UInt64 = 0
    package var replayedDuplicates: UInt64 = 0
    /// Devices with at least one stored record; a name that only quarantined messages claimed is none.
    package var devices: UInt64 = 0
    /// Records with a message id of their own, since the log was opened or in it.
    package var withMessageID: UInt64 = 0
    /// Look-ups whose hash agreed with another id's record: costs time only.
    package var falseSuspicions: UInt64 = 0
    /// Messages taken for duplicates by the hash of their id alone, because the stored record does not read
    /// back. Anything but 0 deserves a warning: the disk is damaged.
    package var decidedByHash: UInt64 = 0
    /// Commits made durable since the log was opened, and their bytes.
    package var commits: UInt64 = 0
    package var committedBytes: UInt64 = 0
    /// Message ids in memory, and the bytes of their tables.
    package var rememberedIDs: UInt64 = 0
    package var rememberedBytes: UInt64 = 0
    /// Bytes of what is known of every device and client: names, numbers, last sequences.
    package var deviceBytes: UInt64 = 0
    /// Ids forgotten before the horizon because of `QueueLimits.dedupBytesMax`. Anything but 0 deserves a
    /// warning.
    package var forgottenEarly: UInt64 = 0

    package init() {}

    package var quarantined: UInt64 { quarantinedByReason.reduce(0, +) }

    /// The messages that wait for one reason.
    package func quarantined(_ reason: QuarantineReason) -> UInt64 {
        quarantinedByReason[Int(reason.rawValue)]
    }

    mutating func countQuarantined(reason: UInt8) {
        quarantinedByReason[QuarantineReason(rawValue: reason) == nil ? 0 : Int(reason)] += 1
    }
}
