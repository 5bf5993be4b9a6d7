import Foundation
import Testing

/// Rules about the source itself that no compiler checks.
@Suite("Tidy")
struct TidyTests {
    private static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private struct SourceFile {
        var path: String
        var target: String
        var lines: [Substring]
    }

    private static func swiftFiles(in folder: String) throws -> [SourceFile] {
        let base = root.appending(path: folder)
        let walker = try #require(FileManager.default.enumerator(atPath: base.path))
        var files: [SourceFile] = []
        for case let name as String in walker where name.hasSuffix(".swift") {
            let text = try String(contentsOf: base.appending(path: name), encoding: .utf8)
            files.append(
                SourceFile(
                    path: folder + "/" + name, target: String(name.prefix { $0 != "/" }),
                    lines: text.split(separator: "\n", omittingEmptySubsequences: false)))
        }
        #expect(!files.isEmpty, "nothing was found in \(folder)")
        return files.sorted { $0.path < $1.path }
    }

    /// What each target may import of the project: downward only, and no stage the next one.
    private static let mayImport: [String: Set<String>] = [
        "Telemetry": [], "Platform": ["CPlatform"], "Transport": ["CEpoll", "CPlatform", "Platform"],
        "MQTTWire": [], "MQTTBroker": ["MQTTWire"], "Access": [],
        "DeviceQueue": ["CChecksum", "CZstd", "Telemetry", "Platform"],
        "BrokerJournal": ["CChecksum", "Platform"],
        "ConsumerGroups": ["CChecksum", "Telemetry", "Platform"],
        "PerpetualQuery": ["CChecksum", "CPCRE2", "CPrefetch", "QueryLanguage", "Telemetry"],
        "ReferenceFiles": ["CSQLite", "PerpetualQuery", "Telemetry", "Platform"],
        "MosquittoClient": ["CMosquitto", "CEpoll", "Platform"],
        "ResultSink": ["CChecksum", "Telemetry", "Platform", "MosquittoClient"],
        "Bridge": ["CChecksum", "MQTTWire", "Platform"],
        "Fleet": ["Telemetry", "Platform", "MosquittoClient"], "Verify": ["Telemetry", "Platform"],
        "Load": ["CEpoll", "MQTTWire", "Platform"], "QueryLanguage": ["Telemetry"],
        "QueryReplay": [
            "CChecksum", "QueryLanguage", "PerpetualQuery", "ReferenceFiles", "ResultSink", "Telemetry",
            "Platform",
        ],
        "QueryExport": ["QueryLanguage"],
        "Hub": [
            "Telemetry", "Platform", "Transport", "MQTTWire", "MQTTBroker", "Access", "DeviceQueue",
            "BrokerJournal", "ConsumerGroups", "QueryLanguage", "PerpetualQuery", "ResultSink",
            "MosquittoClient", "ReferenceFiles",
            "Bridge",
        ],
        "SimulationKit": [
            "Hub", "DeviceQueue", "PerpetualQuery", "ResultSink", "MQTTWire", "Telemetry", "Platform",
        ],
        "headend": [
            "Hub", "SimulationKit", "Fleet", "Load", "Verify", "QueryLanguage", "PerpetualQuery",
            "QueryReplay", "QueryExport", "ReferenceFiles", "MQTTWire", "Access", "DeviceQueue", "Telemetry",
            "Platform",
            "MosquittoClient",
        ],
    ]

    @Test("imports go downward only: no stage knows the next")
    func layering() throws {
        let ours = Set(Self.mayImport.keys).union([
            "CChecksum", "CPlatform", "CPrefetch", "CMosquitto", "CEpoll", "CZstd", "CSQLite", "CPCRE2",
        ])
        var violations: [String] = []
        for file in try Self.swiftFiles(in: "Sources") {
            let allowed = try #require(Self.mayImport[file.target], "\(file.target) has no rule here")
            for line in file.lines {
                let words = line.split(separator: " ")
                guard let at = words.firstIndex(of: "import"), at <= 1, at + 1 < words.count else { continue }
                let module = String(words[at + 1])
                if ours.contains(module), !allowed.contains(module) {
                    violations.append("\(file.path) imports \(module)")
                }
            }
        }
        #expect(violations == [])
    }

    @Test("no try!, no as!, no fatalError, no unfinished notes in the sources")
    func noTraps() throws {
        let banned = [
            "try" + "!", "as" + "! ", "fatal" + "Error(", "TO" + "DO", "FIX" + "ME", "print" + "(\"",
        ]
        var found: [String] = []
        for file in try Self.swiftFiles(in: "Sources") {
            for (number, line) in file.lines.enumerated() {
                for word in banned where line.contains(word) && !line.contains("///") {
                    found.append("\(file.path):\(number + 1): \(word)")
                }
            }
        }
        #expect(found == [])
    }

    @Test("time, randomness and the file system have one door")
    func doors() throws {
        let banned = ["Date" + "()", "UUID" + "()", "Task" + ".sleep", "FileManager" + "."]
        let exempt: Set<String> = ["Platform", "Fleet", "headend"]
        var found: [String] = []
        for file in try Self.swiftFiles(in: "Sources") where !exempt.contains(file.target) {
            for (number, line) in file.lines.enumerated() {
                for word in banned where line.contains(word) {
                    found.append("\(file.path):\(number + 1): \(word)")
                }
            }
        }
        #expect(found == [])
    }

    @Test("files stay readable: 450 lines at most, and 120 columns in Sources")
    func sizes() throws {
        var found: [String] = []
        for file in try Self.swiftFiles(in: "Sources") {
            if file.lines.count > 450 { found.append("\(file.path) has \(file.lines.count) lines") }
            for (number, line) in file.lines.enumerated() where line.count > 120 {
                found.append("\(file.path):\(number + 1) has \(line.count) columns")
            }
        }
        for file in try Self.swiftFiles(in: "Tests") where file.lines.count > 450 {
            found.append("\(file.path) has \(file.lines.count) lines")
        }
        #expect(found == [])
    }

    @Test("every unchecked Sendable says what guards it")
    func guards() throws {
        let word = "@unchecked " + "Sendable"
        var found: [String] = []
        for file in try Self.swiftFiles(in: "Sources") {
            for (number, line) in file.lines.enumerated()
            where line.contains(word) && !line.trimmingCharacters(in: .whitespaces).hasPrefix("//") {
                let before = file.lines[max(0, number - 12)...number].joined(separator: "\n").lowercased()
                let words = ["confined", "guard", "thread", "lock", "touched", "handed"]
                if !words.contains(where: before.contains) { found.append("\(file.path):\(number + 1)") }
            }
        }
        #expect(found == [])
    }
}
