import DeviceQueue
import FileStoreKit
import Foundation
import PerpetualQuery
import Platform
import ReferenceFiles
import Telemetry
import Testing

@testable import Hub

@Suite("Queries joined with reference data that changes", .timeLimit(.minutes(2)))
struct ReferenceJoinTests {
    private static func sites(_ version: Int) -> [UInt8] {
        Array("id,name\n1,one-\(version)\n2,two-\(version)\n".utf8)
    }

    private enum Step {
        case append(Range<Int>)
        case change(Int)
        case turn
        case turnAndSave
    }

    private static let script: [Step] = [
        .append(0..<6), .turn, .change(2), .append(6..<9), .turnAndSave, .append(9..<12), .change(3),
        .append(12..<15), .turn, .change(4), .change(5), .append(15..<18), .turnAndSave, .append(18..<20),
    ]

    /// Rows as they must be: each reading with the names that were in force where it stands in the log.
    private static var expected: [(number: Int, name: String?)] {
        var version = 1
        var rows: [(Int, String?)] = []
        for step in script {
            switch step {
            case .change(let next): version = next
            case .append(let numbers):
                for number in numbers {
                    rows.append(
                        (number, number % 3 == 0 ? nil : (number % 3 == 1 ? "one-" : "two-") + "\(version)"))
                }
            default: break
            }
        }
        return rows
    }

    private func apply(_ step: Step, _ life: JoinLife) throws {
        switch step {
        case .append(let numbers): try life.append(numbers)
        case .change(let version):
            life.files[JoinLife.file] = Self.sites(version)
            life.look()
        case .turn: life.turn()
        case .turnAndSave:
            life.clock.nanoseconds += 20_000_000_000
            life.turn()
        }
    }

    private func version(before step: Int) -> Int {
        Self.script[..<step].reduce(1) { version, step in
            if case .change(let next) = step { next } else { version }
        }
    }

    /// Plays the script to its end, in as many lives as it takes.
    private func play(_ first: MemoryFileStore, _ mode: MemoryFileStore.CrashMode = .keep) throws -> JoinLife
    {
        var files = first
        let clock = HubLife.Clock()
        var life: JoinLife?
        var at = 0
        while true {
            files[JoinLife.file] = Self.sites(version(before: at))
            do {
                let current = try life ?? JoinLife(files, clock: clock)
                life = current
                while at < Self.script.count, !files.hasCrashed {
                    try apply(Self.script[at], current)
                    if !files.hasCrashed { at += 1 }
                }
                if !files.hasCrashed { current.turn(isStopping: true) }
                if !files.hasCrashed { return current }
            } catch {
                guard files.hasCrashed else { throw error }
            }
            life = nil
            files = files.afterCrash(mode, seed: UInt64(at))
            // A commit that failed in the middle is made again with the records that it lacks.
            clock.nanoseconds += 1_000_000_000
        }
    }

    private static func parts(_ line: String) -> (text: String, id: Substring) {
        let split = line.range(of: ",\"_rid\"")
        return (
            String(line[..<(split?.lowerBound ?? line.endIndex)]),
            line[(split?.lowerBound ?? line.endIndex)...]
        )
    }

    @Test("a reading is joined with the rows that were in force when it was stored")
    func place() throws {
        let life = try play(MemoryFileStore())
        let rows = Self.expected.map { row in
            "{\"n\":\(row.number),\"name\":" + (row.name.map { "\"\($0)\"" } ?? "null")
        }
        #expect(life.lines.map { Self.parts($0).text } == rows)
        #expect(Set(life.lines.map { Self.parts($0).id }).count == rows.count)
        // 4 was never in force for a reading.
        let history = try #require(life.service.shelf.history("SITES"))
        #expect(history.entries.count == 4)
    }

    @Test("crashed at any call of the disk it gives the same rows with the same ids")
    func crashes() throws {
        let whole = try play(MemoryFileStore())
        let modes = MemoryFileStore.CrashMode.allCases
        var call = 1
        while true {
            let files = MemoryFileStore()
            files.crashAt = call
            let life = try play(files, modes[call % modes.count])
            #expect(life.lines == whole.lines, "crashed at call \(call), \(modes[call % modes.count])")
            if !files.hasCrashed { break }
            call += 1
        }
        #expect(call > 100)
    }

    @Test("computed again from the beginning, or by a query that begins there, it gives the same rows")
    func again() throws {
        let life = try play(MemoryFileStore())
        let lines = life.lines
        var other = QueryDefinition(name: "late", text: JoinLife.text)
        other.start = .earliest
        _ = try life.fleet.put(other, isReset: false, isTrial: false, at: life.place)
        for _ in 0..<5 { life.turn() }
        life.turn(isStopping: true)
        let late = String(decoding: life.files["/data/results/late/o/o.jsonl"], as: UTF8.self).split(
            separator: "\n")
        #expect(late.map { Self.parts(String($0)).text } == lines.map { Self.parts($0).text })
        for path in try life.files.list("/data/query/join") where path != "definition" {
            try life.files.remove("/data/query/join/" + path)
        }
        for path in try life.files.list("/data/query/join/outbox") {
            try life.files.remove("/data/query/join/outbox/" + path)
        }
        try life.files.remove(JoinLife.results)
        life.files.restartProcess()
        let second = try JoinLife(life.files, clock: life.clock)
        // It is behind the other one.
        for _ in 0..<5 { second.turn() }
        second.turn(isStopping: true)
        #expect(second.lines == lines)
    }

