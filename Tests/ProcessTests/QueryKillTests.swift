import Foundation
import Glibc
import Testing

/// `scripts/kill-replay` runs these with more kills: `HEADEND_KILLS`, `HEADEND_KILL_SEED`.
@Suite("Queries of a hub that is killed", .ownThread, .timeLimit(.minutes(30)))
struct QueryKillTests {
    private static let environment = ProcessInfo.processInfo.environment
    private static let kills = environment["HEADEND_KILLS"].flatMap(Int.init) ?? 4
    /// With many kills the query that ships with the hub runs as well; its minutes take longer than few kills do.
    private static let hasMinute = kills >= 20

    @Test("Every output and counter is that of a run without kills, live and when the log is read again")
    func killed() throws {
        let seed = Self.environment["HEADEND_KILL_SEED"].flatMap(UInt64.init) ?? .random(in: 1...9_999)
        print("queries killed: HEADEND_KILL_SEED=\(seed) HEADEND_KILLS=\(Self.kills)")
        var random = SeededGenerator(state: seed)
        guard Programs.areInstalled(Programs.broker) else { return }
        let other = try UpstreamBroker()
        let arrived = try QueryKillWitness(port: other.port, filter: "#", identifier: "arrived")
        let live = try HubProcess(configuration: configuration(other, "live"))
        let witness = try QueryKillWitness(port: live.mqttPort, filter: "#")
        let feed = try QueryKillFeed(port: live.mqttPort, seed: seed, eventsPerTurn: 20)
        try killLive(live, kills: Self.kills / 2, other, &random)
        let sent = try feed.drained()
        for query in QueryKillQueries.all {
            _ = try live.request("POST", "/api/v1/queries/\(query.name)/resume")
        }
        try putExtra(live)
        let found = try QueryKillOutcome(settled: live)
        #expect(found.counters["hub stored"] == sent.distinct)
        #expect(found.counters["hub duplicate"] ?? 0 >= sent.repeated)
        #expect(sent.repeated > sent.distinct / 15)
        // The witness has all when it has as many as there are: what is missing is named below.
        let published = Self.published(found)
        let hasAll = poll(seconds: 30) { witness.rows.isSuperset(of: published) ? true : nil }
        let missing = hasAll == nil ? published.subtracting(witness.rows).sorted().prefix(3) : []
        #expect(missing == [], "rows that were never published")
        let strange = witness.rows.filter {
            !$0.hasPrefix("devices/") && !$0.hasPrefix("headend/passing/")
        }.subtracting(published).sorted()
        #expect(strange.prefix(3) == [], "\(strange.count) rows that are in no file")
        compareDownstream(arrived, "live", found)
        #expect(try live.stop() == 0, "\(live.transcript)")

        let expected = try reference(of: live, other, arrived)
        QueryKillOutcome.compare(found, expected, "live")
        for query in QueryKillQueries.all + [QueryKillQueries.extra] {
            for output in query.outputs {
                #expect(!expected.rows(of: query.name, output).isEmpty, "nothing in \(query.name)/\(output)")
            }
        }
        #expect(!expected.rows(of: "tumbling", "_late").isEmpty)
        #expect(!expected.rows(of: "casts", "_errors").isEmpty)
        var left = Self.kills - Self.kills / 2
        while left > 0 {
            let run = "again-\(left)"
            let again = try copy(of: live, configuration(other, run))
            left -= try killReplay(again, killsMax: min(left, 25), &random)
            try putExtra(again)
            let outcome = try QueryKillOutcome(settled: again)
            QueryKillOutcome.compare(outcome, expected, "read again")
            compareDownstream(arrived, run, outcome)
            #expect(try again.stop() == 0, "\(again.transcript)")
        }
        print("queries killed: \(sent) \(expected.files.count) files, \(published.count) rows")
    }

