import Fleet
import Testing

@Suite("Errors of the fleet folder")
struct ConfigurationErrorTests {
    static let vectors: [(yaml: String, problem: String)] = [
        (
            "state: { start: idle }",
            "1:1: key \"state\" is not supported yet "
                + "(here: count, id, topic, tags, every, sensors, connection, faults)"
        ),
        ("count: 1\r\nid: é\u{1}x", "2:6: not YAML: control characters are not allowed"),
        ("count: 0", "1:8: count must be a whole number from 1 to 100000"),
        ("count: \"3\"", "1:8: count must be a whole number from 1 to 100000"),
        ("id: \"x-{j}\"", "1:5: unknown placeholder {j} (did you mean {i}?)"),
        ("id: \"x-{i\"", "1:5: \"x-{i\" has a { without its }"),
        (
            "topic: a/{tags.line}",
            "1:8: unknown placeholder {tags.line} (known here: {type}, {i}, {i:04}, {id})"
        ),
        ("tags: [a]", "1:7: expected a map of tags, such as { line: [A, B] }"),
        ("tags: { line: [] }", "1:15: a tag needs at least one value"),
        ("connection: { qos: 3 }", "1:20: qos must be a whole number from 0 to 2"),
        ("connection: { keepalive: 1s }", "1:26: keepalive must be whole seconds from 5s to 65535s"),
        ("connection: { version: 4 }", "1:24: version must be 5 or 3.1.1"),
        ("connection: { offline: { for: 1s } }", "1:24: \"mtbf\" is missing"),
        (
            "connection: { offline: { mtbf: 1m, for: 1s, send: oldest } }",
            "1:51: send must be oldest_first or newest_first"
        ),
        (
            "connection: { offline: { mtbf: 1m, for: 1s, rate: 50 } }",
            "1:51: \"50\" is not a rate (write 50/s, 3/m or 100/h)"
        ),
        ("faults: { duplicate: 1% }", "1:9: faults is a list: write \"- duplicate: 1%\""),
        ("faults: [ duplicat: 1% ]", "1:11: unknown fault \"duplicat\" (did you mean \"duplicate\"?)"),
        (
            "faults: [ duplicate: 200% ]",
            "1:22: \"200%\" is not a proportion from 0% to 100% (write 2%, 40ppm or 0.02)"
        ),
        (
            "faults: [ drift: { sensor: p } ]",
            "1:11: fault \"drift\" is not supported yet "
                + "(here: duplicate, lose, out_of_order, delay, malformed, offline)"
        ),
        ("faults: [ out_of_order: { rate: 1% } ]", "1:25: \"by\" is missing"),
        ("faults: [ duplicate: 1%, duplicate: 2% ]", "1:26: the fault \"duplicate\" is there twice"),
        ("faults: [ { duplicate: 1%, lose: 1% } ]", "1:11: one fault an item: start a new line with \"- \""),
        (
            "faults: [ duplicate: { rate: 1%, devices: 25% } ]",
            "1:34: key \"devices\" is not supported yet (here: rate)"
        ),
    ]

    @Test("of a type have a place and a remedy", arguments: vectors)
    func type(vector: (yaml: String, problem: String)) throws {
        let folder = try Folder(["x.yaml": vector.yaml + "\nevery: 1s\nsensors: { v: { constant: 1 } }\n"])
        #expect(folder.problems() == ["x.yaml:" + vector.problem])
    }

