import Platform

/// The message ids of a range of the log, ready for the dedup tables: the sidecar `.ids` of a sealed segment, a
/// cache; or, with proofs, a `.marks` file, the truth about segments that are gone. Layout:
/// `DeviceQueue.docc/LogFormat.md`. A hot-path file with raw pointers into the image, whose sizes are checked
/// at init.
struct IDFile: ~Copyable {
    /// What decides a suspicion when the record itself is gone.
    struct Proof: Equatable {
        /// A second hash of (device, message id), under another key.
        var check: UInt64
        /// Hash of the payload, and its size.
        var body: UInt64
        var payloadBytes: UInt32
        /// Of the frame: see `FrameKind` and `QuarantineReason`.
        var kind: UInt8
        var reason: UInt8
    }

    static let headerBytes = 72
    static let runBytes = 16
    static let entryBytes = 24
    static let proofBytes = 24
    static let hasProofsFlag: UInt32 = 1

    private let image: FileImage
    /// The offsets that it speaks of.
    let from: UInt64
    let to: UInt64
    let count: Int
    let runCount: Int
    let hasProofs: Bool
    /// The last commit of the segment, and the checksum of its last frame.
    let lastCommitNumber: UInt64
    let lastFrameChecksum: UInt32
    let hashes: UnsafePointer<UInt64>
    let places: UnsafePointer<DedupPlace>

    /// - Returns: nil when the bytes are damaged, of another version or of another log.
    init?(image: consuming FileImage, logID: UInt64) {
        guard image.byteCount >= Self.headerBytes, image.load(0) == LogFormat.idsMagic,
            image.load(8, as: UInt32.self) == LogFormat.idsVersion, image.load(32) == logID,
            image.load(48) < UInt64(image.byteCount), image.load(56) < UInt64(image.byteCount)
        else { return nil }
        let flags = image.load(64, as: UInt32.self)
        let count = Int(image.load(48))
        let runCount = Int(image.load(56))
        let hasProofs = flags & Self.hasProofsFlag != 0
        let entryBytes = Self.entryBytes + (hasProofs ? Self.proofBytes : 0)
        let start = Self.headerBytes + runCount * Self.runBytes
        guard image.byteCount == start + count * entryBytes,
            image.load(12, as: UInt32.self) == image.checksum(from: 16)
        else { return nil }
        var end: UInt64 = 0
        for run in 0..<runCount {
            let next = image.load(Self.headerBytes + run * Self.runBytes + 8)
            guard next >= end, next <= UInt64(count) else { return nil }
            end = next
        }
        guard end == UInt64(count) else { return nil }
        self.count = count
        self.runCount = runCount
        self.hasProofs = hasProofs
        from = image.load(16)
        to = image.load(24)
        lastCommitNumber = image.load(40)
        lastFrameChecksum = image.load(68, as: UInt32.self)
        let hashesStart = UnsafeRawPointer(image.base + start)
        hashes = hashesStart.assumingMemoryBound(to: UInt64.self)
        places = (hashesStart + count * 8).assumingMemoryBound(to: DedupPlace.self)
        self.image = image
    }

    /// The latest arrival time of a run of ids, and the index behind its last.
    func run(_ index: Int) -> (lastTicks: Int64, end: Int) {
        let at = Self.headerBytes + index * Self.runBytes
        return (image.load(at, as: Int64.self), Int(image.load(at + 8)))
    }

    var byteCount: Int { image.byteCount }
    var checksum: UInt32 { image.load(12, as: UInt32.self) }
    var bytes: UnsafeRawBufferPointer { image.bytes }

    func proof(_ index: Int) -> Proof {
        precondition(hasProofs)
        let at =
            Self.headerBytes + runCount * Self.runBytes + count * Self.entryBytes + index * Self.proofBytes
        return Proof(
            check: image.load(at), body: image.load(at + 8),
            payloadBytes: image.load(at + 16, as: UInt32.self),
            kind: image.load(at + 20, as: UInt8.self), reason: image.load(at + 21, as: UInt8.self))
    }