    /// Compares what has come to the other broker with the files, by topic, `_rid` and body.
    private func compareDownstream(
        _ arrived: QueryKillWitness, _ run: String, _ outcome: QueryKillOutcome
    ) {
        let expected = Self.published(outcome, isDownstream: true)
        func rows() -> Set<String> {
            Set(
                arrived.rows.lazy.filter { $0.hasPrefix(run + "/") }.map {
                    String($0.dropFirst(run.count + 1))
                })
        }
        let hasAll = poll(seconds: 60) { rows().isSuperset(of: expected) ? true : nil }
        let missing = hasAll == nil ? expected.subtracting(rows()).sorted().prefix(3) : []
        #expect(missing == [], "\(run): rows that never came downstream")
        let strange = rows().subtracting(expected).sorted()
        #expect(strange.prefix(3) == [], "\(run): \(strange.count) rows downstream that are in no file")
        print("\(run): \(expected.count) rows downstream")
    }

    private func configuration(_ other: UpstreamBroker, _ run: String) -> String {
        QueryKillQueries.configuration(downstream: "\(other.url)/\(run)", hasMinute: Self.hasMinute)
    }

    /// The rows that a subscriber to everything has to get.
    ///
    /// - Parameter isDownstream: only those that are forwarded.
    private static func published(_ outcome: QueryKillOutcome, isDownstream: Bool = false) -> Set<String> {
        var rows: Set<String> = []
        func add(_ query: String, _ output: String, _ topic: (String) -> String) {
            for row in outcome.rows(of: query, output) { rows.insert(topic(row) + " " + row) }
        }
        func row(_ text: String, _ column: String) -> String {
            let value = try? JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
            return value?[column] as? String ?? ""
        }
        // The query that ships with the hub; nothing when it does not run.
        for text in outcome.rows(below: "minute/date=") {
            rows.insert("headend/minute/\(row(text, "device"))/\(row(text, "field")) " + text)
        }
        for output in ["_late", "_errors"] {
            for text in outcome.rows(below: output + "/") {
                rows.insert("headend/\(output)/\(row(text, "device")) " + text)
            }
        }
        for query in QueryKillQueries.all + [QueryKillQueries.extra] {
            for output in query.outputs {
                let own = query.topics.first { $0.output == output }?.topic
                add(query.name, output) { text in
                    own?.replacingOccurrences(of: "{device}", with: row(text, "device"))
                        ?? "headend/\(query.name)/\(output)"
                }
            }
            if isDownstream { continue }
            for output in ["_late", "_errors"] {
                add(query.name, output) { "headend/\(query.name)/\(output)/\(row($0, "device"))" }
            }
        }
        return rows
    }

    // MARK: Hubs over the same log

