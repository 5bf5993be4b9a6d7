import Platform
import Synchronization

/// A disk in memory that fails, and forgets what was not synced when it crashes.
///
/// It counts operations that change something; from operation `failAt` on, every call fails. `crashed(_:)`
/// then gives the disk as a restart finds it.
final class FaultStore: FileStore {
    /// What became of a write or a name that was not synced.
    enum Fate: CaseIterable {
        /// All of it reached the disk.
        case kept
        /// None of it did.
        case dropped
        /// Of a write the first half; of names every second.
        case torn
    }

    enum Change {
        case write(bytes: [UInt8], offset: Int)
        case truncate(byteCount: Int)

        func apply(to contents: inout [UInt8]) {
            switch self {
            case .write(let bytes, let offset): FaultStore.put(bytes, at: offset, into: &contents)
            case .truncate(let byteCount):
                contents = Array(contents.prefix(byteCount))
                contents += [UInt8](repeating: 0, count: byteCount - contents.count)
            }
        }
    }

    /// The contents of a file: what is durable, and the changes since.
    final class Node: Sendable {
        struct Contents {
            var durable: [UInt8] = []
            var visible: [UInt8] = []
            var unsynced: [Change] = []
        }
        let contents: Mutex<Contents>
        init(_ bytes: [UInt8] = []) { contents = Mutex(Contents(durable: bytes, visible: bytes)) }
    }

    struct State {
        var durableFiles: [String: Node] = [:]
        var files: [String: Node] = [:]
        var durableDirectories: Set<String> = []
        var directories: Set<String> = []
        var operations = 0
        var reads = 0
        var failAt = Int.max
        var failure = FileError.Kind.failed
        /// Only this one operation fails.
        var failsOnce = false
        var log: [String] = []
    }
    private let state = Mutex(State())

    /// - Parameter failAt: the first operation that fails. The directory `d` is there, durably.
    init(failAt: Int = Int.max) {
        state.withLock {
            $0.failAt = failAt
            $0.directories = ["d"]
            $0.durableDirectories = ["d"]
        }
    }

    var operations: Int { state.withLock { $0.operations } }

    /// Reads of files.
    var reads: Int { state.withLock { $0.reads } }

    fileprivate func noteRead() { state.withLock { $0.reads += 1 } }

    func fail(at operation: Int, with kind: FileError.Kind = .failed, once: Bool) {
        state.withLock {
            $0.failAt = operation
            $0.failure = kind
            $0.failsOnce = once
        }
    }

    /// The disk after a crash now.
    func crashed(_ fate: Fate) -> FaultStore {
        let after = FaultStore()
        let found = state.withLock { state -> State in
            var found = State()
            switch fate {
            case .kept:
                (found.directories, found.files) = (state.directories, state.files)
            case .dropped:
                (found.directories, found.files) = (state.durableDirectories, state.durableFiles)
            case .torn:
                (found.directories, found.files) = (state.durableDirectories, state.durableFiles)
                let changed = Set(state.files.keys).union(state.durableFiles.keys)
                    .filter { state.files[$0] !== state.durableFiles[$0] }.sorted()
                for (index, path) in changed.enumerated() where index % 2 == 0 {
                    found.files[path] = state.files[path]
                }
            }
            // What is in a directory that was lost is lost.
            while true {
                let orphans = found.directories.filter {
                    let above = FaultStore.directory(of: $0)
                    return above != "." && !found.directories.contains(above)
                }
                if orphans.isEmpty { break }
                found.directories.subtract(orphans)
            }
            found.files = found.files.filter { found.directories.contains(FaultStore.directory(of: $0.key)) }
            return found
        }
        var copies: [String: Node] = [:]
        for (path, node) in found.files {
            copies[path] = Node(node.contents.withLock { Self.survivor($0, fate) })
        }
        after.state.withLock { [copies] in
            $0.files = copies
            $0.durableFiles = copies
            $0.directories = found.directories
            $0.durableDirectories = found.directories
        }
        return after
    }

    /// Every file's path and visible bytes.
    func everything() -> [String: [UInt8]] {
        state.withLock { $0.files }.mapValues { node in node.contents.withLock { $0.visible } }
    }

    /// Changes a file behind everybody's back.
    func damage(_ path: String, _ change: (inout [UInt8]) -> Void) {
        guard let node = state.withLock({ $0.files[path] }) else { return }
        node.contents.withLock {
            change(&$0.visible)
            $0.durable = $0.visible
            $0.unsynced = []
        }
    }

    private static func survivor(_ contents: Node.Contents, _ fate: Fate) -> [UInt8] {
        switch fate {
        case .kept: return contents.visible
        case .dropped: return contents.durable
        case .torn:
            var bytes = contents.durable
            for change in contents.unsynced {
                if case .write(let whole, let offset) = change {
                    Change.write(bytes: Array(whole.prefix(whole.count / 2)), offset: offset).apply(
                        to: &bytes)
                } else {
                    change.apply(to: &bytes)
                }
            }
            return bytes
        }
    }

    static func put(_ bytes: [UInt8], at offset: Int, into contents: inout [UInt8]) {
        if contents.count < offset + bytes.count {
            contents += [UInt8](repeating: 0, count: offset + bytes.count - contents.count)
        }
        contents.replaceSubrange(offset..<(offset + bytes.count), with: bytes)
    }