    static let sensorVectors: [(yaml: String, problem: String)] = [
        (
            "{ lag: { follows: v } }",
            "3:8: generator \"lag\" is not supported yet "
                + "(here: constant, uniform, normal, walk, sine, daily, choice, counter, sequence)"
        ),
        (
            "{ constant: 1, walk: { start: 1, step: 1 } }",
            "3:21: sensor \"v\" has two generators, \"constant\" and \"walk\""
        ),
        ("{ constant: 1, nosie: 2 }", "3:21: unknown key \"nosie\" (did you mean \"noise\"?)"),
        ("{ constant: a, noise: 2 }", "3:28: \"noise\" needs a generator of numbers"),
        ("{ constant: 1, round: 12 }", "3:28: round must be a whole number from 0 to 9"),
        ("{ constant: 1, report: always }", "3:29: report can only be on_change"),
        (
            "{ constant: 1, every: 500ms }",
            "3:28: a sensor cannot be read more often than its device: every is shorter than the device's"
        ),
        ("{ constant: .nan }", "3:18: \".nan\" cannot be a sensor's value"),
        ("{ uniform: { min: 2, max: 1 } }", "3:17: min is above max"),
        ("{ uniform: { min: 2 } }", "3:17: \"max\" is missing"),
        ("{ walk: { start: 40, step: 0.2, min: 15, max: 30 } }", "3:14: start must lie between min and max"),
        ("{ walk: { start: 20, step: 0 } }", "3:33: step must be above 0"),
        ("{ sine: { mean: 1 } }", "3:14: \"period\" is missing"),
        ("{ daily: { min: 1, max: 2, peak: 25:00 } }", "3:39: \"25:00\" is not a time of day (write 15:00)"),
        ("{ choice: { a: 50%, b: 20% } }", "3:16: the weights of a choice must add up to 100%"),
        ("{ choice: [] }", "3:16: at least one value is needed"),
        ("{ counter: { step: -1 } }", "3:25: a counter never goes back: step must be 0 or more"),
        ("{ sequence: { values: 3 } }", "3:18: \"values\" must be a list"),
        ("21", "3:6: expected a generator such as { uniform: { min: 0, max: 1 } }"),
    ]

    @Test("of a sensor have a place and a remedy", arguments: sensorVectors)
    func sensor(vector: (yaml: String, problem: String)) throws {
        let folder = try Folder(["x.yaml": "every: 1s\nsensors:\n  v: " + vector.yaml + "\n"])
        #expect(folder.problems() == ["x.yaml:" + vector.problem])
    }

    static let folderVectors: [(files: [String: String], problem: String)] = [
        ([:], ".: no device types here: add a file such as thermometer.yaml"),
        (["x.yaml": ""], "x.yaml: the file is empty"),
        (
            ["x y.yaml": "every: 1s"],
            "x y.yaml: the file's name is the device type: use letters, digits, - and _ only"
        ),
        (["x.yaml": "every: 1s\nevery: 2s"], "x.yaml:1:1: the key \"every\" is there twice in this map"),
        (["x.yaml": "every: 1s"], "x.yaml:1:1: \"sensors\" is missing"),
        (["x.yaml": "sensors: { v: { constant: 1 } }"], "x.yaml:1:1: \"every\" is missing"),
        (
            ["x.yaml": "every: 1s\nsensors: { ts: { constant: 1 } }"],
            "x.yaml:2:12: a sensor cannot be called \"ts\": the payload has it"
        ),
        (
            ["x.yaml": "count: 2\nid: x\nevery: 1s\nsensors: { v: { constant: 1 } }"],
            "x.yaml: the device id \"x\" is there twice (first in x.yaml); put {i} into id"
        ),
        (
            ["x.yaml": "id: a/b\nevery: 1s\nsensors: { v: { constant: 1 } }"],
            "x.yaml: the device id \"a/b\" is not allowed: 1 to 128 bytes without + # /"
        ),
        (
            [
                "fleet.yaml": "timeline: [ { at: 0s } ]",
                "x.yaml": "every: 1s\nsensors: { v: { constant: 1 } }",
            ],
            "fleet.yaml:1:1: key \"timeline\" is not supported yet (here: seed, answer_key, clock, expect)"
        ),
        (
            [
                "fleet.yaml": "clock: { start: today }",
                "x.yaml": "every: 1s\nsensors: { v: { constant: 1 } }",
            ],
            "fleet.yaml:1:17: \"today\" is not a time (write 2026-01-01T00:00:00Z)"
        ),
        (
            ["fleet.yaml": "clock: { speed: fast }", "x.yaml": "every: 1s\nsensors: { v: { constant: 1 } }"],
            "fleet.yaml:1:17: \"fast\" is not a speed (write 1x, 60x or max)"
        ),
    ]

    @Test("of a folder have a place and a remedy", arguments: 0..<folderVectors.count)
    func folder(index: Int) throws {
        let folder = try Folder(Self.folderVectors[index].files)
        #expect(folder.problems() == [Self.folderVectors[index].problem])
    }

    @Test("a folder that is not there is named")
    func missing() throws {
        let folder = try Folder([:])
        let error = #expect(throws: (any Error).self) {
            try Fleet.FleetPlan.load(directory: folder.path + "/none")
        }
        let text = try "\(#require(error))"
        #expect(text.hasSuffix("/none: no such folder; give one with a YAML file for each device type"))
    }
}
