import Fleet
import Foundation
import MosquittoClient
import Platform
import Telemetry
import Testing

/// One line of an answer key, as the verifier would read it.
struct KeyLine: Decodable {
    let id: String
    let device: String
    let seq: UInt64
    let sent: [String]
    let faults: [String]
    let expect: String

    static func read(_ path: String) throws -> [KeyLine] {
        let text = try String(contentsOfFile: path, encoding: .utf8)
        return try text.split(separator: "\n").map {
            try JSONDecoder().decode(KeyLine.self, from: Data($0.utf8))
        }
    }
}

@Suite(
    "The fleet at work",
    .enabled(if: LocalBroker.executable != nil, "skipped: needs mosquitto (apt install mosquitto)"),
    .serialized, .timeLimit(.minutes(2)))
struct FleetRunnerTests {
    static let files = [
        "thermometer.yaml": """
        count: 120
        every: 4s..6s
        sensors:
          temperature: { walk: { start: 21, step: 0.2, min: 15, max: 30 } }
        connection: { offline: { mtbf: 1m, for: 5s..15s, rate: 20/s } }
        faults:
          - duplicate: 5%
          - out_of_order: { rate: 5%, by: 1s..15s }
          - lose: 2%
          - malformed: 2%
        """,
        "meter.yaml": """
        count: 80
        every: 3s
        sensors:
          power: { uniform: 0..5 }
        connection: { version: 3.1.1, qos: 2 }
        faults:
          - duplicate: 5%
          - delay: { rate: 3%, by: 3s..9s }
        """,
    ]

    /// What the listener should have, by id: once for each sending; 3.1.1 devices are known by their topics.
    private func check(_ lines: [KeyLine], _ messages: [(id: String, topic: String, payload: [UInt8])]) {
        var received: [String: Int] = [:]
        for message in messages {
            var id = message.id
            if let mark = id.range(of: "%24.mid=") {
                id = String(id[mark.upperBound...]).removingPercentEncoding ?? ""
            }
            received[id, default: 0] += 1
        }
        var expected: [String: Int] = [:]
        for line in lines where line.expect != "never" { expected[line.id] = line.sent.count }
        // At QoS 1 a message whose acknowledgement was cut off comes again; at QoS 2 never.
        let missing = expected.keys.filter { id in
            let found = received[id] ?? 0
            let sent = expected[id] ?? 0
            return id.hasPrefix("meter") ? found != sent : found < sent
        }.sorted()
        let sentCount = expected.values.reduce(0, +)
        #expect(received.values.reduce(0, +) < sentCount + sentCount / 10)
        let extra = received.keys.filter { expected[$0] == nil }.sorted()
        #expect(missing.isEmpty, "\(missing.count) of \(expected.count), first \(missing.prefix(5))")
        #expect(extra.isEmpty, "\(extra.count), first \(extra.prefix(5))")
        #expect(Set(lines.map(\.id)).count == lines.count)
        // Per device, the order of first sending.
        let positions = Dictionary(
            lines.enumerated().map { ($1.id, $0) }, uniquingKeysWith: { first, _ in first })
        var last: [String: Int] = [:]
        var seen: Set<String> = []
        for message in messages {
            guard seen.insert(message.id).inserted, let position = positions[message.id] else { continue }
            let device = lines[position].device
            #expect(position > last[device] ?? -1)
            last[device] = position
        }
    }

    @Test("a subscriber sees exactly what the answer key says")
    func exactly() throws {
        let broker = try LocalBroker()
        let listener = try Listener(url: broker.url)
        #expect(listener.waitUntilSubscribed())
        let folder = try Folder(Self.files)
        var options = FleetRunner.Options(hub: broker.url)
        options.seed = 42
        options.start = epoch
        options.speed = .times(60)
        options.duration = .seconds(180)
        options.answerKeyPath = folder.path + "/out/truth.jsonl"
        let runner = try FleetRunner(plan: folder.load(), options: options)
        runner.start()
        #expect(runner.waitUntilOver(timeout: .seconds(30)))
        let statistics = try runner.stop(drain: .seconds(90))
        let lines = try KeyLine.read(folder.path + "/out/truth.jsonl")
        let sendings = lines.filter { $0.expect != "never" }.reduce(0) { $0 + $1.sent.count }
        check(lines, listener.wait(count: sendings))
        #expect(statistics.devices == 200)
        #expect(statistics.readings == UInt64(lines.count))
        #expect(statistics.readings == statistics.sent + statistics.lost)
        #expect(statistics.acknowledged == UInt64(sendings))
        #expect(statistics.acknowledged == statistics.sent + statistics.duplicatesSent)
        #expect(statistics.unacknowledged == 0)
        #expect(statistics.waiting == 0)
        #expect(statistics.held == 0)
        #expect(statistics.connected == 0)
        #expect(lines.count > 8_000)
        for fault in ["duplicate", "out_of_order", "lose", "malformed", "delay", "offline"] {
            #expect(lines.contains { $0.faults.contains(fault) }, "\(fault)")
        }
    }

    @Test("the key is the script's, whatever the timing: unpaced and paced runs agree line by line")
    func sameKey() throws {
        let broker = try LocalBroker()
        let folder = try Folder(Self.files)
        var keys: [[String]] = []
        for speed in [FleetSpeed.unpaced, .times(120)] {
            var options = FleetRunner.Options(hub: broker.url)
            options.start = epoch
            options.speed = speed
            options.duration = .seconds(120)
            options.answerKeyPath = folder.path + "/\(speed).jsonl"
            options.limits.devicesPerLoop = speed == .unpaced ? 100 : 1_000
            let runner = try FleetRunner(plan: folder.load(), options: options)
            runner.start()
            #expect(runner.waitUntilOver(timeout: .seconds(30)))
            #expect(try runner.stop(drain: .seconds(90)).unacknowledged == 0)
            let text = try String(contentsOfFile: folder.path + "/\(speed).jsonl", encoding: .utf8)
            keys.append(text.split(separator: "\n").map(String.init).sorted())
        }
        #expect(keys[0].count > 5_000)
        #expect(keys[0] == keys[1])
    }

