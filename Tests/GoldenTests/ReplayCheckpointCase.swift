import FileStoreKit
import PerpetualQuery
import Platform
import QueryReplay
import ReferenceFiles

// Runs over files in memory, for the tests of checkpoints.
extension ReplayCheckpointTests {
    /// Time stands still: a checkpoint is due whenever none is on its way.
    struct StandingClock: HubClock {
        func wallTicks() -> Int64 { 0 }
        func monotonicNanoseconds() -> UInt64 { 0 }
    }

    /// A replay with its outputs, over files in memory.
    struct Case {
        var query: String
        var inputs: [String]
        var outputs: [String]
        var deduplication: [String] = []
        var outOfOrder: Int64 = 0
        var settings = StreamSettings()
        var arrival: String?
        var references: [String] = []
        var withIDs = false
        var checkpoint: String? = "/c"
        var stretch = 3

        /// - Returns: events that were done before; nil when it began anew.
        @discardableResult
        func run(_ files: any FileStore) throws -> UInt64? {
            var replay = QueryReplay(text: query, name: "test", files: files)
            replay.inputs = inputs.map { QueryReplay.NamedFile(argument: $0) }
            replay.references = references.map {
                let file = QueryReplay.NamedFile(argument: $0)
                return ReferenceSource(name: file.name ?? "", location: file.path)
            }
            replay.settings = settings
            if outOfOrder > 0 { replay.settings.timePolicy.outOfOrderToleranceTicks = outOfOrder }
            replay.deduplication = deduplication
            replay.arrivalField = arrival
            replay.eventsPerStretch = stretch
            let plan = try replay.plan(title: "test.sql")
            var resumed: UInt64?
            _ = try replay.run(
                plan, title: "test.sql", to: outputs.map { QueryReplay.NamedFile(argument: $0) },
                withIDs: withIDs,
                checkpoint: checkpoint.map {
                    CheckpointOptions(path: $0, everyNanoseconds: 0, clock: StandingClock())
                },
                standardOutput: { _ in }, resumed: { resumed = $0 })
            return resumed
        }

        /// The files as they must be in the end.
        func uninterrupted(_ inputs: [String: [UInt8]]) throws -> [String: [UInt8]] {
            let files = ReplayCheckpointTests.store(inputs)
            var plain = self
            plain.checkpoint = nil
            try plain.run(files)
            return written(files)
        }

        func written(_ files: MemoryFileStore) -> [String: [UInt8]] {
            var found: [String: [UInt8]] = [:]
            for output in outputs {
                let path = QueryReplay.NamedFile(argument: output).path
                found[path] = files[path]
            }
            return found
        }
    }

    static func store(_ inputs: [String: [UInt8]]) -> MemoryFileStore {
        let files = MemoryFileStore()
        for (path, bytes) in inputs.sorted(by: { $0.key < $1.key }) { files[path] = bytes }
        return files
    }

    static func message(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "no error"
        } catch { return "\(error)" }
    }
}
