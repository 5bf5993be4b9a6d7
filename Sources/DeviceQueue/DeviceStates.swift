/// What the writer knows of one device.
struct DeviceState {
    var lastSequence: UInt64 = 0
    /// Offset of its last record, 0 for none.
    var lastOffset: UInt64 = 0
    /// Base offset + 1 of the last segment that defines it.
    var definedIn: UInt64 = 0
}

/// The state of every device by number, in blocks that never move. A hot-path file with raw pointers.
///
/// Guard: numbers are below the limit (checked where a frame comes in), blocks are made on first use and
/// released with the owner.
struct DeviceStates: ~Copyable {
    private let blocks: UnsafeMutablePointer<UnsafeMutablePointer<DeviceState>?>
    private let blockCount: Int
    private static let blockBits: UInt32 = 12
    /// All numbers are below it.
    let numberLimit: UInt32

    /// - Parameter numberMax: the largest number there may be.
    init(numberMax: Int) {
        numberLimit = UInt32(numberMax) + 1
        blockCount = numberMax >> Int(Self.blockBits) + 1
        blocks = .allocate(capacity: blockCount)
        blocks.initialize(repeating: nil, count: blockCount)
    }

    deinit {
        for block in 0..<blockCount { blocks[block]?.deallocate() }
        blocks.deallocate()
    }

    @inline(__always)
    func state(_ number: UInt32) -> UnsafeMutablePointer<DeviceState> {
        precondition(number < numberLimit, "a device number that the queue did not give")
        let block = blocks[Int(number >> Self.blockBits)] ?? makeBlock(number)
        return block + Int(number & ((1 << Self.blockBits) - 1))
    }

    /// Devices that have a record; walks all of them.
    func countWithRecords() -> UInt64 {
        var count: UInt64 = 0
        // Device 0 is the quarantine.
        for number in stride(from: 0, to: Int(numberLimit), by: 1 << Int(Self.blockBits)) {
            guard let block = blocks[number >> Int(Self.blockBits)] else { continue }
            for place in 0..<1 << Int(Self.blockBits)
            where block[place].lastSequence > 0 && number + place > 0 { count += 1 }
        }
        return count
    }

    @inline(never)
    private func makeBlock(_ number: UInt32) -> UnsafeMutablePointer<DeviceState> {
        let block = UnsafeMutablePointer<DeviceState>.allocate(capacity: 1 << Self.blockBits)
        block.initialize(repeating: DeviceState(), count: 1 << Self.blockBits)
        blocks[Int(number >> Self.blockBits)] = block
        return block
    }

    /// Bytes in memory.
    var byteCount: Int {
        let made = (0..<blockCount).reduce(0) { $0 + (blocks[$1] == nil ? 0 : 1) }
        return made << Int(Self.blockBits) * MemoryLayout<DeviceState>.stride + blockCount * 8
    }

    @inline(__always)
    func lastSequence(_ number: UInt32) -> UInt64 { state(number).pointee.lastSequence }
}
