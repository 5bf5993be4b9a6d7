package import Telemetry

/// A device whose records are committed further than the group's cursor.
package struct CommittedDevice: Sendable, Equatable {
    /// The queue's number of the device.
    package var device: UInt32
    /// The last committed record.
    package var sequence: UInt64

    package init(device: UInt32, sequence: UInt64) {
        self.device = device
        self.sequence = sequence
    }
}

/// How far a group is: what a restart needs, and what its file holds.
package struct GroupState: Sendable, Equatable {
    /// The first record of the group's devices that is not committed, or the place the log was read to when all
    /// are.
    package var cursor: QueueOffset
    /// Records of the group's devices before the cursor, since the log began; those it never saw count.
    package var recordsBefore: UInt64
    /// Records that retention removed before the group had them.
    package var missed: UInt64
    /// The wall clock of the last commit, 100 ns ticks; 0 before the first.
    package var lastCommitTicks: Int64
    /// What is committed behind the cursor, because another member is slower; ascending by device.
    package var ahead: [CommittedDevice]

    package init(
        cursor: QueueOffset, recordsBefore: UInt64, missed: UInt64 = 0, lastCommitTicks: Int64 = 0,
        ahead: [CommittedDevice] = []
    ) {
        self.cursor = cursor
        self.recordsBefore = recordsBefore
        self.missed = missed
        self.lastCommitTicks = lastCommitTicks
        self.ahead = ahead
    }
}
