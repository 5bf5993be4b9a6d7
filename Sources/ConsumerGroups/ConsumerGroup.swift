package import Telemetry

/// A record of the log as a group sees it.
package struct GroupRecord: Sendable, Equatable {
    package var offset: QueueOffset
    /// Where the next frame begins.
    package var next: QueueOffset
    package var device: UInt32
    package var sequence: UInt64
    package var arrivalTicks: Int64

    package init(
        offset: QueueOffset, next: QueueOffset, device: UInt32, sequence: UInt64, arrivalTicks: Int64
    ) {
        self.offset = offset
        self.next = next
        self.device = device
        self.sequence = sequence
        self.arrivalTicks = arrivalTicks
    }
}

/// A consumer group as a state machine: a durable place in the log that several members move on together. No
/// clock, no disk: times come in as monotonic nanoseconds, records with `take`.
///
/// Records are handed out in log order. A device belongs to one member at a time: to the one that has records of it
/// uncommitted, and when there is none, to the next that asks. So its records reach consumers in order, work moves
/// to whoever has time, and a member that joins or leaves interrupts nobody. What a member does not commit (it
/// begins again, leaves, gives back, or is silent for longer than its lease) is delivered again: at least once,
/// with (device, sequence) as the key of a repetition. What is committed is never delivered again.
package struct ConsumerGroup {
    package let definition: GroupDefinition
    let limits: GroupLimits
    /// Reading goes on here.
    package private(set) var readOffset: QueueOffset
    var window = DeliveryWindow()
    /// In the order they joined.
    var members: [GroupMember] = []
    /// Committed behind the cursor before the last start, by device; an entry goes when its records are read.
    private var recovered: [UInt32: UInt64] = [:]
    /// Records of the group before the first of the window.
    var recordsBefore: UInt64
    private var missed: UInt64
    var lastCommitTicks: Int64
    private var lastSession: UInt64
    /// Grows with every change that must be saved.
    package internal(set) var revision: UInt64 = 0
    package internal(set) var counters = GroupCounters()

    /// - Parameters:
    ///   - firstSession: larger than any session number of the group before, so that an old token is told: the
    ///     wall clock serves.
    package init(
        _ definition: GroupDefinition, state: GroupState, limits: GroupLimits, firstSession: UInt64
    ) {
        self.definition = definition
        self.limits = limits
        readOffset = state.cursor
        recordsBefore = state.recordsBefore
        missed = state.missed
        lastCommitTicks = state.lastCommitTicks
        for entry in state.ahead { recovered[entry.device] = entry.sequence }
        lastSession = max(1, firstSession)
    }

    mutating func nextSession() -> UInt64 {
        lastSession += 1
        return lastSession
    }

    // Reading.

    /// Whether it wants more of the log in its window.
    package var hasRoom: Bool { window.count < limits.windowRecords }

    /// Takes the next record of the group's devices. One block of the log more than fits is taken.
    package mutating func take(_ record: GroupRecord) {
        precondition(record.offset >= readOffset)
        precondition(record.next > record.offset)
        readOffset = record.next
        var isCommitted = false
        if let last = recovered[record.device] {
            isCommitted = record.sequence <= last
            if record.sequence >= last { recovered[record.device] = nil }
        }
        if isCommitted, window.count == 0 {
            recordsBefore += 1
            return
        }
        window.append(
            DeliveryWindow.Entry(
                offset: record.offset.bytes, sequence: record.sequence, arrivalTicks: record.arrivalTicks,
                device: record.device, byteCount: UInt32(clamping: record.next.bytes - record.offset.bytes),
                owner: isCommitted ? DeliveryWindow.done : DeliveryWindow.ready, deliveries: 0))
    }

    /// Everything up to an offset was seen, and the rest of it is not the group's.
    package mutating func skip(to offset: QueueOffset) {
        precondition(offset >= readOffset)
        readOffset = offset
    }

    // Places.

    /// The first record that is not committed, or where reading goes on.
    package var cursor: QueueOffset { window.entries.oldest.map { QueueOffset($0.offset) } ?? readOffset }

    /// What has to be saved.
    package var state: GroupState {
        var ahead = window.committedAhead()
        // Of devices whose records behind the cursor were not read yet since the start.
        if !recovered.isEmpty {
            ahead.removeAll { recovered[$0.device] != nil }
            for (device, sequence) in recovered {
                ahead.append(CommittedDevice(device: device, sequence: sequence))
            }
            ahead.sort { $0.device < $1.device }
        }
        return GroupState(
            cursor: cursor, recordsBefore: recordsBefore, missed: missed, lastCommitTicks: lastCommitTicks,
            ahead: ahead)
    }

    /// Moves the group to another place; what is delivered and not committed is void.
    ///
    /// - Parameter recordsBefore: records of the group before that place, since the log began.
    package mutating func seek(to offset: QueueOffset, recordsBefore: UInt64) {
        for index in members.indices {
            members[index].session = nextSession()
            members[index].deliveries = NumberedList(first: 1)
            members[index].inFlightCount = 0
            members[index].inFlightBytes = 0
        }
        window = DeliveryWindow()
        recovered = [:]
        readOffset = offset
        self.recordsBefore = recordsBefore
        revision += 1
    }

    /// Retention has removed the log before an offset: what was not committed of it is lost to the group, and
    /// counted.
    ///
    /// - Parameter recordsBefore: records of the group before that offset, since the log began.
    package mutating func overtaken(first: QueueOffset, recordsBefore before: UInt64) {
        guard cursor < first else { return }
        var lost: UInt64 = 0
        while let entry = window.entries.oldest, entry.offset < first.bytes {
            if entry.owner != DeliveryWindow.done {
                lost += 1
                forget(window.entries.first, of: entry.owner)
            }
            window.dropOldest()
            recordsBefore += 1
        }
        if readOffset < first {
            readOffset = first
            lost += before > recordsBefore ? before - recordsBefore : 0
            recordsBefore = max(before, recordsBefore)
        }
        recordsBefore += UInt64(window.dropDone())
        missed += lost
        revision += 1
    }

    /// Takes a record from the member that has it, if any; its place among the deliveries stays.
    private mutating func forget(_ number: UInt64, of session: UInt64) {
        guard session != DeliveryWindow.ready else { return }
        if let index = members.firstIndex(where: { $0.session == session }) {
            var place = members[index].deliveries.first
            while place < members[index].deliveries.end {
                if members[index].deliveries[place] == number {
                    members[index].deliveries[place] = GroupMember.committed
                    members[index].inFlightCount -= 1
                    members[index].inFlightBytes -= Int(window.entries[number].byteCount)
                    break
                }
                place += 1
            }
            members[index].trim()
        }
        window.release(number)
    }
}