    @Test("a file that is wrong leaves the rows in force, and is told with its place")
    func broken() throws {
        let files = MemoryFileStore()
        files[JoinLife.file] = Self.sites(1)
        let text = "CREATE TABLE sites (id bigint, name nvarchar(max)); " + JoinLife.text
        let life = try JoinLife(files, clock: HubLife.Clock(), text: text)
        #expect(life.service.warnings == [])
        for (bytes, message) in [
            ("id,name\n1,a\n2\n", "/sites.csv:3:1: 1 fields, and the header has 2"),
            ("id,name\n1,a\nx,b\n", "/sites.csv:3: id is \"x\", which is no bigint"),
            ("", "/sites.csv:1:1: there is no header"),
        ] {
            files[JoinLife.file] = Array(bytes.utf8)
            life.look()
            #expect(life.service.warnings.first?.contains(message) == true, "\(life.service.warnings)")
        }
        try files.remove(JoinLife.file)
        life.look()
        #expect(life.service.warnings.first?.contains("cannot open") == true)
        try life.append(0..<3)
        life.turn(isStopping: true)
        #expect(life.lines.last?.contains("two-1") == true)
        files[JoinLife.file] = Self.sites(2)
        life.look()
        #expect(life.service.warnings == [])
        #expect(life.service.statuses[0].failures == 4)
        try life.append(3..<6)
        life.turn(isStopping: true)
        #expect(life.lines.last?.contains("two-2") == true)
        // With a history it starts without the file.
        try files.remove(JoinLife.file)
        files.restartProcess()
        let second = try JoinLife(files, clock: life.clock, text: text)
        #expect(second.service.warnings.count == 1)
        try second.append(6..<9)
        second.turn(isStopping: true)
        #expect(second.lines.last?.contains("two-2") == true)
    }

    @Test("what no query can come to again is removed; what one needs is not")
    func trimmed() throws {
        let files = MemoryFileStore()
        var limits = ReferenceHistory.Limits()
        limits.keptVersions = 2
        limits.versionsMax = 4
        let history = try ReferenceHistory(
            name: "s", data: "/data", files: files, logIdentity: 1, durableEnd: 0, limits: limits,
            log: { _ in })
        let reader = ReferenceReader(files: files)
        func adopt(_ version: Int, needed: UInt64) throws {
            files["/s.csv"] = Self.sites(version)
            try history.adopt(
                try reader.read(ReferenceSource(name: "s", location: "/s.csv")), at: UInt64(version) * 100,
                loadedTicks: 0, needed: needed, first: 0)
        }
        for version in 0..<3 { try adopt(version, needed: .max) }
        #expect(history.entries.map(\.offset) == [100, 200])
        for version in 3..<5 { try adopt(version, needed: 150) }
        #expect(history.entries.map(\.offset) == [100, 200, 300, 400])
        #expect(throws: ReferenceError.self) { try adopt(5, needed: 150) }
        #expect(history.entry(at: 0)?.offset == 100)
        #expect(history.entry(at: 299)?.offset == 200)
        #expect(history.next(after: 299) == 300)
        try adopt(6, needed: 450)
        #expect(history.entries.map(\.offset) == [400, 600])
        #expect(try files.list("/data/references/s").count == 3)
        // What comes back is what was there, and another log's is not.
        let second = try ReferenceHistory(
            name: "S", data: "/data", files: files, logIdentity: 1, durableEnd: 500, log: { _ in })
        #expect(second.entries.map(\.offset) == [400, 500])
        for entry in second.entries { #expect(try second.data(of: entry.hash).rowCount == 2) }
        let other = try ReferenceHistory(
            name: "s", data: "/data", files: files, logIdentity: 2, durableEnd: 500, log: { _ in })
        #expect(other.entries == [])
    }

    @Test("the files of a history have the documented bytes")
    func golden() throws {
        let files = MemoryFileStore()
        files["/s.csv"] = Array("id\n7\n".utf8)
        let history = try ReferenceHistory(
            name: "s", data: "/data", files: files, logIdentity: 0x0102, durableEnd: 0, log: { _ in })
        let contents = try ReferenceReader(files: files).read(ReferenceSource(name: "s", location: "/s.csv"))
        try history.adopt(contents, at: 0, loadedTicks: 5, needed: 0, first: 0)
        // Of `printf 'HEDREFER\x01\x00\x01\x00{"id":"7"}\n' | sha256sum`.
        let hash = "6a67319325cea24712613a8707ca12271c35736e283c50fac93c028c44359f35"
        #expect(contents.hash.description == hash)
        let rows = files["/data/references/s/\(contents.hash).rows"]
        #expect(rows == Array("HEDREFER".utf8) + [1, 0, 1, 0] + Array("{\"id\":\"7\"}\n".utf8))
        let head: [UInt8] =
            Array("HEDREFHI".utf8) + [1, 0, 0, 0] + [2, 1, 0, 0, 0, 0, 0, 0] + [1, 0, 0, 0]
            + [UInt8](repeating: 0, count: 8) + [5, 0, 0, 0, 0, 0, 0, 0] + [1, 0, 0, 0, 0, 0, 0, 0]
            + [11, 0, 0, 0, 0, 0, 0, 0] + contents.hash.bytes
        #expect(files["/data/references/s/history"].dropLast(4) == head[...])
        // A byte that is wrong is told of.
        files["/data/references/s/\(contents.hash).rows"] = rows.dropLast() + [0x20]
        let second = try ReferenceHistory(
            name: "s", data: "/data", files: files, logIdentity: 0x0102, durableEnd: 0, log: { _ in })
        #expect(throws: ReferenceError.self) { try second.data(of: contents.hash) }
    }
}
