import Platform
import Synchronization

/// A file of a `MemoryFileStore`, whose lock guards all of it.
final class MemoryFile: StoredFile, @unchecked Sendable {
    private let store: MemoryFileStore
    private let node: MemoryFileStore.Node
    private let path: String
    private let isLock: Bool

    init(store: MemoryFileStore, node: MemoryFileStore.Node, path: String, isLock: Bool = false) {
        self.store = store
        self.node = node
        self.path = path
        self.isLock = isLock
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
        try store.write(bytes, at: Int(offset), node, path)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileError) -> Int {
        store.lock.withLock { _ in
            let count = max(0, min(buffer.count, node.bytes.count - Int(offset)))
            if count > 0 { buffer.copyBytes(from: node.bytes[Int(offset)..<Int(offset) + count]) }
            return count
        }
    }

    func synchronize() throws(FileError) { try store.synchronize(node, path) }
    func truncate(to byteCount: UInt64) throws(FileError) {
        try store.truncate(node, to: Int(byteCount), path)
    }
    func byteCount() throws(FileError) -> UInt64 { store.lock.withLock { _ in UInt64(node.bytes.count) } }
    func close() { if isLock { store.unlock(path) } }
}
