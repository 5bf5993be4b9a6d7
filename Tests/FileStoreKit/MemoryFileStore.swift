package import Platform
import Synchronization

/// A file system in memory that can crash at any mutating call, run out of room, and refuse to sync.
///
/// `@unchecked Sendable`: all state is touched with `lock` held.
package final class MemoryFileStore: FileStore, @unchecked Sendable {
    /// What a crash does with what was not synced.
    package enum CrashMode: CaseIterable, Sendable {
        case keep, drop, torn
    }

    enum Change {
        case write([UInt8], at: Int)
        case truncate(Int)
    }

    final class Node {
        var synced: [UInt8] = []
        var bytes: [UInt8] = []
        var changes: [Change] = []
    }

    let lock = Mutex(())
    private var names: [String: Node] = [:]
    private var syncedNames: [String: Node] = [:]
    private var directories: Set<String> = []
    private var locked: Set<String> = []
    /// Mutating calls so far.
    package private(set) var operations = 0
    /// The call at which the machine dies; what the call does is done in part, and not synced.
    package var crashAt: Int?
    package private(set) var hasCrashed = false
    /// The call that fails and does nothing, and how; everything goes on behind it.
    package var failing: (at: Int, kind: FileError.Kind)?
    /// Bytes that all files together may have.
    package var capacity = Int.max
    package var failsSync = false
    package var isDenied = false

    package init() {}

    func failure(_ kind: FileError.Kind, _ operation: String, _ path: String) -> FileError {
        FileError(kind: kind, operation: operation, path: path, code: 5, message: "\(kind) by the test")
    }

    /// Counts a mutating call. Throws when the machine is dead.
    private func operate(_ operation: String, _ path: String) throws(FileError) -> Bool {
        if hasCrashed { throw failure(.failed, operation, path) }
        operations += 1
        if let failing, failing.at == operations { throw failure(failing.kind, operation, path) }
        hasCrashed = operations == crashAt
        return hasCrashed
    }

    private func locked<Success>(_ body: () throws(FileError) -> Success) throws(FileError) -> Success {
        try lock.withLock { (_) throws(FileError) in try body() }
    }

    package func createDirectory(_ path: String) throws(FileError) {
        try locked { () throws(FileError) in
            if isDenied { throw failure(.denied, "create", path) }
            directories.insert(path)
        }
    }

    package func list(_ directory: String) throws(FileError) -> [String] {
        lock.withLock { _ in
            // Folders too: what has something in it.
            Set(
                names.keys.filter { $0.hasPrefix(directory + "/") }.compactMap {
                    $0.dropFirst(directory.count + 1).split(separator: "/").first.map(String.init)
                }
            ).sorted()
        }
    }

    package func open(_ path: String, writable: Bool) throws(FileError) -> any StoredFile {
        try locked { () throws(FileError) in
            if let node = names[path] { return MemoryFile(store: self, node: node, path: path) }
            guard writable else { throw failure(.missing, "open", path) }
            if isDenied { throw failure(.denied, "open", path) }
            let dies = try operate("open", path)
            let node = Node()
            names[path] = node
            if dies { throw failure(.failed, "open", path) }
            return MemoryFile(store: self, node: node, path: path)
        }
    }

    package func exists(_ path: String) -> Bool {
        // A folder is there as long as something is in it, too.
        lock.withLock { _ in
            names[path] != nil || directories.contains(path)
                || names.keys.contains { $0.hasPrefix(path + "/") }
        }
    }

    package func rename(_ path: String, to newPath: String) throws(FileError) {
        try locked { () throws(FileError) in
            let dies = try operate("rename", path)
            if let node = names.removeValue(forKey: path) {
                names[newPath] = node
            } else {
                // A folder, with all in it.
                let inside = names.keys.filter { $0.hasPrefix(path + "/") }
                guard !inside.isEmpty || directories.remove(path) != nil else {
                    throw failure(.missing, "rename", path)
                }
                directories.remove(path)
                directories.insert(newPath)
                for name in inside {
                    names[newPath + name.dropFirst(path.count)] = names.removeValue(forKey: name)
                }
            }
            if dies { throw failure(.failed, "rename", path) }
        }
    }

    package func remove(_ path: String) throws(FileError) {
        try locked { () throws(FileError) in
            let dies = try operate("remove", path)
            names[path] = nil
            if dies { throw failure(.failed, "remove", path) }
        }
    }

    package func synchronizeDirectory(_ path: String) throws(FileError) {
        try locked { () throws(FileError) in
            if try operate("sync", path) { throw failure(.failed, "sync", path) }
            syncedNames = names
        }
    }

    package func lock(_ path: String) throws(FileError) -> any StoredFile {
        try locked { () throws(FileError) in
            if isDenied { throw failure(.denied, "lock", path) }
            guard locked.insert(path).inserted else { throw failure(.locked, "lock", path) }
            return MemoryFile(store: self, node: Node(), path: path, isLock: true)
        }
    }

    func unlock(_ path: String) { lock.withLock { _ in _ = locked.remove(path) } }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int, _ node: Node, _ path: String)
        throws(FileError)
    {
        try locked { () throws(FileError) in
            let used = names.values.reduce(0) { $0 + $1.bytes.count }
            if used + max(0, offset + bytes.count - node.bytes.count) > capacity {
                throw failure(.full, "write", path)
            }
            let dies = try operate("write", path)
            Self.apply(.write(Array(bytes), at: offset), to: &node.bytes)
            node.changes.append(.write(Array(bytes), at: offset))
            if dies { throw failure(.failed, "write", path) }
        }
    }

    func synchronize(_ node: Node, _ path: String) throws(FileError) {
        try locked { () throws(FileError) in
            if try operate("sync", path) { throw failure(.failed, "sync", path) }
            let changes = node.changes
            node.changes = []
            // As kernels do: after a failed sync the pages count as clean, and no later sync writes them.
            if failsSync { throw failure(.failed, "sync", path) }
            for change in changes { Self.apply(change, to: &node.synced) }
        }
    }

    func truncate(_ node: Node, to byteCount: Int, _ path: String) throws(FileError) {
        try locked { () throws(FileError) in
            let dies = try operate("truncate", path)
            Self.apply(.truncate(byteCount), to: &node.bytes)
            node.changes.append(.truncate(byteCount))
            if dies { throw failure(.failed, "truncate", path) }
        }
    }

    static func apply(_ change: Change, to bytes: inout [UInt8]) {
        switch change {
        case .write(let new, let offset):
            if bytes.count < offset + new.count {
                bytes += [UInt8](repeating: 0, count: offset + new.count - bytes.count)
            }
            bytes.replaceSubrange(offset..<offset + new.count, with: new)
        case .truncate(let count):
            if bytes.count > count { bytes.removeLast(bytes.count - count) }
            bytes += [UInt8](repeating: 0, count: count - bytes.count)
        }
    }

    /// The process died and starts again; the machine, and with it what was written and not synced, stays.
    package func restartProcess() {
        lock.withLock { _ in
            hasCrashed = false
            crashAt = nil
            locked = []
        }
    }

    /// What the disk holds after the machine died and came back.
    package func afterCrash(_ mode: CrashMode, seed: UInt64) -> MemoryFileStore {
        lock.withLock { _ in
            var random = SeededRandom(seed)
            let next = MemoryFileStore()
            next.directories = directories
            let surviving = mode == .keep || (mode == .torn && random.below(2) == 0) ? names : syncedNames
            for path in surviving.keys.sorted() {
                guard let node = surviving[path] else { continue }
                let copy = Node()
                copy.bytes = mode == .keep ? node.bytes : node.synced
                if mode == .torn {
                    for change in node.changes { Self.tear(change, &copy.bytes, &random) }
                }
                copy.synced = copy.bytes
                next.names[path] = copy
            }
            next.syncedNames = next.names
            return next
        }
    }

    /// Applies a part of a change: nothing, all, a prefix, or some of its sectors.
    private static func tear(_ change: Change, _ bytes: inout [UInt8], _ random: inout SeededRandom) {
        guard case .write(let new, let offset) = change else {
            if random.below(2) == 0 { apply(change, to: &bytes) }
            return
        }
        switch random.below(4) {
        case 0: break
        case 1: apply(change, to: &bytes)
        case 2:
            apply(.write(Array(new.prefix(Int(random.below(UInt64(new.count) + 1)))), at: offset), to: &bytes)
        default:
            for start in stride(from: 0, to: new.count, by: 64) where random.below(2) == 0 {
                let part = Array(new[start..<min(start + 64, new.count)])
                apply(.write(part, at: offset + start), to: &bytes)
            }
        }
    }

    /// The bytes of a file, to look at or to damage.
    package subscript(path: String) -> [UInt8] {
        get { lock.withLock { _ in names[path]?.bytes ?? [] } }
        set {
            lock.withLock { _ in
                let node = names[path] ?? Node()
                node.bytes = newValue
                node.synced = newValue
                names[path] = node
                syncedNames[path] = node
            }
        }
    }

    /// The files below a folder, with their bytes.
    package func files(below directory: String) -> [String: [UInt8]] {
        lock.withLock { _ in names.filter { $0.key.hasPrefix(directory + "/") }.mapValues(\.bytes) }
    }

    package func forget(_ path: String) {
        lock.withLock { _ in
            names[path] = nil
            syncedNames[path] = nil
        }
    }
}