    @Test("while the hub is away devices keep their readings and send them when it is back")
    func hubAway() throws {
        let broker = try LocalBroker()
        let folder = try Folder([
            "thing.yaml":
                "count: 50\nevery: 1s\nsensors: { v: { counter: { step: 1 } } }\nfaults: [ duplicate: 5% ]\n"
        ])
        var options = FleetRunner.Options(hub: broker.url)
        options.start = epoch
        options.speed = .times(10)
        options.answerKeyPath = folder.path + "/truth.jsonl"
        let log = Monitor<[String]>([])
        let runner = try FleetRunner(plan: folder.load(), options: options) { line in
            log.update { $0.append(line) }
        }
        runner.start()
        func waitFor(_ what: String, _ holds: (FleetStatistics) -> Bool) {
            let end = SystemClock().monotonicNanoseconds() + 20_000_000_000
            while !holds(runner.statistics()), SystemClock().monotonicNanoseconds() < end {
                _ = runner.waitUntilOver(timeout: .milliseconds(20))
            }
            #expect(holds(runner.statistics()), "\(what)")
        }
        waitFor("all connected, some sent") { $0.connected == 50 && $0.acknowledged > 500 }
        broker.stop()
        waitFor("readings wait") { $0.connected == 0 && $0.waiting > 1_000 }
        try broker.start()
        let listener = try Listener(url: broker.url)
        #expect(listener.waitUntilSubscribed())
        waitFor("the backlog is gone") { $0.connected == 50 && $0.waiting < 100 }
        let statistics = try runner.stop(drain: .seconds(90))
        #expect(statistics.unacknowledged == 0)
        #expect(statistics.waiting == 0)
        #expect(statistics.disconnects >= 50)
        #expect(statistics.dropped == 0)
        let lines = try KeyLine.read(folder.path + "/truth.jsonl")
        #expect(statistics.sent == UInt64(lines.count))
        #expect(statistics.acknowledged == statistics.sent + statistics.duplicatesSent)
        let told = log.withLock { $0 }
        #expect(told.count == 2, "\(told)")
        #expect(told.first?.hasSuffix("devices keep their readings and try again") == true)
        #expect(told.last == "\(broker.url) is back")
    }

    @Test("readings beyond keep are given up while the hub is away, and the key says never")
    func keepWhileAway() throws {
        let broker = try LocalBroker()
        broker.stop()
        let folder = try Folder([
            "thing.yaml": "count: 4\nevery: 1s\nsensors: { v: { constant: 1 } }\nfaults: [ duplicate: 30% ]\n"
        ])
        var options = FleetRunner.Options(hub: broker.url)
        options.start = epoch
        options.speed = .times(60)
        options.duration = .seconds(60)
        options.answerKeyPath = folder.path + "/truth.jsonl"
        options.limits.keepMax = 20
        let runner = try FleetRunner(plan: folder.load(), options: options)
        runner.start()
        #expect(runner.waitUntilOver(timeout: .seconds(20)))
        try broker.start()
        let listener = try Listener(url: broker.url)
        #expect(listener.waitUntilSubscribed())
        let statistics = try runner.stop(drain: .seconds(90))
        let lines = try KeyLine.read(folder.path + "/truth.jsonl")
        #expect(lines.count == 240)
        #expect(statistics.dropped == UInt64(lines.filter { $0.expect == "never" }.count))
        #expect(statistics.dropped > 150)
        let messages = listener.wait(count: Int(statistics.acknowledged))
        let never = Set(lines.filter { $0.expect == "never" }.map(\.id))
        #expect(never.isDisjoint(with: messages.map(\.id)))
        #expect(Set(lines.filter { $0.expect == "once" }.map(\.id)) == Set(messages.map(\.id)))
    }

    @Test("2,000 devices run in one process")
    func twoThousand() throws {
        let broker = try LocalBroker()
        let folder = try Folder(["thing.yaml": "count: 2000\nevery: 10s\nsensors: { v: { constant: 1 } }\n"])
        var options = FleetRunner.Options(hub: broker.url)
        options.start = epoch
        options.speed = .times(10)
        options.duration = .seconds(60)
        let runner = try FleetRunner(plan: folder.load(), options: options)
        runner.start()
        #expect(runner.waitUntilOver(timeout: .seconds(40)))
        let statistics = try runner.stop(drain: .seconds(30))
        #expect(statistics.devices == 2_000)
        #expect((11_000...12_500).contains(statistics.readings))
        #expect(statistics.acknowledged == statistics.readings)
        #expect(statistics.unacknowledged == 0)
    }

    @Test("a key that cannot be written is an error that names the place")
    func unwritableKey() throws {
        let folder = try Folder(["thing.yaml": "every: 10s\nsensors: { v: { constant: 1 } }\n", "file": ""])
        var options = FleetRunner.Options(hub: MosquittoURL(host: "127.0.0.1", port: 1))
        options.answerKeyPath = folder.path + "/file/truth.jsonl"
        let plan = try folder.load()
        let error = #expect(throws: FleetRunError.self) { try FleetRunner(plan: plan, options: options) }
        #expect(error?.description.hasPrefix("the answer key: \(folder.path)/file") == true)
    }
}
