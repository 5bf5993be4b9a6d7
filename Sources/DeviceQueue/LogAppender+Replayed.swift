import Telemetry

// Replays of quarantined messages, and repetitions: what the log notes of messages that are not stored. Raw
// pointers as in `LogAppender+Append.swift`, with the same guards.
extension LogAppender {
    /// A message that came again, until its frame is written.
    struct Repetition {
        /// Of the record or quarantined message that it repeats; 0: not known (QoS 2 without an id).
        var offset: UInt64
        var device: UInt32
        var count: UInt32
    }

    /// Notes that a staged frame is not stored because it was before.
    @inline(never)
    mutating func noteRepetition(_ staged: UnsafeRawPointer, of offset: UInt64) {
        let device = staged.device == 0 ? staged.claimedDevice : staged.device
        let last = repetitions.count - 1
        if last >= 0, repetitions[last].offset == offset, repetitions[last].device == device {
            repetitions[last].count += 1
        } else {
            repetitions.append(Repetition(offset: offset, device: device, count: 1))
        }
    }

    /// Writes what `noteRepetition` gathered: with the same commit as the records around it, so that the counts are
    /// exact after every crash.
    mutating func writeRepetitions() {
        var at = 0
        while at < repetitions.count {
            let count = min(repetitions.count - at, FrameLayout.repeatedEntriesMax)
            let byteCount = FrameLayout.repeatedHeaderBytes + count * FrameLayout.repeatedEntryBytes
            makeRoom(byteCount, device: nil, named: 0, client: 0)
            let frame = recent.cursor
            frame.initializeMemory(as: UInt8.self, repeating: 0, count: FrameLayout.repeatedHeaderBytes)
            frame.storeBytes(of: FrameKind.repeated.rawValue, toByteOffset: FrameLayout.kind, as: UInt8.self)
            frame.storeBytes(of: UInt32(count), toByteOffset: FrameLayout.entryCount, as: UInt32.self)
            for index in 0..<count {
                let entry =
                    frame + FrameLayout.repeatedHeaderBytes + index * FrameLayout.repeatedEntryBytes
                entry.storeBytes(of: repetitions[at + index].offset, as: UInt64.self)
                entry.storeBytes(of: repetitions[at + index].device, toByteOffset: 8, as: UInt32.self)
                entry.storeBytes(of: repetitions[at + index].count, toByteOffset: 12, as: UInt32.self)
            }
            finish(frame, byteCount)
            tallies.take(UnsafeRawPointer(frame))
            at += count
        }
        repetitions.removeAll(keepingCapacity: true)
    }

    /// Whether a staged replay still has something to do: not after another replay of the same message.
    @inline(never)
    func isReplayDue(_ staged: UnsafeRawPointer) -> Bool {
        if case .waiting = tallies.state(staged.replayedFrom) { return true }
        return false
    }

    /// The replayed message is stored already: it leaves the quarantine.
    mutating func settleAsDuplicate(_ staged: UnsafeRawPointer, of offset: UInt64) {
        writeReplayed(staged.replayedFrom, reason: 0, device: staged.device, offset: offset)
    }

    /// The replayed message waits on, for another reason if it was not this one.
    mutating func keepWaiting(_ sequence: UInt64, reason: UInt8) {
        guard case .waiting(let current) = tallies.state(sequence), current.rawValue != reason else { return }
        writeReplayed(sequence, reason: reason, device: 0, offset: 0)
    }

    private mutating func writeReplayed(_ sequence: UInt64, reason: UInt8, device: UInt32, offset: UInt64) {
        makeRoom(FrameLayout.replayedBytes, device: 0, named: device, client: 0)
        let frame = recent.cursor
        frame.initializeMemory(as: UInt8.self, repeating: 0, count: FrameLayout.replayedBytes)
        frame.storeBytes(of: FrameKind.replayed.rawValue, toByteOffset: FrameLayout.kind, as: UInt8.self)
        frame.storeBytes(of: reason, toByteOffset: FrameLayout.reason, as: UInt8.self)
        frame.storeBytes(of: device, toByteOffset: FrameLayout.device, as: UInt32.self)
        frame.storeBytes(of: sequence, toByteOffset: FrameLayout.sequence, as: UInt64.self)
        frame.storeBytes(of: offset, toByteOffset: FrameLayout.previous, as: UInt64.self)
        finish(frame, FrameLayout.replayedBytes)
        tallies.take(UnsafeRawPointer(frame))
    }

    /// Takes the tallies of a frame of the log in.
    ///
    /// - Returns: nil, or in what the frame contradicts the log before it.
    mutating func replayTallies(_ frame: UnsafeRawPointer) -> String? {
        let sequence =
            switch frame.kindByte {
            case FrameKind.record.rawValue: frame.replayedFrom
            case FrameKind.replayed.rawValue: frame.sequence
            default: UInt64(0)
            }
        let last = devices.state(0).pointee.lastSequence
        guard sequence <= last else {
            return
                "a replay of quarantined message \(sequence) comes before that message (the last one is \(last))"
        }
        tallies.take(frame)
        return nil
    }
}
