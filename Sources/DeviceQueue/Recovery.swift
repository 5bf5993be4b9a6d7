import Platform

/// Opens the segments of a log, replays them, tells a torn tail from damage in the middle, and repairs the
/// tail. The rules are in `DeviceQueue.docc/LogFormat.md`.
enum Recovery {
    /// Where the log ends.
    struct Tail {
        var segment: Segment
        /// The position in the file behind the last good frame.
        var position: Int
        /// The position of the last commit frame in this segment.
        var commitPosition: Int?
        /// The batch before `position` is not whole.
        var isInsideBatch: Bool
        /// The end of the bytes behind `position` that are not zero; `position` when there are none.
        var tornEnd: Int
    }

    /// The segments among the names of a directory in order, and the header of the first.
    static func segments(
        in directory: String, names: [String], files: any FileStore
    ) throws(QueueError) -> (segments: [Segment], first: SegmentHeader?) {
        var segments: [Segment] = []
        var first: SegmentHeader?
        for (place, name) in names.enumerated() where name.hasSuffix(".log") || name.hasSuffix(".logz") {
            // The plain file wins: it stands just before the compressed one.
            let isCompressed = name.hasSuffix("z")
            if isCompressed, place > 0, names[place - 1] + "z" == name { continue }
            let path = directory + "/" + name
            let header = try SegmentHeader.decode(try headerBytes(path, files: files), path: path)
            var segment = Segment(directory: directory, header: header)
            segment.isCompressed = isCompressed
            if isCompressed { segment.storedBytes = try storedBytes(path, files: files) }
            guard segment.path == path else {
                throw .corrupt(
                    path: path, offset: 16,
                    explanation: "the file's name and its base offset \(header.base) differ; rename it back")
            }
            if let first, first.logID != header.logID {
                throw .corrupt(
                    path: path, offset: 32,
                    explanation: "this segment belongs to another log; move it out of the directory")
            }
            first = first ?? header
            segments.append(segment)
        }
        return (segments, first)
    }

    private static func storedBytes(_ path: String, files: any FileStore) throws(QueueError) -> UInt64 {
        try attempt { () throws(FileError) in
            let file = try files.open(path, writable: false)
            defer { file.close() }
            return try file.byteCount()
        }
    }

    /// - Throws: `.corrupt` when a segment between two others is missing.
    static func checkContiguous(_ segments: [Segment]) throws(QueueError) {
        for (last, next) in zip(segments, segments.dropFirst()) where last.end != next.base {
            let name = Segment.stem(next.base) + ".log"
            throw .corrupt(
                path: last.path, offset: last.byteCount,
                explanation:
                    "the next segment should begin at \(last.end), but \(name) follows: restore the "
                    + "missing file from a backup, or move \(name) and all later ones away to go on")
        }
    }