/// What a group did since the start of the hub.
package struct GroupCounters: Sendable, Equatable {
    /// Records handed out, repetitions included.
    package var delivered: UInt64 = 0
    /// Of those, the ones that were handed out before.
    package var redelivered: UInt64 = 0
    package var committed: UInt64 = 0
    /// Members that were silent for too long.
    package var expired: UInt64 = 0

    package init() {}
}

/// A look at a group.
package struct GroupSnapshot: Sendable, Equatable {
    package var cursor: QueueOffset
    package var readOffset: QueueOffset
    /// Records of its devices that are committed or were passed over, since the log began: what is stored of them
    /// less this is the lag.
    package var recordsDone: UInt64
    package var inFlight: Int
    /// Read from the log and ready to be handed out.
    package var ready: Int
    /// When the first record that is not committed arrived; nil when none was read.
    package var oldestArrivalTicks: Int64?
    package var missed: UInt64
    package var lastCommitTicks: Int64
    package var members: [MemberSnapshot]
    package var counters: GroupCounters
}

extension ConsumerGroup {
    package func snapshot(now: UInt64) -> GroupSnapshot {
        let state = state
        return GroupSnapshot(
            cursor: state.cursor, readOffset: readOffset,
            recordsDone: recordsBefore + UInt64(window.doneCount), inFlight: window.inFlightCount,
            ready: window.readyCount, oldestArrivalTicks: window.entries.oldest?.arrivalTicks,
            missed: state.missed, lastCommitTicks: lastCommitTicks,
            members: members.map {
                MemberSnapshot(
                    name: $0.name, inFlight: $0.inFlightCount,
                    leaseLeftNanoseconds: $0.deadline > now ? $0.deadline - now : 0)
            }, counters: counters)
    }
}
