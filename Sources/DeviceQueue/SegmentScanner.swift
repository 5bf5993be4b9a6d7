import Platform

/// Walks the frames of one segment in order, from a position up to a limit, checking each. A hot-path file
/// with raw pointers: the buffer is owned here, and a frame's pointer is good until the next call.
struct SegmentScanner: ~Copyable {
    /// Why there is no further frame.
    enum Stop: Equatable {
        /// The limit is reached exactly.
        case limit
        /// Zeros where a frame would begin.
        case zeros
        /// Something that is not a frame.
        case bad
    }

    let segment: Segment
    private let file: any StoredFile
    private let salt: UInt32
    private var buffer: UnsafeMutableRawPointer
    private var capacity: Int
    /// The position in the file of the buffer's first byte, and how many bytes it holds.
    private var bufferStart = 0
    private var filled = 0
    /// The position in the file of the next frame.
    private(set) var position: Int
    /// The position of the frame that `next` gave last.
    private(set) var framePosition = 0
    private(set) var stop = Stop.limit
    /// Nothing at or behind this position is read.
    var limit: Int

    init(segment: Segment, file: any StoredFile, position: Int, limit: Int, bufferBytes: Int) {
        self.segment = segment
        self.file = file
        self.position = position
        self.limit = limit
        salt = segment.salt
        capacity = bufferBytes
        bufferStart = position
        buffer = .allocate(byteCount: bufferBytes, alignment: 4_096)
    }

    deinit { buffer.deallocate() }

    /// The next whole frame, or nil: see `stop`.
    @inline(__always)
    mutating func next() throws(QueueError) -> UnsafeRawPointer? {
        var ahead = bufferStart + filled - position
        if ahead < FrameLayout.releaseBytes {
            if limit - position < 8 { return stopping(limit == position ? .limit : .zeros) }
            try fill(8)
            ahead = filled
        }
        var frame = UnsafeRawPointer(buffer) + (position - bufferStart)
        let byteCount = frame.frameBytes
        // Length 0 with a checksum is the rest of something torn.
        if byteCount == 0 { return stopping(frame.load(as: UInt64.self) == 0 ? .zeros : .bad) }
        guard byteCount >= FrameLayout.releaseBytes, byteCount & 7 == 0, byteCount <= limit - position else {
            return stopping(.bad)
        }
        if byteCount > ahead {
            try fill(byteCount)
            frame = UnsafeRawPointer(buffer)
        }
        guard frame.frameChecksum == LogFormat.checksum(frame, byteCount: byteCount, salt: salt),
            LogFormat.isWellFormed(frame, byteCount: byteCount)
        else { return stopping(.bad) }
        framePosition = position
        position += byteCount
        return frame
    }

    /// A queue offset for the frame that `next` gave last.
    var frameOffset: UInt64 { segment.base + UInt64(framePosition) }

    private mutating func stopping(_ reason: Stop) -> UnsafeRawPointer? {
        stop = reason
        return nil
    }

    /// Reads on from the current position: as much as the buffer holds, at least `byteCount` bytes.
    @inline(never)
    private mutating func fill(_ byteCount: Int) throws(QueueError) {
        if byteCount > capacity {
            buffer.deallocate()
            capacity = byteCount
            buffer = .allocate(byteCount: byteCount, alignment: 4_096)
        }
        let wanted = min(capacity, limit - position)
        let got: Int
        do throws(FileError) {
            got = try file.read(
                into: UnsafeMutableRawBufferPointer(start: buffer, count: wanted),
                at: UInt64(position))
        } catch {
            throw .file(error)
        }
        // A file that was cut short reads as zeros, which is what a segment holds where nothing was written.
        if got < wanted { (buffer + got).initializeMemory(as: UInt8.self, repeating: 0, count: wanted - got) }
        bufferStart = position
        filled = wanted
    }
}
