import FileStoreKit
import Platform
import Telemetry
import Testing

@testable import ConsumerGroups

private let directory = "/data/groups"
private let path = directory + "/billing.group"

private func state(_ number: UInt64, ahead: Int = 0) -> GroupState {
    GroupState(
        cursor: QueueOffset(number * 8), recordsBefore: number, missed: 3, lastCommitTicks: Int64(number),
        ahead: (0..<ahead).map { CommittedDevice(device: UInt32($0) + 1, sequence: number) })
}

@Suite("Group file")
struct GroupFileTests {
    @Test("a group is read as it was written, each kind of device filter and start")
    func roundTrip() throws {
        let filters: [DeviceFilter] = [.all, .names(["a", "müller"]), .pattern("pump-*")]
        let starts: [GroupStart] = [
            .earliest, .latest, .time(EventTime(ticks: -5)), .sequence(.max),
        ]
        for devices in filters {
            for start in starts {
                let files = MemoryFileStore()
                let group = definition(devices: devices, start: start, mustNotMiss: true)
                let file = try GroupFile.create(group, state: state(1), directory: directory, files: files)
                try file.save(state(2, ahead: 3))
                let loaded = try GroupFile.load(path: path, files: files)
                #expect(loaded.file.definition == group)
                #expect(loaded.state == state(2, ahead: 3))
            }
        }
    }

    @Test("commits are one write and one sync, and a full file is replaced")
    func growth() throws {
        let files = MemoryFileStore()
        let file = try GroupFile.create(definition(), state: state(1), directory: directory, files: files)
        let before = files.operations
        try file.save(state(2))
        #expect(files.operations == before + 2)
        for number in 3...5_000 { try file.save(state(UInt64(number), ahead: number % 40)) }
        #expect(try GroupFile.load(path: path, files: files).state == state(5_000))
        #expect(files[path].count < 256 << 10)
        // One that is larger than the file has room.
        try file.save(state(5_001, ahead: 10_000))
        #expect(try GroupFile.load(path: path, files: files).state == state(5_001, ahead: 10_000))
    }

    @Test("the bytes on disk are those of the format's table")
    func golden() throws {
        let files = MemoryFileStore()
        let group = definition("g", devices: .pattern("p*"), start: .sequence(9), mustNotMiss: true)
        _ = try GroupFile.create(group, state: state(5, ahead: 1), directory: directory, files: files)
        let bytes = files[directory + "/g.group"]
        #expect(bytes.count == 64 << 10)
        let used = bytes.lastIndex { $0 != 0 }.map { ($0 + 8) & ~7 } ?? 0
        let text = bytes[..<used].map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        #expect(text == Self.goldenText)
    }

    private static let goldenText =
        "48454447524f55500100000086972fa8380000004726245d01000000000000000700000000000000"
        + "e803000000000000010203000100000009000000000000000100670200702a0050000000a7297a80"
        + "02000000000000000100000000000000280000000000000005000000000000000300000000000000"
        + "0500000000000000010000000000000001000000000000000500000000000000"

    @Test("a damaged file is refused with its path, a newer one by its version")
    func damage() throws {
        let files = MemoryFileStore()
        _ = try GroupFile.create(definition(), state: state(1), directory: directory, files: files)
        let whole = files[path]
        let used = try #require(whole.lastIndex { $0 != 0 }) + 1
        for at in 0..<used {
            files[path][at] ^= 0x40
            do {
                let loaded = try GroupFile.load(path: path, files: files)
                Issue.record("byte \(at) changed, read as \(loaded.state)")
            } catch {
                #expect(error.description.contains(path), "byte \(at)")
            }
            files[path] = whole
        }
        files[path][8] = 2
        #expect(throws: GroupFileError.newerFormat(path: path, version: 2)) {
            try GroupFile.load(path: path, files: files)
        }
        files[path] = []
        #expect(throws: GroupFileError.damaged(path: path)) { try GroupFile.load(path: path, files: files) }
    }

    @Test("one damaged state in the middle loses nothing that came later")
    func damagedMiddle() throws {
        let files = MemoryFileStore()
        let file = try GroupFile.create(definition(), state: state(1), directory: directory, files: files)
        try file.save(state(2))
        let end = try #require(files[path].lastIndex { $0 != 0 })
        try file.save(state(3))
        files[path][end] ^= 1
        #expect(try GroupFile.load(path: path, files: files).state == state(3))
    }

    @Test(
        "a crash at any call leaves the state of the last save that returned, or the one under way",
        arguments: MemoryFileStore.CrashMode.allCases)
    fileprivate func crashes(mode: MemoryFileStore.CrashMode) throws {
        var at = 1
        var isDone = false
        while !isDone {
            let files = MemoryFileStore()
            files.crashAt = at
            var returned: UInt64 = 0
            var begun: UInt64 = 1
            do {
                let file = try GroupFile.create(
                    definition(), state: state(1), directory: directory, files: files)
                returned = 1
                // Large enough that the file is replaced twice on the way.
                for number in 2...24 as ClosedRange<UInt64> {
                    begun = number
                    try file.save(state(number, ahead: 400))
                    returned = number
                }
                isDone = true
            } catch { #expect(files.hasCrashed) }
            let after = files.afterCrash(mode, seed: UInt64(at))
            try check(after, returned, begun, at)
            at += 1
        }
        #expect(at > 50)
    }

    private func check(_ files: MemoryFileStore, _ returned: UInt64, _ begun: UInt64, _ at: Int) throws {
        guard returned > 0 || files.exists(path) else { return }
        guard returned > 0 else {
            // The first save was under way: the file is whole or of no use, and nobody was told of the group.
            if let loaded = try? GroupFile.load(path: path, files: files) {
                #expect(loaded.state.recordsBefore == 1)
            }
            return
        }
        let loaded = try GroupFile.load(path: path, files: files)
        #expect(
            (returned...begun).contains(loaded.state.recordsBefore),
            "call \(at): \(loaded.state.recordsBefore), not \(returned) to \(begun)")
        // It goes on from there.
        try loaded.file.save(state(100))
        #expect(try GroupFile.load(path: path, files: files).state == state(100))
    }

    @Test("after a failed sync or a full disk the next save writes a new file")
    func failures() throws {
        let files = MemoryFileStore()
        let file = try GroupFile.create(definition(), state: state(1), directory: directory, files: files)
        files.failsSync = true
        #expect(throws: GroupFileError.self) { try file.save(state(2)) }
        files.failsSync = false
        files.capacity = 70 << 10
        #expect(throws: GroupFileError.self) { try file.save(state(3)) }
        files.capacity = .max
        try file.save(state(4))
        #expect(
            try GroupFile.load(path: path, files: files.afterCrash(.drop, seed: 1)).state == state(4))
        try file.remove()
        #expect(!files.exists(path))
    }
}
