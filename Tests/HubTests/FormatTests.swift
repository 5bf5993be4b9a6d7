import DeviceQueue
import Hub
import MosquittoClient
import Telemetry
import Testing

@Suite("Records and settings as text")
struct FormatTests {
    private func record(_ payload: String) -> TelemetryRecord {
        TelemetryRecord(
            device: DeviceID("pump-01"), sequence: 7, messageID: "a\"b",
            arrivalTime: EventTime(ticks: 17_723_232_000_000_001),
            eventTime: EventTime(ticks: 17_723_232_000_000_000), topic: "devices/pump-01/telemetry",
            properties: [],
            payload: Array(payload.utf8), quarantineReason: nil, offset: QueueOffset(0))
    }

    @Test(
        "a record survives its JSON form, whatever its payload",
        arguments: [#"{"t":21.5,"n":[1,{"x":null}]}"#, "21.5", "\"text\"", "true", "null", "[1,2]"])
    func roundTrip(payload: String) throws {
        let original = record(payload)
        let parsed = try #require(RecordJSON.parse(RecordJSON.bytes(original)))
        #expect(parsed == original)
    }

    @Test("a payload that is not JSON stands in base64, and one with line breaks stays on one line")
    func otherPayloads() {
        let text = String(decoding: RecordJSON.bytes(record("hello")), as: UTF8.self)
        #expect(text.hasSuffix(#""payloadBase64":"aGVsbG8="}"#))
        #expect(!RecordJSON.bytes(record("{\n\"t\":\r\n1}")).contains(0x0A))
    }

    @Test("a file's name tells its window end")
    func fileNames() {
        #expect(
            ResultFiles.windowEnd(ofFile: "minute-20260301T001200Z.jsonl")?.description
                == "2026-03-01T00:12:00Z")
        #expect(ResultFiles.windowEnd(ofFile: "minute-20260301T001200Z.jsonl.part") == nil)
        #expect(ResultFiles.windowEnd(ofFile: "notes.jsonl") == nil)
        #expect(ResultFiles.windowEnd(ofFile: "minute-é0260301T001200Z.jsonl") == nil)
    }

    @Test("retention is read with its units, and every mistake is named with its place")
    func retention() throws {
        func read(_ text: String) throws -> RetentionPolicy {
            try HubConfigurationFile.parse("retention: \(text)\n", path: "hub.yaml").retention
        }
        #expect(try read("{ age: 7d }") == RetentionPolicy(ageTicks: 7 * 86_400 * 10_000_000))
        #expect(
            try read("{ age: 90s, bytes: 50GB, recordsPerDevice: 100000 }")
                == RetentionPolicy(
                    ageTicks: 900_000_000, bytes: 50_000_000_000, recordsPerDevice: 100_000))
        #expect(try read("{ bytes: 2 GiB }").bytes == 2 << 30)
        #expect(try read("{ bytes: 1000 }").bytes == 1_000)
        #expect(try HubConfigurationFile.parse("data: x\n", path: "").retention.keepsEverything)
        for (text, hint) in [
            ("{ age: 7 }", "age: is a duration"), ("{ age: 0d }", "age: is a duration"),
            ("{ age: 7 weeks }", "for example 7d"), ("{ age: 99999999999999d }", "age: is a duration"),
            ("{ bytes: -1 }", "bytes: is a size"), ("{ bytes: many }", "for example 50GB"),
            ("{ bytes: [1] }", "bytes: is a size"), ("{ recordsPerDevice: 0 }", "whole number from 1"),
            ("{ recordsPerDevise: 5 }", "did you mean \"recordsPerDevice\"?"), ("7d", "is a map of limits"),
        ] {
            let problems = #expect(throws: HubConfigurationFile.Problems.self) { try read(text) }
            #expect(problems?.lines.count == 1, "\(text)")
            #expect(problems?.lines.first?.hasPrefix("hub.yaml:1:") == true, "\(text)")
            #expect(problems?.lines.first?.contains(hint) == true, "\(text): \(problems?.lines ?? [])")
        }
    }

    @Test("a configuration file is read, and everything wrong in it is named with its place")
    func configuration() throws {
        let good = try HubConfigurationFile.parse(
            "data: /tmp/x\nmqtt: 0.0.0.0:1884\ndownstream: mqtt://h:1885/site\nqueue: { segment_bytes: 33554432, compression: on, plain_bytes: 0 }\n",
            path: "hub.yaml")
        #expect(good.dataDirectory == "/tmp/x")
        #expect(good.isCompressing)
        #expect(good.plainBytes == 0)
        let off = try HubConfigurationFile.parse(
            "queue: { compression: off }\nminute_query: off\n", path: "hub.yaml")
        #expect(!off.isCompressing)
        #expect(good.runsMinuteQuery)
        #expect(!off.runsMinuteQuery)
        #expect(good.mqtt == HostPort(host: "0.0.0.0", port: 1884))
        #expect(good.downstream?.prefix == "site")
        let secure = try HubConfigurationFile.parse(
            "downstream_ca: ca.crt\ndownstream: mqtts://h\n", path: "hub.yaml")
        #expect(secure.downstream?.authorityFile == "ca.crt")
        for text in ["downstream_ca: ca.crt\n", "downstream_ca: ca.crt\ndownstream: mqtt://h\n"] {
            let problems = #expect(throws: HubConfigurationFile.Problems.self) {
                try HubConfigurationFile.parse(text, path: "hub.yaml")
            }
            #expect(
                problems?.lines == ["hub.yaml:1:16: downstream_ca: needs downstream: mqtts://HOST:PORT"])
        }
        let problems = #expect(throws: HubConfigurationFile.Problems.self) {
            try HubConfigurationFile.parse(
                "dta: x\nmqtt: nowhere\nqueue: { segments: 3, compression: some, plain_bytes: -1 }\nminute_query: no\n",
                path: "hub.yaml")
        }
        let lines = try #require(problems).lines
        #expect(lines.count == 6)
        #expect(
            lines.first?.hasPrefix("hub.yaml:1:1: unknown setting \"dta\" (did you mean \"data\"?)") == true)
        #expect(lines.last == "hub.yaml:4:15: minute_query: is on or off")
    }

    @Test("addresses are HOST:PORT, IPv6 in brackets", arguments: [("[::1]:80", "::1", 80), ("a:0", "a", 0)])
    func addresses(text: String, host: String, port: Int) {
        #expect(HostPort(text) == HostPort(host: host, port: port))
        #expect(HostPort("1883") == nil)
        #expect(HostPort("a:65536") == nil)
        #expect(HostPort(":1") == nil)
    }
}
