import DeviceQueue
import Platform
import ResultSink
import Telemetry

/// The folder of one query: checkpoint, outbox and cursors, all of which count in the offsets of one log.
///
/// The checkpoint's state begins with the log's identity (8 bytes, little-endian), the engine's snapshot follows.
struct QueryFolder {
    static let identityBytes = 8

    let path: String
    /// `results` of the data directory, or of another query a folder in there.
    let results: String
    /// Outputs whose rows go to one growing file each.
    var appended: Set<String> = []
    let files: any FileStore

    static func bytes(of identity: UInt64) -> [UInt8] {
        (0..<identityBytes).map { UInt8(truncatingIfNeeded: identity >> (8 * UInt64($0))) }
    }

    /// Sets the folder aside when its checkpoint speaks of another log, or of more of this one than there is: as
    /// after segments were moved away, or a backup of the log, or of the folder, came back. Everything is then
    /// computed again from the log, with the same result ids; minutes that have their file keep it.
    ///
    /// - Parameter log: gets a line when that happens.
    func fit(to queue: DeviceQueue, log: @Sendable (String) -> Void) throws {
        let file = path + "/checkpoint"
        let store = CheckpointStore(path: file, files: files)
        guard let checkpoint = try store.loadHead(stateByteCount: Self.identityBytes) else { return }
        let delta = try CheckpointDeltaFile(checkpoint: file, files: files).load()
        let reached = max(checkpoint.queueOffset, delta?.queueOffset ?? 0)
        let identity = Array(checkpoint.engineState.prefix(Self.identityBytes))
        let isSameLog = identity == Self.bytes(of: queue.identity)
        let first = queue.firstOffset.bytes
        let isThere =
            reached <= queue.durableEnd.bytes
            && (checkpoint.queueOffset >= first || checkpoint.queueOffset == 0)
        if isSameLog, isThere { return }
        let cause =
            isSameLog
            ? checkpoint.queueOffset < first
                ? "it had read the log to \(checkpoint.queueOffset), and retention removed all before \(first)"
                : "it had read the log to \(reached), and the log ends at \(queue.durableEnd.bytes)"
            : "it belongs to another log"
        log(
            "\(path): the checkpoint does not fit the log (\(cause)); it was set aside as \(try setAside()), "
                + "and everything is computed again from the log")
    }

    /// Gives the folder, and the files that would grow, other names, so that the query begins anew.
    ///
    /// - Returns: the folder's new name.
    func setAside() throws -> String {
        var number = 1
        while files.exists("\(path).aside-\(number)") { number += 1 }
        try files.rename(path, to: "\(path).aside-\(number)")
        try setFilesAside(number)
        return "\(path).aside-\(number)"
    }

    /// The second half of `setAside`; nothing happens where it was done.
    func setFilesAside(_ number: Int) throws {
        for output in appended.sorted() + ["_late", "_errors"] {
            let file = "\(results)/\(output)/\(output).jsonl"
            if files.exists(file) { try files.rename(file, to: "\(file).aside-\(number)") }
        }
    }

    /// Up to where of the log the last checkpoint goes; nil without one.
    var savedOffset: UInt64? {
        get throws { try CheckpointStore(path: path + "/checkpoint", files: files).load()?.queueOffset }
    }

    /// Outputs that have a file that grows, as the disk shows it.
    var grownFiles: Set<String> {
        Set(outputs.filter { files.exists("\(results)/\($0)/\($0).jsonl") })
    }

    /// Outputs that have files, as the disk shows it, without those of the system.
    var outputs: [String] { ((try? files.list(results)) ?? []).filter { !$0.hasPrefix("_") } }

    // MARK: The definition

    private var definitionFile: SealedFile {
        SealedFile(
            path: path + "/definition", files: files, magic: "HEDQUERY", version: 1,
            advice: "remove the folder, and add the query again")
    }

    /// - Returns: the definition that stands there; nil when there is none.
    func loadDefinition() throws -> QueryDefinition? {
        guard let body = try definitionFile.load() else { return nil }
        guard let definition = QueryDefinition(json: body) else {
            throw HubError("\(path)/definition: not a query; remove the folder, and add the query again")
        }
        return definition
    }

    func save(_ definition: QueryDefinition) throws {
        let root = type(of: files).directory(of: type(of: files).directory(of: path))
        try files.createDurableDirectory(path, below: root)
        try definitionFile.save(Array(definition.json.utf8))
    }
}
