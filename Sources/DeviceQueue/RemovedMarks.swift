import Platform
import Synchronization

/// The `.marks` files: what is left of message ids whose records retention removed while they must still be
/// remembered. A suspicion about such a record is decided here. Thread-safe.
final class RemovedMarks: Sendable {
    private struct Known {
        /// Ascending and apart.
        var files: [LogState.MarksFile] = []
        /// The file that was used last.
        var open: (from: UInt64, to: UInt64, file: any StoredFile)?
    }

    private let directory: String
    private let files: any FileStore
    private let state = Mutex(Known())

    init(directory: String, files: any FileStore) {
        self.directory = directory
        self.files = files
    }

    static func name(_ file: LogState.MarksFile) -> String {
        Segment.stem(file.from) + "-" + Segment.stem(file.to) + ".marks"
    }

    func path(_ file: LogState.MarksFile) -> String { directory + "/" + Self.name(file) }

    func set(_ list: [LogState.MarksFile]) {
        state.withLock { known in
            known.files = list
            known.open = nil
        }
    }

    /// What is known of the record that stood at an offset; nil when it need not be remembered.
    func proof(at position: UInt64) throws(FileError) -> IDFile.Proof? {
        guard let stored = try file(containing: position) else { return nil }
        var header: (UInt64, UInt64) = (0, 0)
        try Self.read(stored, at: 48, &header)
        let (count, runs) = (header.0, header.1)
        let hashes = UInt64(IDFile.headerBytes) + runs * UInt64(IDFile.runBytes)
        let places = hashes + count * 8
        var low: UInt64 = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            var found: UInt64 = 0
            try Self.read(stored, at: places + middle * 16, &found)
            if found < position { low = middle + 1 } else { high = middle }
        }
        var found: UInt64 = 0
        if low < count { try Self.read(stored, at: places + low * 16, &found) }
        guard low < count, found == position else { return nil }
        var proof: (UInt64, UInt64, UInt32, UInt8, UInt8) = (0, 0, 0, 0, 0)
        try Self.read(stored, at: places + count * 16 + low * UInt64(IDFile.proofBytes), &proof)
        return IDFile.Proof(
            check: proof.0, body: proof.1, payloadBytes: proof.2, kind: proof.3, reason: proof.4)
    }

    private func file(containing position: UInt64) throws(FileError) -> (any StoredFile)? {
        let found = state.withLock { known -> (LogState.MarksFile?, (any StoredFile)?) in
            if let open = known.open, open.from <= position, position < open.to { return (nil, open.file) }
            return (known.files.first { $0.from <= position && position < $0.to }, nil)
        }
        if let stored = found.1 { return stored }
        guard let entry = found.0 else { return nil }
        let stored = try files.open(path(entry), writable: false)
        state.withLock { $0.open = (entry.from, entry.to, stored) }
        return stored
    }

    /// Reads a value of plain integers.
    private static func read<Value>(
        _ file: any StoredFile, at offset: UInt64, _ value: inout Value
    ) throws(FileError) {
        let result = withUnsafeMutableBytes(of: &value) { bytes in
            Result { () throws(FileError) in try file.read(into: bytes, at: offset) }
        }
        _ = try result.get()
    }
}

extension IDFile.Proof {
    /// The proof of a record frame with a message id.
    init(_ frame: UnsafeRawPointer, key: UInt64) {
        self.init(
            check: Self.check(frame, key: key), body: Self.body(frame, key: key),
            payloadBytes: UInt32(frame.payloadBytes), kind: frame.kindByte, reason: frame.reasonByte)
    }

    /// For a record that could not be read any more: its hash in memory alone decides.
    static let unknown = IDFile.Proof(check: 0, body: 0, payloadBytes: 0, kind: 0, reason: 0)

    var isUnknown: Bool { kind == 0 }

    static func check(_ frame: UnsafeRawPointer, key: UInt64) -> UInt64 {
        LogAppender.hash(frame, key: LogFormat.mixed(key))
    }

    static func body(_ frame: UnsafeRawPointer, key: UInt64) -> UInt64 {
        let payload = frame.payloadBuffer
        guard let start = payload.baseAddress else { return 0 }
        return KeyedHash.hash(start, payload.count, device: 0, key: LogFormat.mixed(~key))
    }
}
