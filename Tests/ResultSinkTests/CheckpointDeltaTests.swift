import Platform
import ResultSink
import Testing

@Suite struct CheckpointDeltaTests {
    private func file(_ store: FaultStore) -> CheckpointDeltaFile {
        CheckpointDeltaFile(checkpoint: "d/k", files: store)
    }

    @Test("the newest delta is loaded, by whoever wrote it; without any it is nil")
    func newest() throws {
        let store = FaultStore()
        #expect(try file(store).load() == nil)
        for number in UInt64(1)...7 {
            let again = file(store)
            _ = try again.load()
            let delta = CheckpointDelta(queueOffset: number * 10, resultPosition: number)
            try again.save(delta)
            #expect(try file(store).load() == delta)
        }
        try file(store).remove()
        #expect(try file(store).load() == nil)
        try file(store).remove()
    }

    @Test("the bytes of deltas are the documented ones")
    func golden() throws {
        let store = FaultStore()
        let deltas = file(store)
        try deltas.save(CheckpointDelta(queueOffset: 0x0102, resultPosition: 3))
        try deltas.save(CheckpointDelta(queueOffset: 0x0103, resultPosition: 4))
        let bytes = try store.contents(of: "d/k.delta")
        #expect(bytes.count == 4_136)
        let head = Array("HEDDELTA".utf8) + [1, 0, 0, 0]
        let first: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]
        let second: [UInt8] = [2, 0, 0, 0, 0, 0, 0, 0, 3, 1, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]
        #expect(bytes[4_096..<4_132] == (head + first)[...])
        #expect(bytes[..<36] == (head + second)[...])
        let hex = (Array(bytes[4_132...]) + Array(bytes[36..<40])).map { String($0, radix: 16) }.joined(
            separator: " ")
        #expect(hex == "56 8 9e ca cf 31 f7 9")
        #expect(bytes[40..<4_096].allSatisfy { $0 == 0 })
    }

    @Test(
        "a damaged byte of the newest delta gives the one before it; in both it is an error that names the file"
    )
    func damage() throws {
        let store = FaultStore()
        let deltas = file(store)
        let old = CheckpointDelta(queueOffset: 1, resultPosition: 2)
        try deltas.save(old)
        try deltas.save(CheckpointDelta(queueOffset: 3, resultPosition: 4))
        for index in 0..<40 {
            store.damage("d/k.delta") { $0[index] ^= 4 }
            #expect(try file(store).load() == old, "byte \(index)")
            store.damage("d/k.delta") { $0[4_096 + index] ^= 4 }
            let error = try #require(throws: SealedFileError.self) { try file(store).load() }
            #expect(error.description.hasPrefix("d/k.delta: damaged; delete it"))
            store.damage("d/k.delta") {
                $0[index] ^= 4
                $0[4_096 + index] ^= 4
            }
        }
        store.damage("d/k.delta") { $0.removeLast(4_100) }
        #expect(try file(store).load() == nil, "a first entry that was torn")
    }

    @Test(
        "a crash while a delta is saved leaves the old one or the new one",
        arguments: FaultStore.Fate.allCases, 0...3)
    func crash(fate: FaultStore.Fate, before: Int) throws {
        var outcomes: Set<UInt64> = []
        for step in 1...6 {
            let store = FaultStore()
            let deltas = file(store)
            for number in 0..<before {
                try deltas.save(CheckpointDelta(queueOffset: UInt64(number + 1), resultPosition: 0))
            }
            store.fail(at: store.operations + step, once: false)
            let new = CheckpointDelta(queueOffset: UInt64(before + 1), resultPosition: 0)
            let saved = (try? deltas.save(new)) != nil
            let found = try file(store.crashed(fate)).load()?.queueOffset ?? 0
            #expect(found == UInt64(before) || found == UInt64(before + 1))
            if saved { #expect(found == UInt64(before + 1)) }
            outcomes.insert(found)
        }
        #expect(outcomes == [UInt64(before), UInt64(before + 1)])
    }

    @Test(
        "a crash while a checkpoint is saved in parts leaves the old one or the new one",
        arguments: FaultStore.Fate.allCases)
    func parts(fate: FaultStore.Fate) throws {
        let pieces = (0..<9).map { piece in [UInt8](repeating: UInt8(piece), count: 50) }
        let old = Checkpoint(queueOffset: 1, resultPosition: 1, engineState: Array(0..<200))
        let new = Checkpoint(queueOffset: 2, resultPosition: 2, engineState: pieces.flatMap { $0 })
        var outcomes: Set<UInt64> = []
        for step in 1...40 {
            let store = FaultStore()
            let checkpoints = CheckpointStore(path: "d/k", files: store)
            try checkpoints.save(old)
            store.fail(at: store.operations + step, once: false)
            let save = checkpoints.beginSave(queueOffset: 2, resultPosition: 2, engineState: pieces)
            var parts = 0
            do {
                while !(try save.goOn(byteCount: 100)) { parts += 1 }
                #expect(parts > 3)
                #expect(try CheckpointStore(path: "d/k", files: store.crashed(fate)).load() == new)
            } catch {}
            let found = try CheckpointStore(path: "d/k", files: store.crashed(fate)).load()
            #expect(found == old || found == new)
            outcomes.insert(found?.queueOffset ?? 0)
        }
        #expect(outcomes == [1, 2])
    }
}
