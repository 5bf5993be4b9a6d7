import Foundation
import Glibc
import Testing

@Suite("Hub, fleet and proof in one", .ownThread, .timeLimit(.minutes(2)))
struct RunTests {
    private static let devices = """
        count: 5
        every: 200ms
        sensors:
          level:
            walk: { start: 10, step: 0.5 }
          pulses:
            counter: { start: 0, step: 1 }
        faults:
          - duplicate: 5%
          - out_of_order: { rate: 3%, by: 500ms..1s }
          - malformed: 1%

        """

    @Test("A run proves itself, and the proof fails once the answer key or the log is tampered with")
    func runAndTamper() throws {
        let folder = try TemporaryDirectory()
        try folder.write("devices/tank.yaml", Self.devices)
        let data = folder.path + "/data"
        let program = try ChildProcess(
            Programs.headend,
            [
                "run", folder.path + "/devices", "--for", "8s", "--data", data, "--mqtt", "127.0.0.1:0",
                "--http", "127.0.0.1:0", "--answer-key", folder.path + "/truth.jsonl",
            ], directory: folder.path, label: "run")
        // As for serve, SIGHUP is a wish and no end.
        #expect(poll(seconds: 20) { program.output.contains("fleet:") ? true : nil } == true)
        program.signal(SIGHUP)
        let isRead = poll(seconds: 6) { program.errorOutput.contains("rules: read again") ? true : nil }
        #expect(isRead == true, "\(program.transcript)")
        let status = try program.wait(seconds: 60)
        #expect(status == 0, "\(program.transcript)")
        #expect(program.output.contains("verdict: PASS"), "\(program.transcript)")
        #expect(try verify(folder, data).status == 0)

        let truth = try String(contentsOfFile: folder.path + "/truth.jsonl", encoding: .utf8)
        let lines = truth.split(separator: "\n")
        #expect(lines.count > 100, "5 devices, 8 s, every 200 ms: \(lines.count) lines")
        let once = try #require(
            lines.first { $0.contains(#""once""#) }, "no reading is due once: \(lines[0])")
        let value = try #require(try JSONSerialization.jsonObject(with: Data(once.utf8)) as? [String: Any])
        let id = try #require((value["messageId"] ?? value["id"]) as? String, "no id in \(once)")

        // A reading that was never sent.
        let invented = once.replacingOccurrences(of: "\"\(id)\"", with: "\"\(id)-invented\"")
        try folder.write("truth.jsonl", truth + invented + "\n")
        let lost = try verify(folder, data)
        #expect(lost.status == 1 && lost.output.contains("verdict: FAIL"), "\(lost.transcript)")
        #expect(lost.output.contains("\(id)-invented"), "the first example: \(lost.transcript)")

        // A key that does not know a reading that is stored is no failure; a lost log is.
        try folder.write("truth.jsonl", truth)
        #expect(try verify(folder, data).status == 0)
        try FileManager.default.removeItem(atPath: data + "/queue/0")
        #expect(try verify(folder, data).status != 0)
    }

    private func verify(_ folder: TemporaryDirectory, _ data: String) throws -> Ended {
        try run(Programs.headend, ["verify", "--answer-key", folder.path + "/truth.jsonl", "--data", data])
    }
}
