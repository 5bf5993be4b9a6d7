import Telemetry

/// What the log says beyond its records: what became of quarantined messages, and how often messages came again.
///
/// A function of the log's frames in their order and of what retention removed, so a restart comes to the same, from
/// the frames or from `encoded()` and the frames behind it. Memory: 5 bytes a quarantined message that is there, 8 a
/// device, and some 40 for each record that came again, of which there are `repeatedMax` at most.
struct LogTallies: Equatable {
    /// The state of one quarantined message.
    enum QuarantineState: Equatable {
        /// Not of this log, or of a part that is gone.
        case unknown
        case waiting(QuarantineReason)
        /// A replay stored it, or found that it is stored.
        case settled
    }

    private static let settledByte: UInt8 = 0xFF
    /// A reason that this build does not know: waiting, for whoever knows it.
    private static let otherByte: UInt8 = 0xFE

    /// The sequence of the first element of `states` and `claims`.
    private var firstSequence: UInt64 = 1
    /// Messages that waited when retention removed them.
    private(set) var removedWaiting: UInt64 = 0
    /// By the device they claimed; may be shorter than other lists.
    private(set) var removedWaitingByDevice: [UInt32] = []
    /// By quarantine sequence: the current reason, or settled.
    private var states: [UInt8] = []
    /// By quarantine sequence: the device it claimed.
    private var claims: [UInt32] = []
    /// Quarantined messages that wait, by the raw value of their current reason; index 0: not known here.
    private(set) var waitingByReason = [UInt64](repeating: 0, count: 16)
    private(set) var waitingByDevice: [UInt32] = []

    /// Messages that were stored already when they came.
    private(set) var duplicates: UInt64 = 0
    private(set) var duplicatesByDevice: [UInt32] = []
    /// By the offset of a record, or quarantined message: how often it came again.
    private var repeated: [UInt64: UInt32] = [:]
    /// Counts of frames before this offset were forgotten to stay within `repeatedMax`.
    private(set) var forgottenBefore: UInt64 = 0
    /// Records and quarantined messages that `repeated` may hold; at least 4.
    var repeatedMax: Int

    /// Replayed messages that were stored, and that were found to be stored.
    private(set) var replayedStored: UInt64 = 0
    private(set) var replayedDuplicates: UInt64 = 0

    init(repeatedMax: Int) { self.repeatedMax = max(repeatedMax, 4) }

    // Looking up.

    func state(_ sequence: UInt64) -> QuarantineState {
        guard let index = index(sequence) else { return .unknown }
        switch states[index] {
        case 0: return .unknown
        case Self.settledByte: return .settled
        default: return .waiting(QuarantineReason(rawValue: states[index]) ?? .noRule)
        }
    }

    /// The device that a quarantined message claimed; 0 for unknown.
    func claim(_ sequence: UInt64) -> UInt32 { index(sequence).map { claims[$0] } ?? 0 }

    func waiting(device: UInt32) -> UInt64 {
        Int(device) < waitingByDevice.count ? UInt64(waitingByDevice[Int(device)]) : 0
    }

    func removedWaiting(device: UInt32) -> UInt64 {
        Int(device) < removedWaitingByDevice.count ? UInt64(removedWaitingByDevice[Int(device)]) : 0
    }

    func duplicates(device: UInt32) -> UInt64 {
        Int(device) < duplicatesByDevice.count ? UInt64(duplicatesByDevice[Int(device)]) : 0
    }

    /// How often the message at an offset came again; nil when that was forgotten.
    func repetitions(at offset: UInt64) -> UInt64? {
        repeated[offset].map { UInt64($0) } ?? (offset < forgottenBefore ? nil : 0)
    }

    /// Retention removed the quarantined messages up to this sequence: those that wait do so no more, and what was
    /// remembered of all of them goes.
    mutating func forget(through sequence: UInt64) {
        guard sequence >= firstSequence else { return }
        let count = Int(min(sequence - firstSequence + 1, UInt64(states.count)))
        for index in 0..<count where states[index] != 0 && states[index] != Self.settledByte {
            wait(states[index], claims[index], add: false)
            removedWaiting += 1
            Self.add(1, to: &removedWaitingByDevice, at: claims[index])
        }
        states.removeFirst(count)
        claims.removeFirst(count)
        firstSequence = sequence + 1
    }

