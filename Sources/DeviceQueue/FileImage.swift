import CChecksum
import Platform

/// The bytes of a whole file in memory, written or read in one piece. A hot-path file with raw pointers: every
/// access is checked against the size.
struct FileImage: ~Copyable {
    private(set) var base: UnsafeMutableRawPointer
    private(set) var byteCount = 0
    private var capacity: Int

    init(byteCapacity: Int) {
        capacity = max(byteCapacity, 64)
        base = .allocate(byteCount: capacity, alignment: 16)
    }

    deinit { base.deallocate() }

    /// Reads a file.
    ///
    /// - Returns: nil when it has fewer than `byteCountMin` or more than `byteCountMax` bytes: then it is not ours.
    static func read(
        _ path: String, files: any FileStore, byteCountMin: Int, byteCountMax: Int = 2 << 30
    ) throws(FileError) -> FileImage? {
        let file = try files.open(path, writable: false)
        defer { file.close() }
        let size = try file.byteCount()
        guard size >= UInt64(byteCountMin), size <= UInt64(byteCountMax) else { return nil }
        var image = FileImage(byteCapacity: Int(size))
        let got = try file.read(
            into: UnsafeMutableRawBufferPointer(start: image.base, count: Int(size)), at: 0)
        guard got == Int(size) else { return nil }
        image.byteCount = got
        return image
    }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: byteCount) }

    @inline(__always)
    mutating func append<Number: FixedWidthInteger>(_ value: Number) {
        let size = MemoryLayout<Number>.size
        if capacity - byteCount < size { grow(by: size) }
        base.storeBytes(of: value.littleEndian, toByteOffset: byteCount, as: Number.self)
        byteCount += size
    }

    mutating func append(_ source: UnsafeRawBufferPointer) {
        guard let start = source.baseAddress, !source.isEmpty else { return }
        if capacity - byteCount < source.count { grow(by: source.count) }
        (base + byteCount).copyMemory(from: start, byteCount: source.count)
        byteCount += source.count
    }

    /// Room for `count` bytes at the end, which the caller fills.
    mutating func extend(by count: Int) -> UnsafeMutableRawPointer {
        if capacity - byteCount < count { grow(by: count) }
        byteCount += count
        return base + (byteCount - count)
    }

    /// Zeros up to a multiple of 8.
    mutating func pad() {
        while byteCount & 7 != 0 { append(UInt8(0)) }
    }

    private mutating func grow(by count: Int) {
        capacity = max(capacity * 2, byteCount + count)
        let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
        larger.copyMemory(from: base, byteCount: byteCount)
        base.deallocate()
        base = larger
    }

    @inline(__always)
    func load(_ offset: Int) -> UInt64 { load(offset, as: UInt64.self) }

    @inline(__always)
    func load<Number: FixedWidthInteger>(_ offset: Int, as type: Number.Type = Number.self) -> Number {
        precondition(offset >= 0)
        precondition(offset + MemoryLayout<Number>.size <= byteCount)
        return Number(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: Number.self))
    }

    mutating func store<Number: FixedWidthInteger>(_ value: Number, at offset: Int) {
        precondition(offset >= 0)
        precondition(offset + MemoryLayout<Number>.size <= byteCount)
        base.storeBytes(of: value.littleEndian, toByteOffset: offset, as: Number.self)
    }

    /// CRC-32C of everything from an offset on, seed 0.
    func checksum(from offset: Int) -> UInt32 {
        precondition(offset <= byteCount)
        return headend_crc32c(0, base + offset, byteCount - offset)
    }
}
