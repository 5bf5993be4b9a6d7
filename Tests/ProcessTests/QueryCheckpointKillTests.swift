import Foundation
import Glibc
import Testing

/// `headend query run --checkpoint`, killed for real.
@Suite("Runs over files that are killed", .ownThread, .timeLimit(.minutes(2)))
struct QueryCheckpointKillTests {
    private static let query = """
        SELECT k, COUNT(*) AS n, SUM(v) AS s, System.Timestamp() AS t INTO minutes
        FROM i TIMESTAMP BY t GROUP BY k, TumblingWindow(minute, 1);
        SELECT id, v INTO plain FROM i TIMESTAMP BY t WHERE v > 90
        """

    /// 300,000 lines, each tenth twice.
    private static let program = """
        BEGIN { for (i = 0; i < 272727; i++) for (j = i % 10 ? 1 : 0; j < 2; j++)
            printf "{\\"id\\":\\"%d\\",\\"t\\":\\"2026-01-01T%02d:%02d:%02d.%03dZ\\",\\"k\\":\\"d%d\\",\\"v\\":%d.%02d}\\n",
                i, i / 360000, i / 6000 % 60, i / 100 % 60, i % 100 * 10, i * 7919 % 500, i * 31 % 100, i % 97 }
        """

    @Test("kill -9 at random moments, twice: the files are those of a run that was not killed")
    func killed() throws {
        let awk = "/usr/bin/awk"
        guard Programs.areInstalled(awk) else { return }
        let folder = try TemporaryDirectory()
        let made = try ChildProcess(awk, [Self.program], directory: folder.path, label: "events")
        #expect(try made.wait(seconds: 30) == 0, "\(made.errorOutput)")
        let query = try folder.write("q.sql", Self.query)
        func arguments(_ name: String) -> [String] {
            [
                "query", "run", query, "--input", folder.path + "/events.out", "--dedup", "id",
                "--output", "minutes=\(folder.path)/\(name).jsonl", "--output",
                "plain=\(folder.path)/\(name).csv",
            ]
        }
        let straight = try run(Programs.headend, arguments("straight"))
        #expect(straight.status == 0 && straight.error.hasPrefix("300000 events, "), "\(straight.transcript)")

        let checkpoint = folder.path + "/checkpoint"
        let saved = arguments("cut") + ["--checkpoint", checkpoint, "--checkpoint-every", "1ms"]
        var kills = 0
        var last = ""
        // A run may end before it is killed: then all begins anew.
        for _ in 0..<40 where kills < 2 {
            let child = try ChildProcess(Programs.headend, saved, directory: folder.path, label: "cut")
            let before = kills == 0 ? nil : Self.identity(checkpoint)
            // Once it has saved more than what it goes on from.
            _ = poll(seconds: 20) {
                child.exitStatus != nil || Self.identity(checkpoint) ?? before != before ? true : nil
            }
            Glibc.poll(nil, 0, Int32.random(in: 0..<20))
            child.kill()
            if child.exitStatus == -SIGKILL, Self.identity(checkpoint) != nil {
                kills += 1
                last = child.errorOutput
            } else {
                kills = 0
            }
        }
        #expect(kills == 2)
        #expect(last.contains("note: goes on from \(checkpoint), "), "the second run: \(last)")

        // What does not belong is refused, and nothing is lost by it.
        let other = try run(Programs.headend, saved + ["--late", "1m"])
        #expect(other.status == 2, "\(other.transcript)")
        #expect(other.error.contains("was made with --late 5s, and now it is 60s"), "\(other.transcript)")
        let output = try run(
            Programs.headend,
            [
                "query", "run", query, "--input", folder.path + "/events.out", "--output", "plain=-",
                "--checkpoint", checkpoint,
            ])
        #expect(output.status == 2 && output.error.contains("standard output"), "\(output.transcript)")

        let ended = try run(Programs.headend, saved)
        #expect(ended.status == 0, "\(ended.transcript)")
        #expect(ended.error.hasPrefix("note: goes on from \(checkpoint), "), "\(ended.transcript)")
        #expect(ended.error.hasSuffix(straight.error), "\(ended.transcript)")
        for ending in ["jsonl", "csv"] {
            let cut = try Data(contentsOf: URL(filePath: "\(folder.path)/cut.\(ending)"))
            let whole = try Data(contentsOf: URL(filePath: "\(folder.path)/straight.\(ending)"))
            let isSame = cut == whole
            #expect(isSame, "\(ending): \(cut.count) bytes, and \(whole.count) without a kill")
            #expect(whole.count > 100_000)
        }
        #expect(!FileManager.default.fileExists(atPath: checkpoint))
    }

    /// Tells a checkpoint from the one before.
    private static func identity(_ path: String) -> UInt64? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return UInt64(status.st_ino) &* 31 &+ UInt64(status.st_mtim.tv_sec) &* 1_000_000_000
            &+ UInt64(status.st_mtim.tv_nsec)
    }
}