    /// Counts an operation that changes something; throws when it is the one to fail.
    fileprivate func change(_ operation: String, _ path: String) throws(FileError) {
        let failure: FileError.Kind? = state.withLock {
            $0.operations += 1
            guard $0.failsOnce ? $0.operations == $0.failAt : $0.operations >= $0.failAt else { return nil }
            return $0.failure
        }
        if let failure {
            throw FileError(
                kind: failure, operation: operation, path: path, code: 5, message: "injected fault")
        }
    }
}

extension FaultStore {
    func createDirectory(_ path: String) throws(FileError) {
        var prefix = path.hasPrefix("/") ? "/" : ""
        for part in path.split(separator: "/") {
            prefix += prefix.isEmpty || prefix.hasSuffix("/") ? String(part) : "/" + part
            let isThere = state.withLock { [prefix] in $0.directories.contains(prefix) }
            if isThere { continue }
            try change("create the directory", prefix)
            state.withLock { [prefix] in _ = $0.directories.insert(prefix) }
        }
    }

    func list(_ directory: String) throws(FileError) -> [String] {
        state.withLock { state in
            (Array(state.files.keys) + state.directories)
                .filter { FaultStore.directory(of: $0) == directory }
                .compactMap { $0.split(separator: "/").last.map(String.init) }.sorted()
        }
    }

    func open(_ path: String, writable: Bool) throws(FileError) -> any StoredFile {
        if let node = state.withLock({ $0.files[path] }) { return FaultFile(node, path, self) }
        guard writable, state.withLock({ $0.directories.contains(FaultStore.directory(of: path)) }) else {
            throw FileError(kind: .missing, operation: "open", path: path, code: 2, message: "no such file")
        }
        try change("create", path)
        let node = Node()
        state.withLock { $0.files[path] = node }
        return FaultFile(node, path, self)
    }

    func exists(_ path: String) -> Bool {
        state.withLock { $0.files[path] != nil || $0.directories.contains(path) }
    }

    func rename(_ path: String, to newPath: String) throws(FileError) {
        try change("rename", path)
        state.withLock { $0.files[newPath] = $0.files.removeValue(forKey: path) }
    }

    func remove(_ path: String) throws(FileError) {
        try change("remove", path)
        state.withLock { $0.files[path] = nil }
    }

    func synchronizeDirectory(_ path: String) throws(FileError) {
        try change("sync", path)
        state.withLock { state in
            func isInside(_ child: String) -> Bool { FaultStore.directory(of: child) == path }
            state.durableFiles = state.durableFiles.filter { !isInside($0.key) }
            for (child, node) in state.files where isInside(child) { state.durableFiles[child] = node }
            for child in state.directories where isInside(child) { state.durableDirectories.insert(child) }
        }
    }

    func lock(_ path: String) throws(FileError) -> any StoredFile { try open(path, writable: true) }

    func fingerprint(_ path: String) throws(FileError) -> FileFingerprint? {
        guard let node = state.withLock({ $0.files[path] }) else {
            throw FileError(
                kind: .missing, operation: "look at", path: path, code: 2, message: "no such file")
        }
        // Nobody else has its address while a file is open.
        return FileFingerprint(
            file: UInt64(UInt(bitPattern: Unmanaged.passUnretained(node).toOpaque())),
            byteCount: UInt64(node.contents.withLock { $0.visible.count }), modifiedTicks: 0)
    }

    fileprivate func hasName(_ node: Node) -> Bool {
        state.withLock { $0.files.values.contains { $0 === node } }
    }
}

private final class FaultFile: StoredFile {
    private let node: FaultStore.Node
    private let path: String
    private let store: FaultStore

    init(_ node: FaultStore.Node, _ path: String, _ store: FaultStore) {
        self.node = node
        self.path = path
        self.store = store
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
        let copy = Array(bytes)
        func put(_ copy: [UInt8]) {
            let change = FaultStore.Change.write(bytes: copy, offset: Int(offset))
            node.contents.withLock {
                change.apply(to: &$0.visible)
                $0.unsynced.append(change)
            }
        }
        do throws(FileError) {
            try store.change("write", path)
        } catch {
            // A write that fails may have written a part.
            put(Array(copy.prefix(copy.count / 3)))
            throw error
        }
        put(copy)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileError) -> Int {
        store.noteRead()
        let bytes = node.contents.withLock { Array($0.visible.dropFirst(Int(offset)).prefix(buffer.count)) }
        buffer.copyBytes(from: bytes)
        return bytes.count
    }

    func synchronize() throws(FileError) {
        do throws(FileError) {
            try store.change("sync", path)
        } catch {
            // As Linux does: what could not be written is forgotten, and the next sync knows nothing of it.
            node.contents.withLock { $0.unsynced = [] }
            throw error
        }
        node.contents.withLock {
            for change in $0.unsynced { change.apply(to: &$0.durable) }
            $0.unsynced = []
        }
    }

    func truncate(to byteCount: UInt64) throws(FileError) {
        try store.change("truncate", path)
        let change = FaultStore.Change.truncate(byteCount: Int(byteCount))
        node.contents.withLock {
            change.apply(to: &$0.visible)
            $0.unsynced.append(change)
        }
    }

    func byteCount() throws(FileError) -> UInt64 {
        node.contents.withLock { UInt64($0.visible.count) }
    }

    func isRemoved() throws(FileError) -> Bool { !store.hasName(node) }

    func close() {}
}
