package import Platform

/// The limits of a bridge's buffer.
package struct BridgeBufferLimits: Sendable {
    /// Bytes on disk; above it new messages are dropped and counted, so that what arrives is a stretch without
    /// holes. 1 GiB: a day of some 60 messages a second.
    package var bytesMax: UInt64 = 1 << 30
    /// Bytes of a file before the next begins; what is forwarded goes in files of this size.
    package var segmentBytes: UInt64 = 8 << 20
    /// Bytes of one message with its topic and properties: the largest packet of the hub, and room.
    package var messageBytesMax = 17 << 20
    /// Bytes read from the disk at once.
    package var readBytes = 256 << 10

    package init() {}
}

/// The messages for the other broker, in order, on disk: what is committed survives a crash, and stays until the
/// cursor, which is kept elsewhere (`BridgeState`), has passed it.
///
/// A position counts bytes of frames since the buffer began. Confined to one thread. The format is documented in
/// `BufferFormat`.
package final class BridgeBuffer {
    private struct Segment {
        var base: UInt64
        var path: String
        var file: any StoredFile

        func offset(of position: UInt64) -> UInt64 { position - base + UInt64(BufferFormat.headerBytes) }
    }

    private let directory: String
    private let files: any FileStore
    private let limits: BridgeBufferLimits
    /// In the order of their bases; never empty.
    private var segments: [Segment]
    /// Frames that are not written yet, and where the first of them begins.
    private var pending: [UInt8] = []
    /// Where the committed messages end.
    package private(set) var endPosition: UInt64

    private static let advice =
        "delete the folder: what waits in it is lost, the bridge goes on with what comes"

    /// Opens the buffer in a directory, or makes one. A torn tail is cut.
    ///
    /// - Parameter cursor: where reading goes on; a buffer that was deleted begins anew there.
    /// - Throws: when a file is damaged or missing, newer than this program, or the disk refuses.
    package init(
        directory: String, below root: String, files: any FileStore, limits: BridgeBufferLimits,
        cursor: UInt64
    ) throws(BridgeBufferError) {
        self.directory = directory
        self.files = files
        self.limits = limits
        segments = []
        endPosition = cursor
        let names = try onDisk { () throws(FileError) in
            try files.createDurableDirectory(directory, below: root)
            return try files.list(directory)
        }
        let bases = names.compactMap(Self.base(of:)).sorted()
        for (index, base) in bases.enumerated() {
            if let segment = try Self.open(base, in: directory, files) {
                segments.append(segment)
            } else {
                let path = Self.path(base, in: directory)
                guard index == bases.count - 1 else {
                    throw .damaged(path: path, offset: 0, advice: Self.advice)
                }
                // Begun when the crash came: nothing was ever in it.
                try onDisk { () throws(FileError) in
                    try files.remove(path)
                    try files.synchronizeDirectory(directory)
                }
            }
        }
        try checkChain()
        guard let last = segments.last else {
            segments = [try create(base: cursor)]
            return
        }
        endPosition = try walk(last)
        let end = last.offset(of: endPosition)
        try onDisk { () throws(FileError) in
            if try last.file.byteCount() != end { try last.file.truncate(to: end) }
            // What a killed process wrote and did not sync is sent from now on, so it has to be durable.
            try last.file.synchronize()
            try files.synchronizeDirectory(directory)
        }
        if cursor > endPosition {
            // The files are older than the cursor: they were restored, or the newest were deleted.
            for segment in segments { segment.file.close() }
            let old = segments
            endPosition = cursor
            segments = [try create(base: cursor)]
            try remove(old)
        }
    }

    deinit { for segment in segments { segment.file.close() } }

    /// Bytes that wait or are kept until their file is done with.
    package var byteCount: UInt64 { endPosition - segments[0].base + UInt64(pending.count) }

    /// Where the oldest message still kept begins.
    package var startPosition: UInt64 { segments[0].base }

    /// Adds a message; it is there after `commit()`.
    ///
    /// - Returns: false at the limit of bytes: the message is left out.
    package func append(_ message: BufferedMessage) -> Bool {
        let bytes =
            BufferFormat.fixedBytes + message.topic.utf8.count + message.properties.count
            + message.payload.count
        guard bytes <= limits.messageBytesMax, byteCount + UInt64(bytes) <= limits.bytesMax else {
            return false
        }
        BufferFormat.append(message, position: endPosition + UInt64(pending.count), to: &pending)
        return true
    }

    /// Makes what was added durable: one write and one sync. After an error that is retriable the same call can be
    /// made again; after another one the buffer must be opened anew.
    package func commit() throws(BridgeBufferError) {
        guard !pending.isEmpty else { return }
        if endPosition - segments[segments.count - 1].base >= limits.segmentBytes {
            segments.append(try create(base: endPosition))
        }
        let last = segments[segments.count - 1]
        let bytes = pending
        try onDisk { () throws(FileError) in
            try last.file.write(bytes, at: last.offset(of: endPosition))
            try last.file.synchronize()
        }
        endPosition += UInt64(pending.count)
        pending.removeAll(keepingCapacity: pending.count <= 1 << 20)
    }

    /// One message and where the next begins.
    package struct Entry: Sendable, Equatable {
        package var message: BufferedMessage
        package var nextPosition: UInt64
    }

    /// Some of the committed messages from a position on, in order; none at the end.
    package func read(from position: UInt64, limit: Int) throws(BridgeBufferError) -> [Entry] {
        guard position < endPosition, limit > 0,
            let index = segments.lastIndex(where: { $0.base <= position })
        else { return [] }
        let segment = segments[index]
        let end = index + 1 < segments.count ? segments[index + 1].base : endPosition
        var entries: [Entry] = []
        var wanted = limits.readBytes
        while entries.isEmpty, position < end {
            let count = Int(min(UInt64(wanted), end - position))
            let bytes = try read(segment, at: position, count: count)
            let scan = scan(bytes, at: position, limit: limit) { entries.append($0) }
            guard entries.isEmpty else { break }
            // What is committed is whole: it is longer than what was read, or damaged.
            guard !scan.isDamaged, bytes.count == count, scan.byteCount > count,
                UInt64(scan.byteCount) <= end - position
            else {
                throw damage(segment, position)
            }
            wanted = scan.byteCount
        }
        return entries
    }

    /// Goes over the frames in some bytes.
    ///
    /// - Returns: the bytes of whole frames, whether what follows is no frame, and how many it takes if it is one.
    private func scan(
        _ bytes: [UInt8], at position: UInt64, limit: Int, _ found: (Entry) -> Void
    ) -> (used: Int, isDamaged: Bool, byteCount: Int) {
        bytes.withUnsafeBytes { buffer in
            var used = 0
            var left = limit
            while left > 0, used < buffer.count {
                left -= 1
                let rest = UnsafeRawBufferPointer(rebasing: buffer[used...])
                let at = position + UInt64(used)
                switch BufferFormat.parse(rest, position: at, byteCountMax: limits.messageBytesMax) {
                case .message(let message, let byteCount):
                    used += byteCount
                    found(Entry(message: message, nextPosition: at + UInt64(byteCount)))
                case .short(let byteCount): return (used, false, byteCount)
                case .damaged: return (used, true, 0)
                }
            }
            return (used, false, 0)
        }
    }

    /// Removes the files that hold nothing from the position on.
    package func release(before position: UInt64) throws(BridgeBufferError) {
        var count = 0
        while count + 1 < segments.count, segments[count + 1].base <= position { count += 1 }
        guard count > 0 else { return }
        let old = Array(segments[..<count])
        segments.removeFirst(count)
        try remove(old)
    }

    // MARK: Files

    private func remove(_ old: [Segment]) throws(BridgeBufferError) {
        try onDisk { () throws(FileError) in
            for segment in old {
                segment.file.close()
                try files.remove(segment.path)
            }
            try files.synchronizeDirectory(directory)
        }
    }

    private func read(
        _ segment: Segment, at position: UInt64, count: Int
    ) throws(BridgeBufferError) -> [UInt8] {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 8)
        defer { buffer.deallocate() }
        let got = try onDisk { () throws(FileError) in
            try segment.file.read(into: buffer, at: segment.offset(of: position))
        }
        return Array(buffer[..<got])
    }

    private func create(base: UInt64) throws(BridgeBufferError) -> Segment {
        let path = Self.path(base, in: directory)
        return try onDisk { () throws(FileError) in
            let file = try files.open(path, writable: true)
            do throws(FileError) {
                try file.truncate(to: 0)
                try file.write(BufferFormat.header(base: base), at: 0)
                try file.synchronize()
                try files.synchronizeDirectory(directory)
            } catch {
                file.close()
                throw error
            }
            return Segment(base: base, path: path, file: file)
        }
    }

    /// - Returns: nil when the file has no whole header.
    private static func open(
        _ base: UInt64, in directory: String, _ files: any FileStore
    ) throws(BridgeBufferError) -> Segment? {
        let path = path(base, in: directory)
        let file = try onDisk { () throws(FileError) in try files.open(path, writable: true) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: BufferFormat.headerBytes, alignment: 8)
        defer { buffer.deallocate() }
        let got = try onDisk { () throws(FileError) in try file.read(into: buffer, at: 0) }
        let found = Array(buffer[..<got])
        if found == BufferFormat.header(base: base) { return Segment(base: base, path: path, file: file) }
        file.close()
        guard found.count == BufferFormat.headerBytes, found.starts(with: BufferFormat.magic) else {
            return nil
        }
        let version = found.withUnsafeBytes { BufferFormat.number($0, 8, UInt16.self) }
        if version > BufferFormat.version { throw .newerFormat(path: path, version: version) }
        return nil
    }

    private func checkChain() throws(BridgeBufferError) {
        for (segment, next) in zip(segments, segments.dropFirst()) {
            let size = try onDisk { () throws(FileError) in try segment.file.byteCount() }
            if size != segment.offset(of: next.base) { throw damage(segment, next.base) }
        }
    }

    /// Where the last whole frame of the newest file ends.
    private func walk(_ segment: Segment) throws(BridgeBufferError) -> UInt64 {
        let size = try onDisk { () throws(FileError) in try segment.file.byteCount() }
        let end = size - UInt64(BufferFormat.headerBytes) + segment.base
        var at = segment.base
        var wanted = limits.readBytes
        while at < end {
            let bytes = try read(segment, at: at, count: Int(min(UInt64(wanted), end - at)))
            let scan = scan(bytes, at: at, limit: .max) { _ in }
            at += UInt64(scan.used)
            if scan.isDamaged || UInt64(scan.byteCount) > end - at { break }
            wanted = max(scan.byteCount, limits.readBytes)
        }
        return at
    }

    private func damage(_ segment: Segment, _ position: UInt64) -> BridgeBufferError {
        .damaged(path: segment.path, offset: segment.offset(of: position), advice: Self.advice)
    }

    private static func path(_ base: UInt64, in directory: String) -> String {
        let digits = String(base, radix: 16)
        return "\(directory)/\(String(repeating: "0", count: 16 - digits.count))\(digits).buffer"
    }

    private static func base(of name: String) -> UInt64? {
        guard name.hasSuffix(".buffer"), name.utf8.count == 23 else { return nil }
        return UInt64(name.prefix(16), radix: 16)
    }
}
