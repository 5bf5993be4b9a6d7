package import Platform

/// A disk in memory that keeps a promise only when it was asked to: bytes are safe after a sync of their
/// file, names after a sync of their directory, and a crash decides the fate of everything else.
///
/// It can also be full, refuse a write or a sync, lie, and rot. A failed sync is the worst case that Linux
/// knows: the pages count as clean afterwards, so readers go on seeing bytes that never reached the disk.
///
/// `@unchecked Sendable`: confined to the thread that runs the world.
package final class SimulatedDisk: FileStore, @unchecked Sendable {
    /// What becomes of what was not synced when the power goes.
    package enum Fate: CaseIterable, Sendable {
        /// All of it reached the disk.
        case kept
        /// None of it did.
        case dropped
        /// The first half of each write did, and every second name.
        case torn
        /// Chance decides for each 512-byte sector and each name.
        case mixed
    }

    /// A disk that does not do what it is asked: for the proof that the torture would notice.
    package enum Lie: Sendable {
        case skipsFileSync
        case skipsDirectorySync
        case skipsOutboxSync
        /// What readers see already is not written again: after a failed sync they see what the disk has not.
        case trustsPageCache
    }

    // What processes see, and what is safe.
    private(set) var files: [String: Inode] = [:]
    private var safeFiles: [String: Inode] = [:]
    private var directories: Set<String> = []
    private var safeDirectories: Set<String> = []
    private var pendingNames: [NameChange] = []

    private enum NameChange {
        case directory(String)
        case link(String, Inode)
        case unlink(String)
        case rename(from: String, to: String, Inode)
        case renameDirectory(from: String, to: String)

        var parent: String {
            switch self {
            case .directory(let path), .link(let path, _), .unlink(let path), .rename(_, let path, _),
                .renameDirectory(_, let path):
                SimulatedDisk.directory(of: path)
            }
        }
    }

    /// Raised by a crash or the death of the process: what was open before is of no use after.
    private(set) var generation = 0
    private var locks: Set<String> = []
    /// Calls that change something, so far.
    package private(set) var mutatingCalls = 0
    /// The mutating call in which the power goes; nil for none.
    package var crashAt: Int?
    /// In that call only the process dies: its page cache stays.
    package var crashIsKill = false
    /// The power is off: every call fails until `crash`.
    package private(set) var isDown = false
    /// Bytes that fit, nil for any number.
    package var byteCapacity: Int?
    /// The next write or sync of a file is refused by the device.
    package var refusesNextWrite = false
    package var refusesNextSync = false
    /// Calls refused so far.
    package internal(set) var refusals = 0
    package var lie: Lie?
    /// How long a sync takes at least, in microseconds; more while the disk is slow.
    package var syncMicroseconds = 100
    package var random: SeededRandom

    package init(random: SeededRandom) { self.random = random }

    // MARK: FileStore

    package func createDirectory(_ path: String) throws(FileError) {
        var prefix = ""
        for part in path.split(separator: "/") {
            prefix += prefix.isEmpty ? String(part) : "/" + part
            if directories.contains(prefix) { continue }
            let isLast = try begin("create the directory", prefix)
            directories.insert(prefix)
            pendingNames.append(.directory(prefix))
            if isLast { throw failure("create the directory", prefix) }
        }
    }

    package func list(_ directory: String) throws(FileError) -> [String] {
        try checkPower("list", directory)
        let names = Set(files.keys).union(directories).filter { Self.directory(of: $0) == directory }
            .map { String($0.dropFirst(directory.count + 1)) }
        return names.sorted { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) }
    }

    package func open(_ path: String, writable: Bool) throws(FileError) -> any StoredFile {
        try checkPower("open", path)
        if let inode = files[path] { return handle(inode, path) }
        guard writable, directories.contains(Self.directory(of: path)) else {
            throw FileError(
                kind: .missing, operation: "open", path: path, code: 2, message: "no such file or directory")
        }
        let isLast = try begin("open", path)
        let inode = Inode()
        files[path] = inode
        pendingNames.append(.link(path, inode))
        if isLast { throw failure("open", path) }
        return handle(inode, path)
    }

    package func exists(_ path: String) -> Bool { files[path] != nil || directories.contains(path) }

    package func rename(_ path: String, to newPath: String) throws(FileError) {
        guard files[path] != nil || directories.contains(path) else {
            throw FileError(
                kind: .missing, operation: "rename", path: path, code: 2, message: "no such file")
        }
        let isLast = try begin("rename", path)
        if let inode = files.removeValue(forKey: path) {
            files[newPath] = inode
            pendingNames.append(.rename(from: path, to: newPath, inode))
        } else {
            Self.moveDirectory(path, to: newPath, &files, &directories)
            pendingNames.append(.renameDirectory(from: path, to: newPath))
        }
        if isLast { throw failure("rename", path) }
    }

    package func remove(_ path: String) throws(FileError) {
        guard files[path] != nil else {
            throw FileError(
                kind: .missing, operation: "remove", path: path, code: 2, message: "no such file")
        }
        let isLast = try begin("remove", path)
        files[path] = nil
        pendingNames.append(.unlink(path))
        if isLast { throw failure("remove", path) }
    }

    package func synchronizeDirectory(_ path: String) throws(FileError) {
        let isLast = try begin("sync", path)
        if isLast { throw failure("sync", path) }
        if refusesNextSync {
            refusesNextSync = false
            refusals += 1
            throw failure("sync", path)
        }
        if lie == .skipsDirectorySync { return }
        for change in pendingNames where change.parent == path { makeSafe(change) }
        pendingNames.removeAll { $0.parent == path }
    }

    package func lock(_ path: String) throws(FileError) -> any StoredFile {
        guard !locks.contains(path) else {
            throw FileError(
                kind: .locked, operation: "lock", path: path, code: 11, message: "another process holds it")
        }
        let file = try open(path, writable: true)
        locks.insert(path)
        (file as? SimulatedFile)?.onClose = { [weak self] in self?.locks.remove(path) }
        return file
    }

    // MARK: Trouble

    /// The power goes between two calls.
    package func cutPower() {
        isDown = true
        crashIsKill = false
    }

    /// The power comes back: the disk as the next start finds it.
    package func crash(_ fate: Fate) {
        for (index, change) in pendingNames.enumerated() {
            let survives =
                switch fate {
                case .kept: true
                case .dropped: false
                case .torn: index % 2 == 0
                case .mixed: random.chance(50)
                }
            if survives { makeSafe(change) }
        }
        pendingNames = []
        // What is in a directory that was lost is lost.
        directories = safeDirectories.filter { path in
            sequence(first: path) { $0.contains("/") ? Self.directory(of: $0) : nil }
                .allSatisfy(safeDirectories.contains)
        }
        safeDirectories = directories
        files = safeFiles.filter { directories.contains(Self.directory(of: $0.key)) }
        safeFiles = files
        for path in files.keys.sorted() { files[path]?.crash(fate, &random) }
        kill()
    }

    /// The process dies, the machine does not: what it wrote stays in the page cache.
    package func kill() {
        generation += 1
        locks = []
        if isDown {
            isDown = false
            crashAt = nil
        }
        crashIsKill = false
        refusesNextWrite = false
        refusesNextSync = false
    }

    /// A copy that goes its own way.
    package func copy() -> SimulatedDisk {
        let other = SimulatedDisk(random: random)
        var copies: [ObjectIdentifier: Inode] = [:]
        func twin(_ inode: Inode) -> Inode {
            if let known = copies[ObjectIdentifier(inode)] { return known }
            let made = Inode(copyOf: inode)
            copies[ObjectIdentifier(inode)] = made
            return made
        }
        other.files = files.mapValues(twin)
        other.safeFiles = safeFiles.mapValues(twin)
        other.directories = directories
        other.safeDirectories = safeDirectories
        other.pendingNames = pendingNames.map { change in
            switch change {
            case .link(let path, let inode): .link(path, twin(inode))
            case .rename(let from, let to, let inode): .rename(from: from, to: to, twin(inode))
            case .directory, .unlink, .renameDirectory: change
            }
        }
        return other
    }

    /// Changes one bit at rest, behind everybody's back.
    package func flipBit(of path: String, byte: Int, bit: Int) {
        files[path]?.flipBit(byte: byte, bit: bit)
    }

    /// Every file with its size, sorted by path.
    package var contents: [(path: String, byteCount: Int)] {
        files.keys.sorted().map { ($0, files[$0]?.visible.count ?? 0) }
    }

    // MARK: For the files

    /// Counts a call that changes something.
    ///
    /// - Returns: whether the power goes during this call: it does its work, which is not safe, and then
    ///   fails.
    func begin(_ operation: String, _ path: String) throws(FileError) -> Bool {
        try checkPower(operation, path)
        mutatingCalls += 1
        isDown = mutatingCalls == crashAt
        return isDown
    }

    func checkPower(_ operation: String, _ path: String) throws(FileError) {
        if isDown { throw failure(operation, path) }
    }

    func failure(_ operation: String, _ path: String) -> FileError {
        FileError(
            kind: .failed, operation: operation, path: path, code: 5,
            message: isDown ? "the power is off" : "input/output error")
    }

    /// How long the sync that was just done took.
    func syncNanoseconds() -> UInt64 { random.microseconds(syncMicroseconds...(4 * syncMicroseconds)) }

    /// Bytes that a file may still grow by.
    var roomForGrowth: Int {
        guard let byteCapacity else { return Int.max }
        return max(0, byteCapacity - files.values.reduce(0) { $0 + $1.visible.count })
    }

    private func handle(_ inode: Inode, _ path: String) -> SimulatedFile {
        SimulatedFile(inode: inode, path: path, disk: self)
    }

    private func makeSafe(_ change: NameChange) {
        switch change {
        case .directory(let path): safeDirectories.insert(path)
        case .link(let path, let inode): safeFiles[path] = inode
        case .unlink(let path): safeFiles[path] = nil
        case .rename(let from, let to, let inode):
            if safeFiles[from] === inode { safeFiles[from] = nil }
            safeFiles[to] = inode
        case .renameDirectory(let from, let to):
            Self.moveDirectory(from, to: to, &safeFiles, &safeDirectories)
        }
    }

    private static func moveDirectory(
        _ path: String, to newPath: String, _ files: inout [String: Inode], _ directories: inout Set<String>
    ) {
        func moved(_ name: String) -> String {
            name == path || name.hasPrefix(path + "/") ? newPath + name.dropFirst(path.count) : name
        }
        directories = Set(directories.map(moved))
        files = Dictionary(uniqueKeysWithValues: files.map { (moved($0.key), $0.value) })
    }
}