    /// A hub over a copy of the log, with nothing else of the first one.
    private func copy(of hub: HubProcess, _ configuration: String) throws -> HubProcess {
        let directory = try TemporaryDirectory()
        let data = directory.path + "/data"
        try FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: true)
        try FileManager.default.copyItem(atPath: hub.data + "/queue", toPath: data + "/queue")
        return try HubProcess(configuration: configuration, data: data, kept: directory)
    }

    private func reference(
        of hub: HubProcess, _ other: UpstreamBroker, _ arrived: QueryKillWitness
    ) throws -> QueryKillOutcome {
        let calm = try copy(of: hub, configuration(other, "calm"))
        try putExtra(calm)
        let outcome = try QueryKillOutcome(settled: calm)
        compareDownstream(arrived, "calm", outcome)
        #expect(try calm.stop() == 0, "\(calm.transcript)")
        return outcome
    }

    private static let extraPath =
        "/api/v1/queries/extra?startAt=earliest&late=2s&outOfOrder=500ms&downstream=top=true"

    private func putExtra(_ hub: HubProcess) throws {
        let status = try hub.request("PUT", Self.extraPath, QueryKillQueries.extra.text).status
        #expect(status == 200 || status == 201)
    }

    // MARK: Kills

    /// Kills in the middle of a checkpoint, of a change to a query, of a start, and anywhere.
    private func killLive(
        _ hub: HubProcess, kills: Int, _ other: UpstreamBroker, _ random: inout SeededGenerator
    ) throws {
        var done = 0
        var turn = 0
        while done < kills {
            defer { turn += 1 }
            try #require(hub.isRunning, "the hub ended by itself: \(hub.transcript)")
            Glibc.poll(nil, 0, Int32.random(in: 50...500, using: &random))
            var asked: RawSocket?
            switch done % 4 {
            case 0:
                asked = try change(hub, &random)
                Glibc.poll(nil, 0, Int32.random(in: 0...25, using: &random))
            case 1: waitForCheckpoint(of: hub, &random)
            default: break
            }
            // Now and then the other broker is away for a while too.
            if turn % 4 == 0 { try other.stop() }
            hub.kill()
            done += 1
            withExtendedLifetime(asked) {}
            if done % 4 == 3, done < kills {
                let milliseconds = Int32.random(in: 0...150, using: &random)
                try hub.startAndKill { Glibc.poll(nil, 0, milliseconds) }
                done += 1
            }
            if turn % 4 == 1 { try other.start() }
            try hub.start()
        }
        if turn % 4 == 1 { try other.start() }
    }

    /// Something that people ask for, begun.
    private func change(_ hub: HubProcess, _ random: inout SeededGenerator) throws -> RawSocket {
        let name = QueryKillQueries.all[Int.random(in: 0..<QueryKillQueries.all.count, using: &random)].name
        let path = "/api/v1/queries/"
        switch Int.random(in: 0..<8, using: &random) {
        case 0, 1: return try hub.begin("POST", path + name + "/pause")
        case 2, 3: return try hub.begin("POST", path + name + "/resume")
        case 4: return try hub.begin("PUT", Self.extraPath, body: QueryKillQueries.extra.text)
        case 5: return try hub.begin("DELETE", path + "passing")
        case 6:
            return try hub.begin(
                "PUT", Self.extraPath + "&onError=stop", body: QueryKillQueries.extra.text)
        default:
            return try hub.begin(
                "PUT", path + "passing?startAt=earliest&reset=true",
                body: "SELECT v + \(Int.random(in: 0..<9, using: &random)) AS v INTO o FROM telemetry")
        }
    }

    /// Returns while some query saves its state, or just behind a delta, most of the time.
    private func waitForCheckpoint(of hub: HubProcess, _ random: inout SeededGenerator) {
        let number = Int.random(in: 0..<QueryKillQueries.all.count, using: &random)
        let path = hub.data + "/query/" + QueryKillQueries.all[number].name + "/checkpoint"
        let end = monotonicSeconds() + 1.5
        let before = modified(path + ".delta")
        while access(path + ".tmp", F_OK) != 0, modified(path + ".delta") == before, monotonicSeconds() < end
        {}
    }

    /// Nanoseconds at which a file was changed last; nil when there is none.
    private func modified(_ path: String) -> Int? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return status.st_mtim.tv_sec * 1_000_000_000 + status.st_mtim.tv_nsec
    }

    /// Kills a hub that reads its log again, until it has read all.
    ///
    /// - Returns: how often it was killed.
    private func killReplay(
        _ hub: HubProcess, killsMax: Int, _ random: inout SeededGenerator
    ) throws -> Int {
        hub.kill()
        // What the start until now has done goes: the kills begin with nothing there.
        for name in ["query", "results"] {
            try? FileManager.default.removeItem(atPath: hub.data + "/" + name)
        }
        for kill in 1...killsMax {
            if kill % 3 == 0 {
                try hub.startAndKill { waitForCheckpoint(of: hub, &random) }
            } else {
                let milliseconds = Int32.random(in: 0...400, using: &random)
                try hub.startAndKill { Glibc.poll(nil, 0, milliseconds) }
            }
        }
        try hub.start()
        return killsMax
    }
}
