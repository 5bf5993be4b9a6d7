import Foundation
import Glibc
import Testing

/// What compression takes from live ingest, by the kernel's accounts and not by the clock on the wall, which other work
/// on the machine moves.
@Suite("The cost of compression", .ownThread, .timeLimit(.minutes(2)))
struct CompressionCostTests {
    /// A thread of the hub, from `/proc/PID/task/TID/stat`.
    private struct ThreadAccount {
        var name: String
        var processorSeconds: Double
        var niceness: Int
    }

    private func threads(of process: pid_t) throws -> [ThreadAccount] {
        let folder = "/proc/\(process)/task"
        let ticksPerSecond = Double(sysconf(Int32(_SC_CLK_TCK)))
        return try FileManager.default.contentsOfDirectory(atPath: folder).sorted().compactMap { thread in
            // A thread may end meanwhile.
            guard let text = try? String(contentsOfFile: "\(folder)/\(thread)/stat", encoding: .utf8),
                let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")")
            else { return nil }
            // From the third field of proc(5) on: 14 and 15 are user and system time, 19 is the niceness.
            let fields = text[close...].split(separator: " ").dropFirst()
            let field = { (number: Int) in fields[fields.startIndex + number - 3] }
            let user = try #require(Double(field(14)))
            let system = try #require(Double(field(15)))
            return ThreadAccount(
                name: String(text[text.index(after: open)..<close]),
                processorSeconds: (user + system) / ticksPerSecond, niceness: try #require(Int(field(19))))
        }
    }

    @Test("compression yields to everybody and takes less than a twentieth of two processors")
    func share() throws {
        // The smallest segments, and all but the newest log is compressed at once: as much work as there can be.
        let hub = try HubProcess(configuration: "queue: { segment_bytes: 18874368, plain_bytes: 0 }\n")
        let start = monotonicSeconds()
        let load = try run(
            Programs.headend,
            ["load", "--hub", "mqtt://127.0.0.1:\(hub.mqttPort)", "--devices", "50", "--for", "6s"],
            seconds: 60)
        #expect(load.status == 0, "\(load.transcript)")
        let accounts = try threads(of: hub.processIdentifier)
        let elapsed = monotonicSeconds() - start
        let compression = try #require(accounts.first { $0.name == "headend-compres" }, "\(accounts)")
        let names = try FileManager.default.contentsOfDirectory(atPath: hub.data + "/queue/0")
        let compressed = names.filter { $0.hasSuffix(".logz") }.count
        #expect(
            compressed > 0 || compression.processorSeconds > 0, "nothing was compressed: \(names.sorted())")
        #expect(compression.niceness >= 10, "it competes with the others")
        // It rests nine times as long as it worked, whatever the machine does: a tenth of one processor at the most.
        // A tick of the kernel's accounts is 10 ms.
        #expect(
            compression.processorSeconds < elapsed * 2 * 0.05 + 0.02,
            "\(compression.processorSeconds) s for \(compressed) segments in \(elapsed) s")
    }
}