    // Taking frames in, in the order of the log.

    /// Whether `take` has anything to do with a frame: cheap, for loops over all frames.
    @inline(__always)
    static func concerns(_ frame: UnsafeRawPointer) -> Bool {
        switch frame.kindByte {
        case FrameKind.record.rawValue: frame.flagByte & FrameFlags.replayed != 0
        case FrameKind.quarantined.rawValue, FrameKind.replayed.rawValue, FrameKind.repeated.rawValue: true
        default: false
        }
    }

    @inline(never)
    mutating func take(_ frame: UnsafeRawPointer) {
        switch frame.kindByte {
        case FrameKind.record.rawValue:
            guard frame.flagByte & FrameFlags.replayed != 0 else { return }
            if settle(frame.replayedFrom, frame.device) { replayedStored += 1 }
        case FrameKind.quarantined.rawValue: setAside(frame)
        case FrameKind.replayed.rawValue: takeReplayed(frame)
        case FrameKind.repeated.rawValue:
            for index in 0..<frame.entryCount {
                let entry = frame.repeatedEntry(index)
                count(entry.count, device: entry.device, at: entry.offset)
            }
        default: break
        }
    }

    private mutating func setAside(_ frame: UnsafeRawPointer) {
        if states.isEmpty { firstSequence = max(firstSequence, frame.sequence) }
        // The log is gapless; should a part be gone all the same, its messages are unknown.
        while firstSequence + UInt64(states.count) < frame.sequence {
            states.append(0)
            claims.append(0)
        }
        guard firstSequence + UInt64(states.count) == frame.sequence else { return }
        states.append(Self.byte(frame.reasonByte))
        claims.append(frame.claimedDevice)
        wait(frame.reasonByte, frame.claimedDevice, add: true)
    }

    private mutating func takeReplayed(_ frame: UnsafeRawPointer) {
        guard frame.reasonByte != 0 else {
            guard settle(frame.sequence, frame.device) else { return }
            replayedDuplicates += 1
            count(1, device: frame.device, at: frame.previous)
            return
        }
        guard let index = index(frame.sequence), case .waiting = state(frame.sequence) else { return }
        wait(states[index], claims[index], add: false)
        states[index] = Self.byte(frame.reasonByte)
        wait(frame.reasonByte, claims[index], add: true)
    }

    private mutating func settle(_ sequence: UInt64, _ device: UInt32) -> Bool {
        guard sequence >= firstSequence else { return settleRemoved(device) }
        guard let index = index(sequence), case .waiting = state(sequence) else { return false }
        wait(states[index], claims[index], add: false)
        states[index] = Self.settledByte
        return true
    }

    /// A replay of a message that is gone: these tallies end before the replay and forgot a message that waited as
    /// far as they knew, or nobody would have replayed it.
    private mutating func settleRemoved(_ device: UInt32) -> Bool {
        guard removedWaiting > 0 else { return false }
        removedWaiting -= 1
        if Int(device) < removedWaitingByDevice.count, removedWaitingByDevice[Int(device)] > 0 {
            removedWaitingByDevice[Int(device)] -= 1
        }
        return true
    }

    private mutating func count(_ times: UInt32, device: UInt32, at offset: UInt64) {
        duplicates += UInt64(times)
        Self.add(times, to: &duplicatesByDevice, at: device)
        guard offset != 0, offset >= forgottenBefore else { return }
        let (sum, overflow) = (repeated[offset] ?? 0).addingReportingOverflow(times)
        repeated[offset] = overflow ? .max : sum
        if repeated.count > repeatedMax { forgetOldest() }
    }

    /// Drops the counts of the oldest quarter of the records that have one.
    private mutating func forgetOldest() {
        let offsets = repeated.keys.sorted()
        let kept = offsets[offsets.count / 4]
        forgottenBefore = kept
        repeated = repeated.filter { $0.key >= kept }
    }

    private mutating func wait(_ reason: UInt8, _ device: UInt32, add: Bool) {
        let index = QuarantineReason(rawValue: reason) == nil ? 0 : Int(reason)
        waitingByReason[index] += add ? 1 : 0
        waitingByReason[index] -= add ? 0 : 1
        if add {
            Self.add(1, to: &waitingByDevice, at: device)
        } else if Int(device) < waitingByDevice.count {
            waitingByDevice[Int(device)] -= 1
        }
    }

