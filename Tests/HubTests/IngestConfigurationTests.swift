import Testing

@testable import Hub

@Suite("Ingest settings")
struct IngestConfigurationTests {
    private func problems(_ text: String) -> [String] {
        do {
            _ = try HubConfigurationFile.parse(text, path: "hub.yaml")
            return []
        } catch let problems as HubConfigurationFile.Problems {
            return problems.lines
        } catch {
            return [String(describing: error)]
        }
    }

    @Test(
        "every mistake is named with its place and what was probably meant",
        arguments: [
            ("ingest: []", "hub.yaml:1:9: ingest: is a list of rules"),
            ("ingest: yes", "hub.yaml:1:9: ingest: is a list of rules"),
            ("ingest: [7]", "hub.yaml:1:10: a rule is a map"),
            ("ingest: [{}]", "hub.yaml:1:10: a rule needs topic: or preset:"),
            ("ingest:\n  - preset: azur", "hub.yaml:2:13: unknown preset \"azur\" (did you mean \"azure\"?)"),
            ("ingest:\n  - tpic: a", "hub.yaml:2:5: unknown setting \"tpic\" (did you mean \"topic\"?)"),
            ("ingest:\n  - { topic: a/b }", "device: the topic has no level {device}"),
            ("ingest:\n  - topic: a/{devise}", "{device} (did you mean \"devise\"?); it has: {devise}"),
            (
                "ingest:\n  - topic: a/{device}\n    device: {device}",
                "hub.yaml:3:13: device: put the template in quotes"
            ),
            (
                "ingest:\n  - topic: a/{device}\n    device: x",
                "hub.yaml:3:13: device: \"x\" is the same for every message"
            ),
            ("ingest:\n  - topic: a/{device}\n    device: '{device'", "a } is missing"),
            (
                "ingest:\n  - topic: a/{device}\n    id: { jsn: x }",
                "hub.yaml:3:11: unknown place \"jsn\" (did you mean \"json\"?)"
            ),
            ("ingest:\n  - topic: a/{device}\n    id: x", "hub.yaml:3:9: id: is a place such as"),
            ("ingest:\n  - topic: a/{device}\n    id: { json: a..b }", "json: is a path of 1 to 8 names"),
            ("ingest:\n  - topic: a/{device}\n    id: { json: 'a[0]' }", "not in arrays"),
            ("ingest:\n  - topic: a/{device}\n    id: { bag: mid }", "needs a topic filter that ends with #"),
            (
                "ingest:\n  - topic: a/{device}\n    time: { segment: at }",
                "time: the topic has no level {at}"
            ),
            (
                "ingest:\n  - topic: a/{device}\n    format: jason",
                "unknown format \"jason\" (did you mean \"json\"?)"
            ),
            (
                "ingest:\n  - { topic: 'a/{device}', format: raw, id: { json: x } }",
                "where format: raw is promised"
            ),
            ("ingest:\n  - topic: a/{device}\n    payload_max: 17MiB", "up to 16MiB"),
            ("ingest:\n  - topic: a/{device}\n    payload_max: many", "for example 65536 or 64KiB"),
            ("ingest:\n  - { preset: plain, topic: a }", "give topic: or preset:, not both"),
            (
                "registration: approve",
                "hub.yaml:1:15: registration: is open or closed; approve is not there yet"
            ),
            ("registration: [open]", "registration: is open or closed"),
        ])
    func mistakes(text: String, expected: String) {
        let found = problems(text)
        #expect(found.count == 1, "\(found)")
        #expect(found.first?.contains(expected) == true, "\(found)")
    }

    @Test(
        "what is no YAML is told in one line with its place, and without what stands there",
        arguments: [
            ("a: 1\n b: 2", "hub.yaml:2:3: not YAML: mapping values are not allowed in this context"),
            (
                "data: x\nmqtt: \"secret",
                "hub.yaml:2:14: not YAML: while scanning a quoted scalar (2:7): found unexpected end of stream"
            ),
            (
                "limits: { a: secret\nhttp: x",
                "hub.yaml:2:5: not YAML: while parsing a flow mapping (1:9): did not find expected ',' or '}'"
            ),
            (
                "data: secret\n---\ndata: y",
                "hub.yaml:2:1: not YAML: expected a single document in the stream (1:1): but found another document"
            ),
            ("data: *secret", "hub.yaml:1:7: not YAML: found undefined alias"),
            ("data: é\r\nhttp: é\u{1}secret", "hub.yaml:2:8: not YAML: control characters are not allowed"),
            (
                "http: a\ndata: secret\ndata: y",
                "hub.yaml:2:1: \"data\" stands twice in this map: leave one of them"
            ),
            (
                "queue:\n  \"a\\nb\": 1\n  \"a\\nb\": secret",
                "hub.yaml:2:3: \"a\\nb\" stands twice in this map: leave one of them"
            ),
        ])
    func noYAML(text: String, expected: String) { #expect(problems(text) == [expected]) }

    @Test("a rule that never gets a message is refused, one that shares topics is told of")
    func overlaps() throws {
        let shadowed = problems("ingest:\n  - topic: a/+/{device}\n  - topic: a/b/{device}")
        #expect(shadowed.count == 1)
        #expect(
            shadowed.first?.hasPrefix(
                "hub.yaml:3:5: \"a/b/{device}\" never gets a message: \"a/+/{device}\" (hub.yaml:2)") == true)
        let both = try HubConfigurationFile.parse(
            "ingest:\n  - topic: a/b/{device}\n  - topic: a/+/{device}", path: "hub.yaml")
        #expect(both.notes.count == 1)
        #expect(both.notes.first?.hasPrefix("hub.yaml:3:5: \"a/+/{device}\" overlaps") == true)
        #expect(problems("ingest: [{ preset: plain }, { preset: plain }]").count == 1)
    }

    @Test("too many rules are refused")
    func limit() {
        let rules = (0...64).map { "  - topic: r\($0)/{device}\n" }.joined()
        #expect(problems("ingest:\n" + rules).first?.contains("has 65 rules, at most 64") == true)
    }

    @Test("without `ingest:` the presets plain and azure hold, with it only what it says")
    func replacement() throws {
        let none = try HubConfigurationFile.parse("data: x", path: "hub.yaml")
        #expect(none.ingest == IngestPreset.standard)
        #expect(none.registration == .open)
        let some = try HubConfigurationFile.parse(
            "registration: closed\ningest: { preset: tasmota, time: { json: Time }, payload_max: 64KiB }",
            path: "hub.yaml")
        #expect(some.registration == .closed)
        #expect(some.ingest.map(\.topic.description) == ["tele/{device}/SENSOR"])
        #expect(some.ingest.first?.times == [.json(["Time"])])
        #expect(some.ingest.first?.payloadBytesMax == 65_536)
    }
}
