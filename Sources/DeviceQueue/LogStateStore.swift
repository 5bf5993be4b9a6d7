import Platform

/// The state files of a log: finds the newest that agrees with the segments, and tells why others do not. A state
/// is verified, never trusted: when nothing was removed from the log, the log alone suffices.
enum LogStateStore {
    /// What a log is opened from.
    struct Opening: ~Copyable {
        /// The segments that count, in order.
        var segments: [Segment]
        /// The header of the first of them, or of the log that is gone.
        var first: SegmentHeader?
        /// Segments that retention had given up when it was cut short.
        var leftovers: [Segment] = []
        var file: LogStateFile?
        /// State files that agree with the segments, newest first; two are enough.
        var goodNames: [String] = []
        /// What an operator should know.
        var notices: [String] = []
    }

    static func isStateFile(_ name: String) -> Bool { name.hasSuffix(".state") || name.hasSuffix(".copy") }

    static func name(_ boundary: UInt64, isCopy: Bool = false) -> String {
        Segment.stem(boundary) + (isCopy ? ".copy" : ".state")
    }

    /// Finds out what there is.
    ///
    /// - Throws: `.corrupt` when segments are missing, or when the log begins later than at 0 and no state file
    ///   speaks of what is gone.
    static func open(_ directory: String, files: any FileStore) throws(QueueError) -> Opening {
        let names = try Recovery.attempt { () throws(FileError) in try files.list(directory) }
        let (all, first) = try Recovery.segments(in: directory, names: names, files: files)
        var opening = Opening(segments: all, first: first)
        var removedEnd: UInt64 = 0
        // A state of which a file of marks is not there, for want of a better one.
        var spare: LogStateFile?
        var spareName = ""
        for name in names.filter(isStateFile).reversed() {
            let path = directory + "/" + name
            switch evaluate(path, all, first, files: files) {
            case .success(let file):
                if let missing = missingMarks(file.state, directory, files: files) {
                    if opening.file == nil, spareName.isEmpty {
                        spareName = name
                        spare = consume file
                    }
                    opening.notices.append("\(path): names \(missing), which is not there as it was written")
                } else if opening.file == nil {
                    removedEnd = file.state.removedEnd
                    opening.goodNames.append(name)
                    opening.file = consume file
                } else if file.state.removedEnd == removedEnd {
                    // Only a witness of the same removals can stand in for the first.
                    opening.goodNames.append(name)
                }
            case .failure(let reason): opening.notices.append("\(path): \(reason.text)")
            }
            // A second one matters only where the first is the only witness.
            if opening.file != nil, removedEnd == 0 || opening.goodNames.count == 2 { break }
        }
        if opening.file == nil, let file = spare.take() {
            // The error, if it is one, is told when the marks are read.
            removedEnd = file.state.removedEnd
            opening.goodNames = [spareName]
            opening.file = consume file
            opening.notices = []
        }
        if opening.file == nil, let reason = whyNeeded(all, opening.notices, names, directory, files: files) {
            throw reason
        }
        opening.leftovers = all.filter { $0.base < removedEnd }
        opening.segments = all.filter { $0.base >= removedEnd }
        try Recovery.checkContiguous(opening.segments)
        return opening
    }

    /// The error when the log cannot be opened without a state.
    private static func whyNeeded(
        _ segments: [Segment], _ notices: [String], _ names: [String], _ directory: String,
        files: any FileStore
    ) -> QueueError? {
        guard let first = segments.first else {
            return goneAltogether(names, directory, files: files)
        }
        guard first.base != 0 else { return nil }
        let tried = notices.isEmpty ? "there is none" : notices.joined(separator: "; ")
        return .corrupt(
            path: directory + "/*.state", offset: 0,
            explanation:
                "the log begins at \(first.base), and what was removed before it is in a state file only "
                + "(\(tried)): restore \(directory) with its .state, .copy and .marks files from a backup")
    }

    /// The error when a state says that there must be segments, and there is none.
    private static func goneAltogether(
        _ names: [String], _ directory: String, files: any FileStore
    ) -> QueueError? {
        for name in names.filter(isStateFile).reversed() {
            let path = directory + "/" + name
            guard let file = try? LogStateFile.load(path, files: files), file.state.removedEnd > 0
            else { continue }
            return .corrupt(
                path: path, offset: 40,
                explanation:
                    "the log should go on at \(file.state.removedEnd), and there is no segment: restore "
                    + "\(directory) from a backup, or move all of its files away to begin a new log")
        }
        return nil
    }