    /// The index of the id that stood at an offset of the log, nil when it was left out.
    func index(of position: UInt64) -> Int? {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if places[middle].position < position { low = middle + 1 } else { high = middle }
        }
        return low < count && places[low].position == position ? low : nil
    }

    /// Reads a file; nil when it is missing, damaged, or speaks of another range or log.
    static func load(
        _ path: String, files: any FileStore, logID: UInt64, from: UInt64, to: UInt64
    ) -> IDFile? {
        guard let read = try? FileImage.read(path, files: files, byteCountMin: headerBytes) else {
            return nil
        }
        guard let file = IDFile(image: read, logID: logID), file.from == from, file.to == to else {
            return nil
        }
        return file
    }
}

/// The ids of a range of the log while they are gathered.
struct IDList {
    private(set) var hashes: [UInt64] = []
    private var places: [DedupPlace] = []
    private var proofs: [IDFile.Proof] = []
    /// Latest arrival time, and index behind the last id.
    private var runs: [(lastTicks: Int64, end: UInt64)] = []
    private var runStart = Int64.min
    /// Ids within so much time share a run: they are forgotten together.
    private let runTicks: Int64
    private let hasProofs: Bool

    init(horizonTicks: Int64, hasProofs: Bool = false) {
        runTicks = horizonTicks / 64
        self.hasProofs = hasProofs
    }

    var count: Int { hashes.count }
    /// The latest arrival time, `Int64.min` when it is empty.
    var lastTicks: Int64 { runs.last?.lastTicks ?? .min }

    /// Adds a list of later ids.
    mutating func append(_ other: IDList) {
        let before = UInt64(hashes.count)
        hashes += other.hashes
        places += other.places
        proofs += other.proofs
        runs += other.runs.map { ($0.lastTicks, $0.end + before) }
        runStart = lastTicks
    }

    /// - Parameter ticks: not before that of the id before it.
    @inline(__always)
    mutating func add(_ hash: UInt64, _ place: DedupPlace, ticks: Int64, proof: IDFile.Proof? = nil) {
        hashes.append(hash)
        places.append(place)
        if hasProofs, let proof { proofs.append(proof) }
        if runs.isEmpty || ticks - runStart > runTicks {
            runs.append((ticks, 0))
            runStart = ticks
        }
        runs[runs.count - 1] = (ticks, UInt64(hashes.count))
    }

    /// The file's bytes.
    func encoded(
        from: UInt64, to: UInt64, logID: UInt64, lastCommitNumber: UInt64, lastFrameChecksum: UInt32
    ) -> FileImage {
        let entryBytes = IDFile.entryBytes + (hasProofs ? IDFile.proofBytes : 0)
        var image = FileImage(
            byteCapacity: IDFile.headerBytes + runs.count * IDFile.runBytes + count * entryBytes)
        image.append(LogFormat.idsMagic)
        image.append(LogFormat.idsVersion)
        image.append(UInt32(0))
        image.append(from)
        image.append(to)
        image.append(logID)
        image.append(lastCommitNumber)
        image.append(UInt64(count))
        image.append(UInt64(runs.count))
        image.append(hasProofs ? IDFile.hasProofsFlag : 0)
        image.append(lastFrameChecksum)
        for run in runs {
            image.append(run.lastTicks)
            image.append(run.end)
        }
        hashes.withUnsafeBytes { image.append($0) }
        places.withUnsafeBytes { image.append($0) }
        for proof in proofs {
            image.append(proof.check)
            image.append(proof.body)
            image.append(proof.payloadBytes)
            image.append(proof.kind)
            image.append(proof.reason)
            image.append(UInt16(0))
        }
        image.store(image.checksum(from: 16), at: 12)
        return image
    }
}
