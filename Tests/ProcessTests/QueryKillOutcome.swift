import Foundation
import Glibc
import Testing

/// All that a hub's queries have put out, and what they counted.
struct QueryKillOutcome {
    /// By path below `results`.
    var files: [String: Data] = [:]
    /// By query and counter.
    var counters: [String: Int] = [:]

    /// A query that comes and goes, and counts for nothing.
    private static let passing = "passing"

    /// Waits until nothing is open, and no row is on its way.
    init(settled hub: HubProcess, seconds: Double = 240) throws {
        var seen = ""
        let isSettled = try poll(seconds: seconds) { () -> Bool? in
            let queries = try hub.array("/api/v1/queries")
            let rest = queries.compactMap { Self.rest($0) }
            seen = rest.joined(separator: "\n")
            return rest.isEmpty ? true : nil
        }
        #expect(isSettled != nil, "not settled: \(seen) \(hub.transcript)")
        for query in try hub.array("/api/v1/queries") {
            let name = query["name"] as? String ?? ""
            if name == Self.passing { continue }
            for (counter, value) in query["counters"] as? [String: Int] ?? [:] {
                counters["\(name) \(counter)"] = value
            }
            for sink in query["sinks"] as? [[String: Any]] ?? [] where sink["name"] as? String == "files" {
                for counter in ["offered", "delivered", "diverted"] {
                    counters["\(name) files \(counter)"] = sink[counter] as? Int
                }
            }
        }
        let status = try hub.status()
        for counter in ["stored", "duplicate"] { counters["hub " + counter] = status[counter] as? Int }
        let root = hub.data + "/results"
        let names = FileManager.default.enumerator(atPath: root)?.compactMap { $0 as? String } ?? []
        for name in names where name.hasSuffix(".jsonl") && !name.hasPrefix(Self.passing) {
            files[name] = try Data(contentsOf: URL(filePath: root + "/" + name))
        }
    }

    /// What keeps a query from being settled.
    private static func rest(_ query: [String: Any]) -> String? {
        let counters = query["counters"] as? [String: Int] ?? [:]
        let open = ["openWindows", "waitingRows", "joinedRows"].filter { counters[$0] != 0 }
        let sinks = (query["sinks"] as? [[String: Any]] ?? []).filter { $0["outbox"] as? Int != 0 }
        let state = query["state"] as? String ?? ""
        let backlog = query["backlogBytes"] as? Int ?? -1
        // Rows that the query has made and that no checkpoint covers are offered to nobody yet.
        var made = (counters["rowsEmitted"] ?? 0) + (counters["errors"] ?? 0)
        if (query["definition"] as? [String: Any])?["action"] as? String == "divert" {
            made += ["late", "early", "outOfOrder"].reduce(0) { $0 + (counters[$1] ?? 0) }
        }
        let files = (query["sinks"] as? [[String: Any]] ?? []).first { $0["name"] as? String == "files" }
        let offered = files?["offered"] as? Int ?? -1
        if open.isEmpty, sinks.isEmpty, state == "running", backlog == 0, offered >= made { return nil }
        return
            "\(query["name"] ?? ""): \(state), \(backlog) bytes, \(offered) of \(made) rows, \(open), \(sinks), \(query["why"] ?? "")"
    }

    /// The rows of an output, as they stand in its files.
    func rows(of query: String, _ output: String) -> [String] { rows(below: "\(query)/\(output)/") }

    func rows(below path: String) -> [String] {
        files.filter { $0.key.hasPrefix(path) }.sorted { $0.key < $1.key }.flatMap {
            String(decoding: $0.value, as: UTF8.self).split(separator: "\n").map(String.init)
        }
    }

    /// Compares two outcomes of the same log.
    static func compare(_ found: QueryKillOutcome, _ expected: QueryKillOutcome, _ what: String) {
        for name in Set(found.files.keys).union(expected.files.keys).sorted() {
            if found.files[name] == expected.files[name] { continue }
            func lines(_ outcome: QueryKillOutcome) -> [Substring] {
                String(decoding: outcome.files[name] ?? Data(), as: UTF8.self).split(separator: "\n")
            }
            let (left, right) = (lines(found), lines(expected))
            let at = zip(left, right).enumerated().first { $0.element.0 != $0.element.1 }
            Issue.record(
                """
                \(what): \(name): \(left.count) rows, \(right.count) when nothing was killed; first difference at \
                \(at?.offset ?? min(left.count, right.count)): \(at.map { "\($0.element)" } ?? "the end")
                """)
        }
        for name in Set(found.counters.keys).union(expected.counters.keys).sorted() {
            #expect(found.counters[name] == expected.counters[name], "\(what): \(name)")
        }
    }
}

extension HubProcess {
    /// Asks for something and does not wait for the answer.
    func begin(_ method: String, _ path: String, body: String = "") throws -> RawSocket {
        let socket = try RawSocket(port: httpPort)
        socket.send(
            Array(
                """
                \(method) \(path) HTTP/1.1\r\nHost: hub\r\nConnection: close\r\nContent-Length: \
                \(body.utf8.count)\r\n\r\n\(body)
                """.utf8))
        return socket
    }
}