    /// The path of the first file of marks that a state names and that is not there, or is another; nil when all
    /// are. An empty one is an operator's word, and contents are checked when they are read: see `Recovery.marks`.
    private static func missingMarks(
        _ state: LogState, _ directory: String, files: any FileStore
    ) -> String? {
        for entry in state.marks {
            let path = directory + "/" + RemovedMarks.name(entry)
            guard let file = try? files.open(path, writable: false) else { return path }
            defer { file.close() }
            var checksum: UInt32 = 0
            let got = withUnsafeMutableBytes(of: &checksum) { try? file.read(into: $0, at: 12) }
            if got == 0, (try? file.byteCount()) == 0 { continue }
            guard got == 4, UInt32(littleEndian: checksum) == entry.checksum else { return path }
        }
        return nil
    }

    private enum Evaluation: ~Copyable {
        case success(LogStateFile)
        case failure(Reason)
    }

    private struct Reason: Error {
        var text: String
        init(_ text: String) { self.text = text }
    }

    private static func evaluate(
        _ path: String, _ segments: [Segment], _ first: SegmentHeader?, files: any FileStore
    ) -> Evaluation {
        let loaded: LogStateFile?
        do throws(FileError) { loaded = try LogStateFile.load(path, files: files) } catch {
            return .failure(Reason("cannot be read (\(error.message)); it is not used"))
        }
        guard let file = loaded else {
            return .failure(Reason("damaged, or of another version; it is not used"))
        }
        guard let first, file.logID == first.logID, file.hashKey == first.hashKey else {
            return .failure(Reason("belongs to another log; it is not used"))
        }
        if let difference = difference(file.state, segments, files: files) {
            return .failure(Reason("does not agree with the log (\(difference)); it is not used"))
        }
        return .success(file)
    }

    /// In what a state and the segments on disk contradict each other, nil when they agree.
    private static func difference(
        _ state: LogState, _ all: [Segment], files: any FileStore
    ) -> String? {
        let kept = all.filter { $0.base >= state.removedEnd }
        guard kept.first?.base == state.removedEnd else {
            return "it speaks of everything before \(state.removedEnd), "
                + "and the log goes on at \(kept.first?.base ?? 0)"
        }
        guard kept.contains(where: { $0.base == state.boundary }) else {
            return "there is no segment that begins at \(state.boundary)"
        }
        let covered = kept.filter { $0.base < state.boundary }
        guard covered.count == state.segments.count,
            zip(covered, state.segments).allSatisfy({ $0.base == $1.base && $0.byteCount == $1.byteCount })
        else { return "other segments before \(state.boundary)" }
        guard let last = covered.last, let facts = state.segments.last else { return nil }
        guard let found = try? frameChecksum(last, at: facts.lastFramePosition, files: files),
            found == facts.lastFrameChecksum
        else { return "\(last.path) ends otherwise" }
        return nil
    }

    /// The checksum of the frame at a position, which is read and checked whole.
    private static func frameChecksum(
        _ segment: Segment, at position: UInt32, files: any FileStore
    ) throws(QueueError) -> UInt32 {
        let catalog = SegmentCatalog(
            directory: "", files: files, limits: QueueLimits(), logID: segment.logID, hashKey: 0,
            segments: [segment])
        var fetcher = FrameFetcher(catalog: catalog)
        return try fetcher.frame(at: segment.base + UInt64(position)).frameChecksum
    }

    /// Removes the sidecars and states of segments that are not there or not sealed: left by a log that was
    /// longer once. Were they kept, later segments of the same base would meet them.
    static func removeStale(_ segments: [Segment], _ directory: String, files: any FileStore) {
        guard let names = try? files.list(directory) else { return }
        let end = segments.last?.base ?? 0
        for name in names {
            let isState = isStateFile(name)
            guard isState || name.hasSuffix(".index") || name.hasSuffix(".ids"),
                let base = UInt64(name.prefix { $0 != "." })
            else { continue }
            if isState ? base > end || segments.isEmpty : base >= end {
                try? files.remove(directory + "/" + name)
            }
        }
    }

    // Writing.

    /// Writes a state as one step, durable when this returns.
    static func write(
        _ state: LogState, isCopy: Bool, catalog: SegmentCatalog, deviceNames: NameTable,
        clientNames: NameTable
    ) throws(QueueError) -> (name: String, byteCount: Int) {
        let image = LogStateFile.encode(
            state, logID: catalog.logID, hashKey: catalog.hashKey, deviceNames: deviceNames,
            clientNames: clientNames)
        let name = name(state.boundary, isCopy: isCopy)
        try catalog.replace(catalog.directory + "/" + name, with: image.bytes)
        return (name, image.byteCount)
    }

    /// Removes the state files that are not named; what cannot be removed stays till the next time.
    static func prune(keeping names: [String], directory: String, files: any FileStore) {
        guard let all = try? files.list(directory) else { return }
        for name in all where isStateFile(name) && !names.contains(name) {
            try? files.remove(directory + "/" + name)
        }
    }
}
