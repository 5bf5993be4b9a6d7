import Fleet
import Foundation
import Telemetry
import Testing

@Suite("The fleet folder")
struct ConfigurationTests {
    static let fourLines = """
        count: 10
        every: 5s
        sensors:
          temperature: { walk: { start: 21, step: 0.2, min: 15, max: 30 } }
        """

    @Test("four lines suffice, and the defaults are those of the format")
    func fourLines() throws {
        let plan = try Folder(["thermometer.yaml": Self.fourLines]).load()
        #expect(plan.devices.count == 10)
        #expect(plan.devices[0].id == "thermometer-0001")
        #expect(plan.devices[9].topic == "devices/thermometer-0010/messages/events/")
        #expect(plan.seed == 1)
        let type = try #require(plan.types.first)
        #expect(type.everyMilliseconds == 5_000...5_000)
        #expect(type.connection == ConnectionModel())
        #expect(type.faults == FaultModel())
        #expect(type.sensors[0].generator == .walk(start: 21...21, step: 0.2, bounds: 15...30))
    }

    @Test("everything this version knows is read")
    func full() throws {
        let plan = try Folder([
            "fleet.yaml": """
            seed: 42
            answer_key: out/truth.jsonl
            clock: { speed: 60x, start: 2026-01-01T00:00Z }
            expect: { lost: 0, counted_twice: 0, windows_wrong: 0, p99_ingest_ms: 250 }
            """,
            "pump.yaml": """
            count: 3
            id: pump-{i:02}
            topic: plant/{tags.line}/{type}/{id}/telemetry
            tags: { line: [A, B], on: yes }
            every: 1s ± 10%
            sensors:
              rpm: { normal: { mean: 1470..1490, stddev: 4 }, round: 0, unit: rpm }
              mode: { choice: { on: 95%, off: 5% }, report: on_change }
              level: { uniform: 0..10, noise: ±0.5, clamp: 0..10, every: 5s }
              peak: { daily: { min: 1, max: 2, peak: 15:00 } }
            connection:
              qos: 2
              keepalive: 30s
              session_expiry: 1h
              version: 3.1.1
              offline: { mtbf: 20m, for: 30s..8m, keep: 2000, send: newest_first, rate: 50/s }
            faults:
              - duplicate: 1%
              - lose: { rate: 40ppm }
              - malformed: 0.001
              - out_of_order: { rate: 2%, by: 1s..15s }
              - delay: { rate: 3%, by: 2s }
            """,
        ]).load()
        #expect(plan.seed == 42)
        #expect(plan.answerKeyPath == "out/truth.jsonl")
        #expect(plan.speed == .times(60))
        #expect(plan.start == EventTime.parse("2026-01-01T00:00:00Z"))
        #expect(plan.expectation.ingestMillisecondsP99 == 250)
        #expect(
            plan.devices.map(\.topic) == [
                "plant/A/pump/pump-01/telemetry", "plant/B/pump/pump-02/telemetry",
                "plant/A/pump/pump-03/telemetry",
            ])
        #expect(
            plan.devices[0].tags == [.init(name: "line", values: ["A"]), .init(name: "on", values: ["yes"])])
        let type = try #require(plan.types.first)
        #expect(type.everyMilliseconds == 900...1_100)
        #expect(type.sensors[0].generator == .normal(mean: 1_470...1_490, deviation: 4))
        #expect(type.sensors[1].generator == .choice([.text("on"), .text("off")], weights: [0.95, 0.05]))
        #expect(type.sensors[2].noise == .uniform(-0.5...0.5))
        #expect(type.sensors[2].everyMilliseconds == 5_000...5_000)
        #expect(type.sensors[3].generator == .daily(1...2, peakMilliseconds: 54_000_000))
        #expect(type.connection.version == .v311)
        #expect(
            type.connection.offline
                == OfflineModel(
                    meanTimeBetweenMilliseconds: 1_200_000, durationMilliseconds: 30_000...480_000,
                    keep: 2_000,
                    order: .newestFirst, ratePerSecond: 50))
        #expect(type.faults.outOfOrder == .init(rate: 0.02, byMilliseconds: 1_000...15_000))
        #expect(type.faults.lose == 0.00004)
    }

    @Test("scalars have the meaning of YAML 1.2: only true and false are booleans, 15:00 is a text")
    func scalars() throws {
        let plan = try plan(
            """
            every: 1s
            sensors:
              v: { sequence: [on, off, yes, no, 15:00, true, 12, 1.5, "12", 0x10, 1_000] }
            """)
        let expected: [Value] = [
            .text("on"), .text("off"), .text("yes"), .text("no"), .text("15:00"), .boolean(true), .bigint(12),
            .float(1.5), .text("12"), .bigint(16), .text("1_000"),
        ]
        #expect(plan.types[0].sensors[0].generator == .sequence(expected, loops: true))
    }

    @Test("the folder of the repository loads, with every fault somewhere")
    func repositoryFolder() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().path
        let plan = try FleetPlan.load(directory: root + "/devices/")
        #expect(plan.seed == 42)
        #expect(plan.types.map(\.name) == ["power-meter", "pump", "thermometer"])
        #expect((40...60).contains(plan.devices.count))
        #expect(plan.types.contains { $0.faults.duplicate > 0 })
        #expect(plan.types.contains { $0.faults.lose > 0 })
        #expect(plan.types.contains { $0.faults.malformed > 0 })
        #expect(plan.types.contains { $0.faults.outOfOrder != nil })
        #expect(plan.types.contains { $0.faults.delay != nil })
        #expect(plan.types.contains { $0.connection.offline != nil })
    }

    @Test("all problems of all files are reported, with their places")
    func allProblems() throws {
        let folder = try Folder([
            "a.yaml": "coutn: 3\nevery: 5\nsensors:\n  t: { uniformm: { min: 0, max: 1 } }\n",
            "b.yaml": "every: 1s\nsensors:\n  t: { constant: 1 }\n",
            "c.yaml": "every: 1s\nsensors: [\n",
            "fleet.yaml": "seed: x\nclock: { spede: 1x }\n",
        ])
        #expect(
            folder.problems() == [
                "a.yaml:1:1: unknown key \"coutn\" (did you mean \"count\"?)",
                "a.yaml:2:8: \"5\" needs a unit: ms, s, m, h or d (such as 5s)",
                "a.yaml:4:8: unknown key \"uniformm\" (did you mean \"uniform\"?)",
                "a.yaml:4:6: sensor \"t\" has no generator: "
                    + "constant, uniform, normal, walk, sine, daily, choice, "
                    + "counter, sequence",
                "c.yaml:3:1: not YAML: did not find expected node content",
                "fleet.yaml:1:7: seed must be a whole number from 0",
                "fleet.yaml:2:10: unknown key \"spede\" (did you mean \"speed\"?)",
            ])
    }
}
