package import PerpetualQuery
package import Platform
package import ReferenceFiles
import ResultSink
import Synchronization
import Telemetry

/// Which rows of one reference were in force at which place of the log, on disk; documented in
/// `ReferenceFileFormat`.
///
/// A record is joined with the rows that were in force where it stands in the log, whenever that is computed: after
/// `kill -9`, by a query that is behind, or again from the beginning. So the same row never has other contents.
package final class ReferenceHistory: Sendable {
    /// Rows that are in force from a place of the log on.
    package struct Entry: Sendable, Equatable {
        package var offset: UInt64
        /// Ticks of 100 ns since 1970.
        package var loadedTicks: Int64
        package var rows: Int
        package var bytes: Int
        package var hash: ReferenceHash
    }

    /// What is kept.
    package struct Limits: Sendable {
        /// Versions that no query needs any more, for queries that begin in the past. Default 32.
        package var keptVersions = 32
        /// Bytes of those. Default 1 GiB.
        package var keptBytes = 1 << 30
        /// Versions in all. Beyond it a query that is paused, failed or far behind keeps new rows from coming into
        /// force. Default 1,000.
        package var versionsMax = 1_000

        package init() {}
    }

    private struct State {
        var entries: [Entry] = []
        var newest: ReferenceData?
        /// Others that somebody still joins with.
        var inUse: [ReferenceHash: Weak] = [:]
        /// As queries need them, while somebody has them.
        var tables: [TableKey: WeakTable] = [:]
        /// The version that `stage` has put on disk last.
        var staged: ReferenceHash?
    }
    private struct TableKey: Hashable, Sendable {
        var hash: ReferenceHash
        var plan: ReferencePlan
    }
    private struct WeakTable: Sendable { weak var table: ReferenceTable? }
    private struct Weak: Sendable { weak var data: ReferenceData? }

    package let name: String
    private let directory: String
    private let files: any FileStore
    private let limits: Limits
    private let logIdentity: UInt64
    private let file: SealedFile
    private let state: Mutex<State>

    /// Reads the history of a data directory.
    ///
    /// - Parameters:
    ///   - logIdentity: of the log that offsets count in. What belongs to another log is left aside.
    ///   - durableEnd: the end of that log.
    ///   - log: gets a line when something was left aside.
    /// - Throws: what is damaged, and how to go on.
    package init(
        name: String, data: String, files: any FileStore, logIdentity: UInt64, durableEnd: UInt64,
        limits: Limits = Limits(), log: (String) -> Void
    ) throws {
        self.name = name
        self.files = files
        self.limits = limits
        self.logIdentity = logIdentity
        // Names are case-insensitive, as inputs are.
        directory = data + "/references/" + name.lowercased()
        file = SealedFile(
            path: directory + "/history", files: files, magic: "HEDREFHI", version: 1,
            advice: "remove \(directory): what is not computed yet is then joined with the file as it is now")
        try files.createDurableDirectory(directory, below: data)
        var entries: [Entry] = []
        if let body = try file.load() {
            guard let (identity, found) = Self.entries(body) else {
                throw SealedFileError.damaged(path: directory + "/history", advice: "remove \(directory)")
            }
            if identity == logIdentity {
                entries = found
            } else {
                log("\(directory): the history belongs to another log; it begins anew")
            }
        }
        // The end of a log that a copy brought back: what comes behind it are other records.
        for index in entries.indices where entries[index].offset > durableEnd {
            entries[index].offset = durableEnd
        }
        state = Mutex(State(entries: entries))
        let named = Set(entries.map { "\($0.hash).rows" })
        for name in try files.list(directory) where name != "history" && !named.contains(name) {
            try files.remove(directory + "/" + name)
        }
    }

    // MARK: What is in force

    package var entries: [Entry] { state.withLock { $0.entries } }
    package var newest: Entry? { entries.last }

    /// What a record at this offset is joined with; nil before anything was loaded.
    package func entry(at offset: UInt64) -> Entry? {
        state.withLock { state in state.entries.last { $0.offset <= offset } ?? state.entries.first }
    }

    /// Where behind an offset other rows come into force.
    package func next(after offset: UInt64) -> UInt64? {
        state.withLock { $0.entries.dropFirst().first { $0.offset > offset }?.offset }
    }

    /// - Throws: when the version's file is missing or damaged.
    package func data(of hash: ReferenceHash) throws(ReferenceError) -> ReferenceData {
        let known = state.withLock { state in
            state.entries.last?.hash == hash ? state.newest : state.inUse[hash]?.data
        }
        if let known { return known }
        let data = try ReferenceFile.load(hash, name: name, in: directory, files: files)
        state.withLock { state in
            if state.entries.last?.hash == hash {
                state.newest = data
            } else {
                state.inUse = state.inUse.filter { $0.value.data != nil }
                state.inUse[hash] = Weak(data: data)
            }
        }
        return data
    }

    /// A version as a query needs it, made once for all queries that need it so. Any thread; takes a second for a
    /// million rows.
    ///
    /// - Parameter contents: the version's rows, when nobody can read them from disk yet.
    /// - Throws: when the version's file is missing or damaged (`ReferenceError`), or its rows are of other types than
    ///   the query declares (`QueryFailure`).
    package func table(
        _ plan: ReferencePlan, of hash: ReferenceHash, contents: ReferenceContents? = nil
    ) throws -> ReferenceTable {
        let key = TableKey(hash: hash, plan: plan)
        if let known = state.withLock({ $0.tables[key]?.table }) { return known }
        let table = try ReferenceTable(plan, try contents?.data ?? data(of: hash))
        state.withLock { state in
            state.tables = state.tables.filter { $0.value.table != nil }
            state.tables[key] = WeakTable(table: table)
        }
        return table
    }

    // MARK: Change

    /// Puts a version on disk before it is adopted, so that `adopt` need not: for a thread that may wait.
    package func stage(_ contents: ReferenceContents) throws {
        try ReferenceFile.save(contents, in: directory, files: files)
        state.withLock { $0.staged = contents.hash }
    }

    /// Puts rows in force from a place of the log on, durably. When it throws, those before stay in force.
    ///
    /// - Parameters:
    ///   - offset: the durable end of the log: no query has seen anything behind it.
    ///   - needed: the first place of the log that some query may come to again.
    ///   - first: the first place that the log still has.
    package func adopt(
        _ contents: ReferenceContents, at offset: UInt64, loadedTicks: Int64, needed: UInt64, first: UInt64
    ) throws {
        let old = entries
        var entries = old
        if let last = entries.last {
            precondition(
                last.offset <= offset, "a version in force at \(last.offset) is older than at \(offset)")
            // No record was joined with it.
            if last.offset == offset { entries.removeLast() }
        }
        entries.append(
            Entry(
                offset: entries.isEmpty ? 0 : offset, loadedTicks: loadedTicks,
                rows: contents.data.rowCount, bytes: contents.data.bytes.count, hash: contents.hash))
        trim(&entries, needed: needed, first: first)
        guard entries.count <= limits.versionsMax else {
            throw ReferenceError(
                .busy,
                "\(name): \(limits.versionsMax) versions of it are needed by a query that is paused, failed or far "
                    + "behind: resume or remove that; until then the old rows stay")
        }
        // Never removed in between: one thread stages and adopts.
        if state.withLock({ $0.staged }) != contents.hash { try stage(contents) }
        try file.save(Self.bytes(entries, logIdentity))
        let saved = entries
        let isCurrent = saved.last?.hash == contents.hash
        precondition(isCurrent, "the newest version stays")
        state.withLock { state in
            if let former = state.entries.last, let data = state.newest {
                state.inUse = state.inUse.filter { $0.value.data != nil }
                state.inUse[former.hash] = Weak(data: data)
            }
            state.entries = saved
            state.newest = contents.data
            state.staged = nil
        }
        let named = Set(saved.map(\.hash))
        var removed: Set<ReferenceHash> = []
        for entry in old where !named.contains(entry.hash) && removed.insert(entry.hash).inserted {
            // What cannot be removed now is at the next start.
            try? files.remove(ReferenceFile.path(of: entry.hash, in: directory))
        }
    }

    /// Leaves out, oldest first, what nobody can come to again.
    private func trim(_ entries: inout [Entry], needed: UInt64, first: UInt64) {
        var bytes = entries.reduce(0) { $0 + $1.bytes }
        while entries.count > 1, entries[1].offset <= needed {
            let isGone = entries[1].offset <= first && first > 0
            guard isGone || entries.count > limits.keptVersions || bytes > limits.keptBytes else { return }
            bytes -= entries[0].bytes
            entries.removeFirst()
        }
    }

    // MARK: Bytes

    private static let entryBytes = 64

    private static func bytes(_ entries: [Entry], _ identity: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        func put(_ value: some FixedWidthInteger) {
            withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
        }
        put(identity)
        put(UInt32(entries.count))
        for entry in entries {
            put(entry.offset)
            put(entry.loadedTicks)
            put(UInt64(entry.rows))
            put(UInt64(entry.bytes))
            bytes += entry.hash.bytes
        }
        return bytes
    }

    /// Nil when it is none.
    private static func entries(_ body: [UInt8]) -> (identity: UInt64, entries: [Entry])? {
        func number<Number: FixedWidthInteger>(_ at: Int, _ type: Number.Type) -> Number {
            body.withUnsafeBytes { Number(littleEndian: $0.loadUnaligned(fromByteOffset: at, as: type)) }
        }
        guard body.count >= 12 else { return nil }
        let count = Int(number(8, UInt32.self))
        guard body.count == 12 + count * entryBytes else { return nil }
        var entries: [Entry] = []
        for index in 0..<count {
            let at = 12 + index * entryBytes
            guard let hash = ReferenceHash(Array(body[(at + 32)..<(at + 64)])) else { return nil }
            entries.append(
                Entry(
                    offset: number(at, UInt64.self), loadedTicks: number(at + 8, Int64.self),
                    rows: Int(clamping: number(at + 16, UInt64.self)),
                    bytes: Int(clamping: number(at + 24, UInt64.self)), hash: hash))
        }
        return (number(0, UInt64.self), entries)
    }
}
