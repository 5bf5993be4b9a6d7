import Platform

/// The contents of a file: what readers see, what is safe, and the changes between the two.
///
/// Confined to the thread that runs the world.
final class Inode {
    enum Change {
        case write(bytes: [UInt8], offset: Int)
        case truncate(byteCount: Int)
    }

    private(set) var visible: [UInt8] = []
    private var safe: [UInt8] = []
    private var pending: [Change] = []

    init() {}

    init(copyOf other: Inode) {
        visible = other.visible
        safe = other.safe
        pending = other.pending
    }

    func change(_ change: Change) {
        Self.apply(change, to: &visible)
        pending.append(change)
    }

    func shows(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> Bool {
        offset + bytes.count <= visible.count && visible[offset..<(offset + bytes.count)].elementsEqual(bytes)
    }

    func synchronize() {
        for change in pending { Self.apply(change, to: &safe) }
        pending = []
    }

    /// The device refused: each change reached it or did not, and the kernel will not try again.
    func failToSynchronize(_ random: inout SeededRandom) {
        for change in pending { Self.apply(change, .mixed, to: &safe, &random) }
        pending = []
    }

    func crash(_ fate: SimulatedDisk.Fate, _ random: inout SeededRandom) {
        for change in pending { Self.apply(change, fate, to: &safe, &random) }
        pending = []
        visible = safe
    }

    func flipBit(byte: Int, bit: Int) {
        if byte < visible.count { visible[byte] ^= 1 << UInt8(bit) }
        if byte < safe.count { safe[byte] ^= 1 << UInt8(bit) }
    }

    private static func apply(_ change: Change, to bytes: inout [UInt8]) {
        switch change {
        case .write(let written, let offset): put(written[...], at: offset, into: &bytes)
        case .truncate(let byteCount):
            if byteCount < bytes.count { bytes.removeLast(bytes.count - byteCount) }
            bytes.append(contentsOf: repeatElement(0, count: byteCount - bytes.count))
        }
    }

    private static func apply(
        _ change: Change, _ fate: SimulatedDisk.Fate, to bytes: inout [UInt8], _ random: inout SeededRandom
    ) {
        switch (fate, change) {
        case (.dropped, _): return
        case (.torn, .write(let written, let offset)):
            put(written.prefix(written.count / 2), at: offset, into: &bytes)
        case (.mixed, .write(let written, let offset)):
            putSectors(written, at: offset, into: &bytes, &random)
        case (.mixed, .truncate): if random.chance(50) { apply(change, to: &bytes) }
        case (.kept, _), (.torn, .truncate): apply(change, to: &bytes)
        }
    }

    private static func put(_ written: ArraySlice<UInt8>, at offset: Int, into bytes: inout [UInt8]) {
        let end = offset + written.count
        if bytes.count < end { bytes.append(contentsOf: repeatElement(0, count: end - bytes.count)) }
        bytes.replaceSubrange(offset..<end, with: written)
    }

    /// A sector is written whole or not at all, in any order; one in eight writes is cut at a byte instead.
    private static func putSectors(
        _ written: [UInt8], at offset: Int, into bytes: inout [UInt8], _ random: inout SeededRandom
    ) {
        if written.isEmpty || random.chance(12) {
            return put(written.prefix(random.whole(0...written.count)), at: offset, into: &bytes)
        }
        var start = 0
        while start < written.count {
            let end = min(written.count, ((offset + start) / sectorBytes + 1) * sectorBytes - offset)
            if random.chance(50) { put(written[start..<end], at: offset + start, into: &bytes) }
            start = end
        }
    }

    private static let sectorBytes = 512
}

/// An open file of a `SimulatedDisk`; of no use after the process that opened it.
///
/// `@unchecked Sendable`: confined to the thread that runs the world.
final class SimulatedFile: StoredFile, @unchecked Sendable {
    private let inode: Inode
    private let path: String
    private let disk: SimulatedDisk
    private let generation: Int
    private var isClosed = false
    var onClose: (() -> Void)?

    init(inode: Inode, path: String, disk: SimulatedDisk) {
        self.inode = inode
        self.path = path
        self.disk = disk
        generation = disk.generation
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
        try checkOpen("write")
        if disk.lie == .trustsPageCache, inode.shows(bytes, at: Int(offset)) { return }
        let isLast = try disk.begin("write", path)
        let growth = Int(offset) + bytes.count - inode.visible.count
        let room = growth > 0 ? disk.roomForGrowth : Int.max
        // What a refused write leaves behind is the part that went well.
        var count = growth > room ? max(0, bytes.count - (growth - room)) : bytes.count
        let isFull = count < bytes.count
        let isRefused = disk.refusesNextWrite
        if isRefused {
            disk.refusesNextWrite = false
            disk.refusals += 1
            count = disk.random.whole(0...count)
        }
        if count > 0 { inode.change(.write(bytes: Array(bytes.prefix(count)), offset: Int(offset))) }
        if isLast || isRefused { throw disk.failure("write", path) }
        if isFull {
            throw FileError(
                kind: .full, operation: "write", path: path, code: 28, message: "no space left on device")
        }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileError) -> Int {
        try checkOpen("read")
        try disk.checkPower("read", path)
        guard Int(offset) < inode.visible.count else { return 0 }
        let count = min(buffer.count, inode.visible.count - Int(offset))
        inode.visible.withUnsafeBytes { bytes in
            UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
                .copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: bytes[Int(offset)..<(Int(offset) + count)]))
        }
        return count
    }

    func synchronize() throws(FileError) {
        try checkOpen("sync")
        if try disk.begin("sync", path) { throw disk.failure("sync", path) }
        if disk.refusesNextSync {
            disk.refusesNextSync = false
            disk.refusals += 1
            inode.failToSynchronize(&disk.random)
            throw disk.failure("sync", path)
        }
        if disk.lie == .skipsFileSync || (disk.lie == .skipsOutboxSync && path.hasSuffix(".results")) {
            return
        }
        inode.synchronize()
    }

    func truncate(to byteCount: UInt64) throws(FileError) {
        try checkOpen("truncate")
        let isLast = try disk.begin("truncate", path)
        if Int(byteCount) != inode.visible.count { inode.change(.truncate(byteCount: Int(byteCount))) }
        if isLast { throw disk.failure("truncate", path) }
    }

    func byteCount() throws(FileError) -> UInt64 {
        try disk.checkPower("measure", path)
        return UInt64(inode.visible.count)
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        if generation == disk.generation { onClose?() }
    }

    private func checkOpen(_ operation: String) throws(FileError) {
        guard !isClosed, generation == disk.generation else {
            throw FileError(
                kind: .failed, operation: operation, path: path, code: 9, message: "the file is closed")
        }
    }
}
