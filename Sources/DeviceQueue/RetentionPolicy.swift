package import Telemetry

/// When sealed segments are removed from the front of the log. Each limit that is set counts by itself; without
/// any, everything is kept.
package struct RetentionPolicy: Sendable, Equatable {
    /// Ticks (100 ns) since its last reading arrived, after which a segment goes.
    package var ageTicks: Int64?
    /// Bytes of all segments together, the one that is being written included, above which the oldest go.
    package var bytes: UInt64?
    /// A segment goes when each device that has records in it has stored so many since.
    package var recordsPerDevice: UInt64?

    package init(ageTicks: Int64? = nil, bytes: UInt64? = nil, recordsPerDevice: UInt64? = nil) {
        self.ageTicks = ageTicks
        self.bytes = bytes
        self.recordsPerDevice = recordsPerDevice
    }

    package var keepsEverything: Bool { self == RetentionPolicy() }
}

/// A consumer that must not miss anything: nothing is removed from `from` on.
package struct RetentionHold: Sendable, Equatable {
    package var name: String
    package var from: QueueOffset
}

/// What retention did and what it costs to keep.
package struct RetentionStatus: Sendable, Equatable {
    /// The beginning of what is there.
    package var firstOffset = QueueOffset(0)
    /// Bytes and number of the segments.
    package var logBytes: UInt64 = 0
    package var segments = 0
    /// Arrival time of the first reading or tick that is there; nil when there is none.
    package var firstArrivalTime: EventTime?
    /// Records removed, and in how many segments and bytes.
    package var removedRecords: UInt64 = 0
    package var removedSegments: UInt64 = 0
    /// Quarantined messages removed, replayed or not.
    package var removedQuarantined: UInt64 = 0
    package var removedBytes: UInt64 = 0
    /// Bytes that would be gone were it not for the holds.
    package var heldBytes: UInt64 = 0
    /// By name.
    package var holds: [RetentionHold] = []
}
