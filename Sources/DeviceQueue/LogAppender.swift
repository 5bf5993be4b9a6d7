import Platform
import Telemetry

/// The writing half of the log in memory: gives sequences, finds duplicates, lays frames into the write
/// buffer and cuts them into batches. Does no I/O but the read-backs of suspected duplicates. A hot-path file
/// with raw pointers.
///
/// Guard: `DeviceQueue` calls it from one thread at a time, under its lock.
struct LogAppender: ~Copyable {
    /// Frames that one commit makes durable together; all in one segment.
    struct Batch {
        var segmentBase: UInt64
        var salt: UInt32
        var number: UInt64
        /// Offset of the commit frame, and behind the last frame.
        var start: UInt64
        var end: UInt64
        var commitFrame: UnsafeMutableRawPointer
    }

    let limits: QueueLimits
    let catalog: SegmentCatalog
    let deviceNames: NameTable
    let clientNames: NameTable
    var devices: DeviceStates
    /// As `devices`; only `definedIn` is used.
    var clients: DeviceStates
    var dedup: DedupIndex
    var recent: RecentLog
    var unreleased = UnreleasedIdentifiers()
    var counters = QueueCounters()
    var tallies: LogTallies
    /// Repetitions in the staging buffer at hand, and the place of the frame that the last one repeats.
    var repetitions: [Repetition] = []
    var repeatedOffset: UInt64 = 0
    var lastArrivalTicks: Int64
    /// The number of the last batch begun.
    var lastCommitNumber: UInt64 = 0
    /// The segment that frames go into now; its file may not exist yet.
    var segmentBase: UInt64 = 0
    /// Ordinary frames end at or before this offset.
    var segmentLimit: UInt64 = 0
    var salt: UInt32 = 0
    /// Batches to commit, oldest first; the last one may still grow.
    var batches: [Batch] = []
    var isBatchOpen = false
    var pendingBytes = 0
    var durableEnd: UInt64 = 0
    /// Scratch of one group of frames.
    let hashes: UnsafeMutablePointer<UInt64>
    static let groupFrames = 32
    /// Reads suspected duplicates back from disk.
    var readBack: FrameFetcher
    private var sink: UInt64 = 0
    /// Whether message ids are remembered: not where nothing is written.
    let keepsIDs: Bool

    /// - Returns: nil when the system has no memory.
    init?(
        catalog: SegmentCatalog, deviceNames: NameTable, clientNames: NameTable, keepsIDs: Bool,
        nowTicks: Int64
    ) {
        limits = catalog.limits
        self.keepsIDs = keepsIDs
        self.catalog = catalog
        self.deviceNames = deviceNames
        self.clientNames = clientNames
        guard let dedup = DedupIndex(limits: catalog.limits, nowTicks: nowTicks) else { return nil }
        self.dedup = dedup
        devices = DeviceStates(numberMax: limits.devices * 2)
        clients = DeviceStates(numberMax: limits.clients * 2)
        recent = RecentLog(chunkBytes: limits.chunkBytes, retainedBytes: limits.recentBytes)
        tallies = LogTallies(repeatedMax: catalog.limits.repeatedRecords)
        lastArrivalTicks = Int64.min
        hashes = .allocate(capacity: Self.groupFrames)
        hashes.initialize(repeating: 0, count: Self.groupFrames)
        readBack = FrameFetcher(catalog: catalog)
    }

    deinit { hashes.deallocate() }

    /// Goes on at an offset of a segment.
    mutating func resume(in segment: Segment, at offset: UInt64) {
        enter(base: segment.base, byteCount: segment.byteCount)
        durableEnd = offset
        recent.begin(at: offset, room: 0, durableEnd: offset)
    }

    private mutating func enter(base: UInt64, byteCount: UInt64) {
        segmentBase = base
        segmentLimit = base + byteCount - UInt64(LogFormat.segmentReserveBytes)
        salt = LogFormat.salt(logID: catalog.logID, base: base)
    }

    /// The queue offset of the next frame.
    @inline(__always) var end: UInt64 { recent.offset }

    /// Makes room for a frame of `byteCount` bytes and, before it, for the commit frame of a new batch and
    /// the definitions of what it speaks of.
    @inline(never)
    mutating func makeRoom(_ byteCount: Int, device: UInt32?, named: UInt32, client: UInt32) {
        var total = overhead(device: device, named: named, client: client) + byteCount
        if recent.offset + UInt64(total) > segmentLimit {
            rollSegment()
            total = overhead(device: device, named: named, client: client) + byteCount
            precondition(recent.offset + UInt64(total) <= segmentLimit, "a frame larger than recordBytesMax")
        }
        if recent.room < total { recent.begin(at: recent.offset, room: total, durableEnd: durableEnd) }
        if !isBatchOpen { openBatch() }
        if let device, device == 0, isUndefined(devices, 0) { writeDefinition(.device, 0) }
        if named != 0, isUndefined(devices, named) { writeDefinition(.device, named) }
        if client != 0, isUndefined(clients, client) { writeDefinition(.client, client) }
    }