    private func index(_ sequence: UInt64) -> Int? {
        guard sequence >= firstSequence, sequence - firstSequence < UInt64(states.count) else { return nil }
        return Int(sequence - firstSequence)
    }

    private static func byte(_ reason: UInt8) -> UInt8 {
        QuarantineReason(rawValue: reason) == nil ? otherByte : reason
    }

    private static func add(_ count: UInt32, to list: inout [UInt32], at device: UInt32) {
        while list.count <= Int(device) { list.append(0) }
        let (sum, overflow) = list[Int(device)].addingReportingOverflow(count)
        list[Int(device)] = overflow ? .max : sum
    }
}

extension LogTallies {
    /// Everything as bytes, for a snapshot: little-endian, without a checksum of its own.
    func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(96 + states.count * 5 + repeated.count * 12)
        for number in [firstSequence, duplicates, forgottenBefore, replayedStored, replayedDuplicates] {
            bytes.append(littleEndian: number)
        }
        for count in waitingByReason { bytes.append(littleEndian: count) }
        bytes.append(littleEndian: UInt64(states.count))
        bytes.append(contentsOf: states)
        for claim in claims { bytes.append(littleEndian: claim) }
        for list in [waitingByDevice, duplicatesByDevice] {
            bytes.append(littleEndian: UInt64(list.count))
            for count in list { bytes.append(littleEndian: count) }
        }
        bytes.append(littleEndian: UInt64(repeated.count))
        for (offset, count) in repeated.sorted(by: { $0.key < $1.key }) {
            bytes.append(littleEndian: offset)
            bytes.append(littleEndian: count)
        }
        // Files of logs without such messages are as they always were.
        guard removedWaiting > 0 else { return bytes }
        bytes.append(littleEndian: removedWaiting)
        bytes.append(littleEndian: UInt64(removedWaitingByDevice.count))
        for count in removedWaitingByDevice { bytes.append(littleEndian: count) }
        return bytes
    }

    /// - Returns: nil when the bytes are not what `encoded()` gives.
    init?(decoding bytes: UnsafeRawBufferPointer, repeatedMax: Int) {
        self.init(repeatedMax: repeatedMax)
        var at = 0
        func word<Number: FixedWidthInteger>(_ type: Number.Type) -> Number? {
            guard bytes.count - at >= MemoryLayout<Number>.size else { return nil }
            defer { at += MemoryLayout<Number>.size }
            return Number(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: Number.self))
        }
        func count(bytesEach: Int) -> Int? {
            guard let count = word(UInt64.self), count <= UInt64((bytes.count - at) / bytesEach) else {
                return nil
            }
            return Int(count)
        }
        guard let first = word(UInt64.self), let duplicates = word(UInt64.self),
            let forgotten = word(UInt64.self), let stored = word(UInt64.self), let found = word(UInt64.self)
        else { return nil }
        firstSequence = first
        self.duplicates = duplicates
        forgottenBefore = forgotten
        replayedStored = stored
        replayedDuplicates = found
        for index in waitingByReason.indices {
            guard let waiting = word(UInt64.self) else { return nil }
            waitingByReason[index] = waiting
        }
        guard let entries = count(bytesEach: 5) else { return nil }
        states = Array(bytes[at..<(at + entries)])
        at += entries
        claims = (0..<entries).compactMap { _ in word(UInt32.self) }
        guard let waiting = count(bytesEach: 4) else { return nil }
        waitingByDevice = (0..<waiting).compactMap { _ in word(UInt32.self) }
        guard let repeating = count(bytesEach: 4) else { return nil }
        duplicatesByDevice = (0..<repeating).compactMap { _ in word(UInt32.self) }
        guard let pairs = count(bytesEach: 12) else { return nil }
        for _ in 0..<pairs {
            guard let offset = word(UInt64.self), let times = word(UInt32.self) else { return nil }
            repeated[offset] = times
        }
        guard at < bytes.count else { return }
        guard let removed = word(UInt64.self), let removing = count(bytesEach: 4) else { return nil }
        removedWaiting = removed
        removedWaitingByDevice = (0..<removing).compactMap { _ in word(UInt32.self) }
        guard at == bytes.count else { return nil }
    }
}
