/// What a query engine may hold. Past a limit the record's excess goes to the output `_errors` and is
/// counted; nothing traps and nothing else suffers.
package struct EngineLimits: Hashable, Sendable {
    /// Greatest device number. Default 4,194,304: 24 bytes each, 96 MiB.
    package var devicesMax: UInt32 = 1 << 22
    /// Distinct field names as they are written in payloads (two spellings of one name are two).
    /// Default 65,536: a fleet has some hundred; a device that invents names must not fill the memory.
    package var fieldNamesMax = 1 << 16
    /// Bytes of one field name as it is written. Default 256: the name becomes a level of a topic.
    package var fieldNameBytesMax = 256
    /// Numeric fields of one record. Default 1,024: above any real payload.
    package var fieldsPerRecordMax = 1_024
    /// Open windows (device, window end). Default 4,194,304: a million devices have two or three each. One costs
    /// 52 bytes, and 112 for one group (208 for up to three, 400 for up to six).
    package var openWindowsMax = 1 << 22
    /// Open groups (device, window end, field). Default 8,388,608 of 48 bytes.
    package var openGroupsMax = 1 << 23
    /// Rows that a tick collects before it has them taken away. Default 4,096: some 4 MB.
    package var rowsPerDrain = 4_096

    /// Bytes of a payload that a `_late` or `_errors` row carries; of a longer one it has null, and the
    /// record is found in its queue by its sequence. Default 65,536.
    package var rowPayloadBytesMax = 1 << 16

    package init() {}
}

/// What a query engine has done since it was made, carried on by its checkpoint.
package struct EngineCounters: Hashable, Sendable {
    /// Records that the time policy accepted, retimed ones included.
    package var accepted: UInt64 = 0
    package var early: UInt64 = 0
    package var late: UInt64 = 0
    package var outOfOrder: UInt64 = 0
    /// Accepted records whose payload is no JSON object with a numeric field.
    package var withoutFields: UInt64 = 0
    /// Values that were aggregated.
    package var values: UInt64 = 0
    /// Rows of the windowed output.
    package var rowsEmitted: UInt64 = 0
    /// Rows of the output `_errors`.
    package var errors: UInt64 = 0
    /// Open (device, window end) pairs now.
    package var openWindows: UInt64 = 0
    /// Open (device, window end, field) groups now.
    package var openGroups: UInt64 = 0
    /// Distinct field names known, the excluded ones not counted.
    package var fields: UInt64 = 0
    /// Devices with at least one accepted record.
    package var devices: UInt64 = 0

    package init() {}
}

/// Why a checkpoint's engine state cannot be used. An operator acts: delete the checkpoint, and everything is
/// computed again from the log, with the same result ids.
package enum CheckpointError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The bytes are not what was written; `at` is where reading stopped.
    case damaged(at: Int)
    /// Written by a newer format.
    case newerFormat(version: UInt16)
    /// Written for another query, another version of it, or other settings.
    case otherPlan

    package var description: String {
        switch self {
        case .damaged(let at):
            "the query state is damaged (at byte \(at)); "
                + "delete the checkpoint to compute it again from the log"
        case .newerFormat(let version):
            "the query state has format \(version), this program reads \(QueryEngine.checkpointVersion); "
                + "use the newer program, or delete the checkpoint to compute it again from the log"
        case .otherPlan:
            "the query state belongs to another query or version; delete the checkpoint to compute it again"
        }
    }
}
