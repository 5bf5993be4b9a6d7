import Platform
import Telemetry

// Suspected duplicates: an equal hash in memory is a suspicion, and what is stored decides.
extension LogAppender {
    /// What is stored under a suspicious hash, against a staged message.
    private enum Finding {
        /// Another id after all.
        case other
        /// The same id and body, in the queue that matters.
        case same
        /// The same id with another body, or in a queue that does not matter.
        case differs(isRecord: Bool)
        /// It waits in the quarantine, the message itself for one: it does not answer for a replay.
        case waiting
        /// Not needed any more.
        case forgotten
        /// It does not read back.
        case unreadable(String)
    }

    /// Lets what is stored decide on a suspected duplicate. When it cannot be read the hash alone decides: a
    /// collision of 64 keyed bits is far less likely than that the sender repeats itself.
    ///
    /// - Returns: `.duplicate`, `.conflict`, or `.stored`: the id is new after all.
    @inline(never)
    mutating func judge(
        _ frame: UnsafeMutableRawPointer, first: UInt64, _ cursor: inout DedupIndex.Cursor
    ) -> AppendOutcome {
        let staged = UnsafeRawPointer(frame)
        let isRecord = staged.kindByte == FrameKind.record.rawValue
        let isReplay = isRecord && staged.flagByte & FrameFlags.replayed != 0
        var verdict = AppendOutcome.stored
        var position = first
        while position != 0 {
            switch find(position, staged, isRecord: isRecord, isReplay: isReplay) {
            case .same:
                repeatedOffset = position
                return .duplicate
            case .waiting: break
            case .differs(let storedIsRecord): if storedIsRecord, isRecord { verdict = .conflict }
            case .other: counters.falseSuspicions += 1
            case .forgotten: break
            case .unreadable(let reason):
                counters.decidedByHash += 1
                // One line; the counter tells how often.
                if counters.decidedByHash == 1 { catalog.note(Self.notice(reason)) }
                repeatedOffset = position
                return .duplicate
            }
            position = dedup.next(&cursor)
        }
        return verdict
    }

    private static func notice(_ reason: String) -> String {
        "\(reason); messages whose ids repeat those of records there count as duplicates, unseen"
    }

    private mutating func find(
        _ position: UInt64, _ staged: UnsafeRawPointer, isRecord: Bool, isReplay: Bool
    ) -> Finding {
        if let near = recent.pointer(at: position) {
            return compare(near, staged, isRecord: isRecord, isReplay: isReplay)
        }
        do throws(QueueError) {
            return compare(try readBack.frame(at: position), staged, isRecord: isRecord, isReplay: isReplay)
        } catch {
            guard case .removed = error else { return .unreadable(error.description) }
        }
        do throws(FileError) {
            guard let proof = try catalog.marks.proof(at: position) else { return .forgotten }
            if isReplay, proof.kind != FrameKind.record.rawValue, !proof.isUnknown { return .waiting }
            return compare(proof, staged, isRecord: isRecord)
        } catch {
            return .unreadable(error.description)
        }
    }

    private func compare(
        _ stored: UnsafeRawPointer, _ staged: UnsafeRawPointer, isRecord: Bool, isReplay: Bool
    ) -> Finding {
        let storedIsRecord = stored.kindByte == FrameKind.record.rawValue
        if isReplay, !storedIsRecord { return .waiting }
        guard stored.isRecordLike, Self.owner(stored) == Self.owner(staged),
            stored.messageIDBuffer.equals(staged.messageIDBuffer)
        else { return .other }
        let matters = Self.matters(storedIsRecord, reason: stored.reasonByte, isRecord: isRecord)
        if matters, stored.payloadBuffer.equals(staged.payloadBuffer) { return .same }
        return .differs(isRecord: storedIsRecord)
    }

    /// As above where the record is gone: 128 bits of hash stand for (device, id), 64 and the size for the body.
    private func compare(_ proof: IDFile.Proof, _ staged: UnsafeRawPointer, isRecord: Bool) -> Finding {
        guard !proof.isUnknown else { return .same }
        let key = catalog.hashKey
        guard proof.check == IDFile.Proof.check(staged, key: key) else { return .other }
        let storedIsRecord = proof.kind == FrameKind.record.rawValue
        let isSameBody =
            Int(proof.payloadBytes) == staged.payloadBytes
            && proof.body == IDFile.Proof.body(staged, key: key)
        let matters = Self.matters(storedIsRecord, reason: proof.reason, isRecord: isRecord)
        return matters && isSameBody ? .same : .differs(isRecord: storedIsRecord)
    }

    private static func owner(_ frame: UnsafeRawPointer) -> UInt32 {
        frame.kindByte == FrameKind.record.rawValue ? frame.device : frame.claimedDevice
    }

    /// A quarantined frame answers for a record only when it is that record, set aside as a conflict.
    private static func matters(_ storedIsRecord: Bool, reason: UInt8, isRecord: Bool) -> Bool {
        storedIsRecord == isRecord || (isRecord && reason == QuarantineReason.conflict.rawValue)
    }
}