    private func overhead(device: UInt32?, named: UInt32, client: UInt32) -> Int {
        let header = FrameLayout.definitionHeaderBytes
        var total = isBatchOpen ? 0 : FrameLayout.commitBytes
        if let device, device == 0, isUndefined(devices, 0) { total += header }
        if named != 0, isUndefined(devices, named) {
            total += (header + deviceNames.nameBytes(named) + 7) & ~7
        }
        if client != 0, isUndefined(clients, client) {
            total += (header + clientNames.nameBytes(client) + 7) & ~7
        }
        return total
    }

    @inline(__always)
    func isUndefined(_ states: borrowing DeviceStates, _ number: UInt32) -> Bool {
        states.state(number).pointee.definedIn != segmentBase + 1
    }

    private mutating func writeDefinition(_ kind: FrameKind, _ number: UInt32) {
        let names = kind == .device ? deviceNames : clientNames
        let nameBytes = names.nameBytes(number)
        let byteCount = (FrameLayout.definitionHeaderBytes + nameBytes + 7) & ~7
        let frame = recent.cursor
        frame.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
        frame.storeBytes(of: kind.rawValue, toByteOffset: FrameLayout.kind, as: UInt8.self)
        frame.storeBytes(of: UInt16(nameBytes), toByteOffset: FrameLayout.topicBytes, as: UInt16.self)
        if kind == .device {
            let state = devices.state(number)
            frame.storeBytes(of: number, toByteOffset: FrameLayout.device, as: UInt32.self)
            frame.storeBytes(
                of: state.pointee.lastSequence, toByteOffset: FrameLayout.sequence, as: UInt64.self)
            frame.storeBytes(
                of: state.pointee.lastOffset, toByteOffset: FrameLayout.previous, as: UInt64.self)
            state.pointee.definedIn = segmentBase + 1
        } else {
            frame.storeBytes(of: number, toByteOffset: FrameLayout.client, as: UInt32.self)
            clients.state(number).pointee.definedIn = segmentBase + 1
        }
        names.copyName(number, to: frame + FrameLayout.definitionHeaderBytes)
        finish(frame, byteCount)
    }

    /// Seals a frame that stands at the cursor.
    @inline(__always)
    mutating func finish(_ frame: UnsafeMutableRawPointer, _ byteCount: Int) {
        LogFormat.seal(frame, byteCount: byteCount, salt: salt)
        recent.advance(byteCount)
        pendingBytes += byteCount
    }

    private mutating func openBatch() {
        lastCommitNumber += 1
        let frame = recent.cursor
        frame.initializeMemory(as: UInt8.self, repeating: 0, count: FrameLayout.commitBytes)
        frame.storeBytes(of: FrameKind.commit.rawValue, toByteOffset: FrameLayout.kind, as: UInt8.self)
        frame.storeBytes(of: lastCommitNumber, toByteOffset: FrameLayout.sequence, as: UInt64.self)
        batches.append(
            Batch(
                segmentBase: segmentBase, salt: salt, number: lastCommitNumber, start: recent.offset,
                end: 0, commitFrame: frame))
        recent.advance(FrameLayout.commitBytes)
        pendingBytes += FrameLayout.commitBytes
        isBatchOpen = true
    }

    /// Writes into the open batch's commit frame how long it is. It may grow again afterwards, and be sealed
    /// again.
    mutating func sealBatch() {
        guard isBatchOpen else { return }
        let last = batches.count - 1
        batches[last].end = recent.offset
        let frame = batches[last].commitFrame
        let behind = recent.offset - batches[last].start - UInt64(FrameLayout.commitBytes)
        frame.storeBytes(of: behind, toByteOffset: FrameLayout.previous, as: UInt64.self)
        LogFormat.seal(frame, byteCount: FrameLayout.commitBytes, salt: batches[last].salt)
    }

    /// Ends the segment: the next frame begins a batch in the next one, whose file `commit` will take into
    /// use.
    private mutating func rollSegment() {
        sealBatch()
        isBatchOpen = false
        let next = segmentLimit + UInt64(LogFormat.segmentReserveBytes)
        enter(base: next, byteCount: UInt64(limits.segmentBytes))
        recent.begin(at: next + UInt64(LogFormat.segmentHeaderBytes), room: 0, durableEnd: durableEnd)
    }

    /// Notes that the oldest batch is on disk.
    mutating func batchIsDurable() {
        let batch = batches.removeFirst()
        durableEnd = batch.end
        pendingBytes -= Int(batch.end - batch.start)
        counters.commits += 1
        counters.committedBytes += batch.end - batch.start
        if batches.isEmpty { isBatchOpen = false }
    }

    /// Keeps the touching loads of a group alive.
    @inline(__always) mutating func note(_ sum: UInt64) { sink &+= sum }
}
