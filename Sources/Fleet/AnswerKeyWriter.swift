package import Platform
import Synchronization

/// The answer key's file: one line a reading, buffered, in the order in which fates become known.
///
/// Thread-safe. Lines reach the file when 64 KiB are together or at `flush()`; a crash loses what was not
/// flushed, and may leave half a line at the end. Of one device the lines keep their order; how devices
/// interleave depends on timing.
package final class AnswerKeyWriter: Sendable {
    private struct State {
        var buffer: [UInt8] = []
        var position: UInt64 = 0
        var lineCount: UInt64 = 0
        /// The first failure; nothing is written after it.
        var failure: FileError?
    }

    /// Bytes held before they are written.
    private static let bufferBytesMax = 64 * 1_024

    package let path: String
    private let file: any StoredFile
    private let state = Mutex(State())

    /// Creates the file and its folder, or empties the file that is there.
    package init(path: String, files: any FileStore = PosixFileStore()) throws(FileError) {
        self.path = path
        if let slash = path.lastIndex(of: "/"), slash != path.startIndex {
            try files.createDirectory(String(path[..<slash]))
        }
        file = try files.open(path, writable: true)
        try file.truncate(to: 0)
    }

    /// Lines taken so far.
    package var lineCount: UInt64 { state.withLock { $0.lineCount } }

    package func append(_ entry: AnswerKeyEntry) {
        state.withLock { state in
            entry.appendLine(to: &state.buffer)
            state.lineCount += 1
            if state.buffer.count >= Self.bufferBytesMax { write(&state) }
        }
    }

    /// Writes what is held.
    package func flush() {
        state.withLock { write(&$0) }
    }

    /// Writes what is held, makes it durable and closes the file.
    ///
    /// - Throws: the first failure of any write since the start: the key is not complete then.
    package func close() throws(FileError) {
        flush()
        defer { file.close() }
        if let failure = state.withLock({ $0.failure }) { throw failure }
        try file.synchronize()
    }

    private func write(_ state: inout State) {
        defer { state.buffer.removeAll(keepingCapacity: true) }
        guard !state.buffer.isEmpty, state.failure == nil else { return }
        do throws(FileError) {
            try file.write(state.buffer, at: state.position)
            state.position += UInt64(state.buffer.count)
        } catch {
            state.failure = error
        }
    }
}