    static func headerBytes(_ path: String, files: any FileStore) throws(QueueError) -> [UInt8] {
        var file = try attempt { () throws(FileError) in try files.open(path, writable: false) }
        defer { file.close() }
        if path.hasSuffix("z") {
            file = try CompressedSegmentFile(file, path: path, cache: BlockCache(byteCountMax: 0))
        }
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: LogFormat.segmentHeaderBytes, alignment: 8)
        defer { buffer.deallocate() }
        let got = try attempt { () throws(FileError) in try file.read(into: buffer, at: 0) }
        return Array(buffer[..<got])
    }

    /// Reads the log from a state's boundary to its end into the appender, and takes the state along to the
    /// beginning of the last segment.
    ///
    /// - Returns: nil when there is no segment.
    static func replay(_ appender: inout LogAppender, _ state: inout LogState) throws(QueueError) -> Tail? {
        let segments = appender.catalog.segments
        var tail: Tail?
        for (index, segment) in segments.enumerated() where segment.base >= state.boundary {
            let isLast = index == segments.count - 1
            if isLast { state.take(from: appender, boundary: segment.base) }
            var covered = LogState.Covered(base: segment.base, byteCount: segment.byteCount)
            let before = appender.counters
            tail = try replay(segment, isLast: isLast, into: &appender, &covered)
            covered.records =
                appender.counters.stored + appender.counters.quarantined - before.stored - before.quarantined
            covered.ids = appender.counters.withMessageID - before.withMessageID
            if !isLast { state.segments.append(covered) }
        }
        return tail
    }

    private static func replay(
        _ segment: Segment, isLast: Bool, into appender: inout LogAppender, _ covered: inout LogState.Covered
    ) throws(QueueError) -> Tail {
        let file = try appender.catalog.file(segment)
        appender.replay(segment: segment)
        var scanner = SegmentScanner(
            segment: segment, file: file, position: LogFormat.segmentHeaderBytes,
            limit: Int(segment.byteCount), bufferBytes: max(appender.limits.readBytes, 64 << 10))
        var group = LogAppender.ReplayGroup()
        group.ticks = appender.lastArrivalTicks
        var batchEnd = LogFormat.segmentHeaderBytes
        var commitPosition: Int?
        var stopsAt: Int?
        while let frame = try scanner.next() {
            let position = scanner.framePosition
            if frame.kindByte == FrameKind.commit.rawValue {
                try checkCommit(frame, segment, position, batchEnd: batchEnd, appender)
                appender.lastCommitNumber = frame.sequence
                batchEnd = position + FrameLayout.commitBytes + Int(truncatingIfNeeded: frame.previous)
                commitPosition = position
                covered.lastCommitNumber = frame.sequence
            } else if position >= batchEnd {
                // A whole frame that no commit announces: what is left of a batch whose commit frame is torn.
                stopsAt = position
                break
            } else if let contradiction = appender.replay(frame, offset: scanner.frameOffset, group: &group) {
                throw damaged(segment, position, contradiction)
            } else if frame.isRecordLike || frame.kindByte == FrameKind.tick.rawValue {
                covered.note(frame.arrivalTicks)
            }
            covered.noteFrame(frame, position: position)
        }
        appender.flush(&group)
        let end = stopsAt ?? scanner.position
        let isClean = stopsAt == nil && scanner.stop != .bad && end == batchEnd
        guard isLast else {
            if !isClean {
                throw damaged(segment, end, "not a frame, but later segments hold committed batches")
            }
            return Tail(
                segment: segment, position: end, commitPosition: commitPosition, isInsideBatch: false,
                tornEnd: end)
        }
        let tornEnd = try searchBehind(end, segment, file, lastCommitNumber: appender.lastCommitNumber)
        return Tail(
            segment: segment, position: end, commitPosition: commitPosition, isInsideBatch: end < batchEnd,
            tornEnd: tornEnd)
    }

    /// Commit numbers have no gap; a commit inside a batch is the empty one that a recovery wrote.
    private static func checkCommit(
        _ frame: UnsafeRawPointer, _ segment: Segment, _ position: Int, batchEnd: Int,
        _ appender: borrowing LogAppender
    ) throws(QueueError) {
        let last = appender.lastCommitNumber
        guard frame.sequence == last + 1 else {
            throw damaged(
                segment, position,
                "commit \(frame.sequence) follows commit \(last): what is between them is missing")
        }
        guard position == batchEnd || frame.previous == 0 else {
            throw damaged(segment, position, "the batch before commit \(frame.sequence) is not whole")
        }
        guard frame.previous <= segment.byteCount - UInt64(position) else {
            throw damaged(segment, position, "commit \(frame.sequence) is longer than its segment")
        }
    }

    private static func damaged(_ segment: Segment, _ position: Int, _ what: String) -> QueueError {
        .corrupt(
            path: segment.path, offset: UInt64(position),
            explanation:
                "\(what); acknowledged readings may be lost. Restore the file from a backup, or, to go on "
                + "without what follows this place, move this file and all later ones (keep them) out of the "
                + "directory and start again")
    }

    /// Looks through the rest of the last segment.
    ///
    /// - Returns: the end of the bytes that are not zero.
    /// - Throws: `.corrupt` when a valid later commit is there: then this is no torn tail.
    private static func searchBehind(
        _ start: Int, _ segment: Segment, _ file: any StoredFile, lastCommitNumber: UInt64
    ) throws(QueueError) -> Int {
        let block = 1 << 20
        let overlap = FrameLayout.commitBytes
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: block + overlap, alignment: 16)
        defer { buffer.deallocate() }
        guard let base = UnsafeRawPointer(buffer.baseAddress) else { return start }
        let salt = segment.salt
        var tornEnd = start
        var at = start
        while at < Int(segment.byteCount) {
            let wanted = min(block + overlap, Int(segment.byteCount) - at)
            let slice = UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted])
            let got = try attempt { () throws(FileError) in try file.read(into: slice, at: UInt64(at)) } & ~7
            if got == 0 { break }
            var word = 0
            while word < min(got, block) {
                let value = base.load(fromByteOffset: word, as: UInt64.self)
                if value != 0 {
                    tornEnd = at + word + 8
                    let frame = base + word
                    if frame.frameBytes == overlap, got - word >= overlap,
                        frame.kindByte == FrameKind.commit.rawValue,
                        frame.frameChecksum == LogFormat.checksum(frame, byteCount: overlap, salt: salt),
                        frame.sequence > lastCommitNumber
                    {
                        throw damaged(
                            segment, start,
                            "not a frame, but commit \(frame.sequence) follows at byte \(at + word)")
                    }
                }
                word += 8
            }
            at += block
        }
        return tornEnd
    }

    /// Makes the tail clean and durable: see rules 3 and 4 of the format. Doing it twice does no harm.
    ///
    /// - Returns: the position to go on at, and how many commits it wrote (0 or 1).
    static func repair(
        _ tail: Tail, file: any StoredFile, nextCommitNumber: UInt64
    ) throws(QueueError) -> (position: Int, commits: UInt64) {
        try attempt { () throws(FileError) in
            let size = Int(truncatingIfNeeded: try file.byteCount())
            if size < Int(tail.segment.byteCount) {
                try zero(file, from: size, to: Int(tail.segment.byteCount))
            }
            if tail.tornEnd > tail.position { try zero(file, from: tail.position, to: tail.tornEnd) }
            if let start = tail.commitPosition { try rewrite(file, from: start, to: tail.position) }
            try file.synchronize()
        }
        guard tail.isInsideBatch else { return (tail.position, 0) }
        let frame = UnsafeMutableRawBufferPointer.allocate(byteCount: FrameLayout.commitBytes, alignment: 8)
        defer { frame.deallocate() }
        frame.initializeMemory(as: UInt8.self, repeating: 0)
        if let base = frame.baseAddress {
            base.storeBytes(of: FrameKind.commit.rawValue, toByteOffset: FrameLayout.kind, as: UInt8.self)
            base.storeBytes(of: nextCommitNumber, toByteOffset: FrameLayout.sequence, as: UInt64.self)
            LogFormat.seal(base, byteCount: frame.count, salt: tail.segment.salt)
        }
        try attempt { () throws(FileError) in
            try file.write(UnsafeRawBufferPointer(frame), at: UInt64(tail.position))
            try file.synchronize()
        }
        return (tail.position + FrameLayout.commitBytes, 1)
    }

    private static func zero(_ file: any StoredFile, from start: Int, to end: Int) throws(FileError) {
        let zeros = UnsafeMutableRawBufferPointer.allocate(
            byteCount: min(1 << 20, end - start), alignment: 16)
        defer { zeros.deallocate() }
        zeros.initializeMemory(as: UInt8.self, repeating: 0)
        var at = start
        while at < end {
            let count = min(zeros.count, end - at)
            try file.write(UnsafeRawBufferPointer(rebasing: zeros[..<count]), at: UInt64(at))
            at += count
        }
    }

    /// Writes the bytes of a range again as they are, so that the next sync covers them.
    private static func rewrite(_ file: any StoredFile, from start: Int, to end: Int) throws(FileError) {
        guard end > start else { return }
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: min(1 << 20, end - start), alignment: 16)
        defer { buffer.deallocate() }
        var at = start
        while at < end {
            let count = min(buffer.count, end - at)
            let slice = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
            let got = try file.read(into: slice, at: UInt64(at))
            if got == 0 { return }
            try file.write(UnsafeRawBufferPointer(rebasing: slice[..<got]), at: UInt64(at))
            at += got
        }
    }

    /// Runs file calls and turns their error into the queue's.
    static func attempt<Success>(_ body: () throws(FileError) -> Success) throws(QueueError) -> Success {
        do throws(FileError) {
            return try body()
        } catch {
            switch error.kind {
            case .full: throw .full(error)
            case .denied: throw .unwritable(path: error.path, reason: error.message)
            default: throw .file(error)
            }
        }
    }
}
