import Foundation
import Testing

/// `scripts/bench-queries` with a small input and without peers: its own parts, and that its verdict can be "wrong".
@Suite("The comparison of queries", .ownThread, .timeLimit(.minutes(3)))
struct BenchQueriesTests {
    private static let shell = "/bin/bash"
    private static let python = "/usr/bin/python3"

    private func run(_ directory: TemporaryDirectory, _ words: [String]) throws -> (Int32, ChildProcess) {
        let script = Programs.repository.appending(path: "scripts/bench-queries").path
        let child = try ChildProcess(
            Self.shell,
            [script, "--headend", Programs.headend, "--data", directory.path + "/work", "--limit", "60"]
                + words,
            directory: directory.path, label: "bench")
        return (try child.wait(seconds: 90), child)
    }

    @Test("headend and the hub find every window of generated telemetry, and each run says what it took")
    func generated() throws {
        guard Programs.areInstalled(Self.shell, Self.python) else { return }
        let directory = try TemporaryDirectory()
        let runs = directory.path + "/runs.jsonl"
        let (status, child) = try run(
            directory,
            [
                "--records", "20000", "--devices", "400", "--minutes", "30", "--pairs", "1", "--peer", "none",
                "--hub", "--json", runs,
            ])
        #expect(status == 0, "\(child.transcript)")
        let lines = try String(contentsOfFile: runs, encoding: .utf8).split(separator: "\n").map {
            try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
        try #require(lines.map { $0["engine"] as? String } == ["headend-unsaved", "headend", "hub"])
        for line in lines {
            #expect(line["windowsWrong"] as? Int == 0)
            for number in ["recordsPerSecond", "cpuSeconds", "peakBytes"] {
                #expect((line[number] as? NSNumber)?.doubleValue ?? 0 > 0, "\(number)")
            }
        }
        // Below 400 × 30: not every device has a reading in every minute.
        #expect((8_000...12_000).contains(lines[0]["windows"] as? Int ?? 0))
        // One in ten is a redelivery; the last message only moves time on.
        #expect(lines[2]["records"] as? Int == 20_001)
        #expect(lines[2]["stored"] as? Int == 18_001)
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path + "/work").isEmpty)
    }

    @Test(
        "given lines are read by themselves: what is expected of them must agree, and a peer that is missing is named"
    )
    func given() throws {
        guard Programs.areInstalled(Self.shell, Self.python) else { return }
        let directory = try TemporaryDirectory()
        func line(_ id: Int, _ second: String, _ value: String) -> String {
            "{\"deviceId\":\"a\",\"messageId\":\"\(id)\",\"ts\":\"2026-03-01T12:\(second)Z\",\"value\":\(value)}\n"
        }
        let input = try directory.write(
            "in.jsonl",
            // 12:01:00 belongs to the minute that ends then; the second delivery of 2 does not count.
            line(1, "00:30.5", "1.25") + line(2, "01:00", "-3") + line(2, "01:00", "9")
                + line(3, "01:00.001", "4"))
        let head = "device,window_start,count,min,max,sum,avg\n"
        let right =
            "a,2026-03-01T12:00:00Z,2,-3.00,1.25,-1.75,-0.875\na,2026-03-01T12:01:00Z,1,4.00,4.00,4.00,4\n"
        let expected = try directory.write("expected.csv", head + right)
        let without = try directory.write("no-peers", "#!/bin/bash\nexit 1\n")
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: without)
        let options = [
            "--input", input, "--pairs", "1", "--peer", "duckdb", "--python", without, "--expected",
        ]
        let (status, child) = try run(directory, options + [expected])
        #expect(status == 0, "\(child.transcript)")
        #expect(child.output.contains("| 0 of 2 |"), "\(child.transcript)")
        #expect(child.output.contains("needs duckdb (pip install duckdb"), "\(child.transcript)")
        for (from, to) in [("-1.75", "-1.74"), ("12:01:00Z", "12:02:00Z"), ("a,", "b,")] {
            let text = right.replacingOccurrences(of: from, with: to)
            let other = try directory.write("other.csv", head + text)
            let (status, child) = try run(directory, options + [other])
            #expect(status == 3, "\(child.transcript)")
            #expect(child.errorOutput.contains("other.csv is not what stands in"), "\(child.transcript)")
        }
        #expect(try run(directory, ["--records", "0"]).0 == 2)
        #expect(try run(directory, ["--peer", "oracle", "--records", "10"]).0 == 2)
    }
}
