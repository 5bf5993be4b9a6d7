import Foundation
import Testing

@Suite("Reference data of a running hub", .ownThread, .timeLimit(.minutes(3)))
struct ReferenceTests {
    private static let query =
        "SELECT t.n, s.version INTO o FROM telemetry t JOIN sites s ON t.IoTHub.ConnectionDeviceId = s.id"

    private func configuration(_ directory: TemporaryDirectory) throws -> String {
        _ = try directory.write("join.sql", Self.query)
        return """
            references: [{ name: sites, file: \(directory.path)/sites.csv, refresh: 100ms }]
            queries: [{ name: join, file: \(directory.path)/join.sql, startAt: earliest }]
            minute_query: off
            """
    }

    /// Puts a version of the rows in the file's place, as one step.
    private func replace(_ directory: TemporaryDirectory, _ version: Int) throws {
        let path = try directory.write("sites.new", "id,version\nd,\(version)\n")
        #expect(rename(path, directory.path + "/sites.csv") == 0)
    }

    private func command(_ hub: HubProcess, _ words: [String]) throws -> (status: Int32, text: String) {
        let child = try ChildProcess(
            Programs.headend, ["reference"] + words + ["--http", hub.url], directory: hub.directory.path,
            label: "reference")
        let status = try #require(poll(seconds: 30) { child.exitStatus }, "no answer")
        return (status, child.output + child.errorOutput)
    }

    private func lines(_ hub: HubProcess) -> [String] {
        let text = try? String(contentsOfFile: hub.data + "/results/join/o/o.jsonl", encoding: .utf8)
        return text?.split(separator: "\n").map(String.init) ?? []
    }

    /// Publishes readings, one after the other, each acknowledged.
    private func publish(_ hub: HubProcess, _ numbers: Range<Int>) throws {
        let path = try hub.directory.write(
            "lines", numbers.map { "{\"id\":\"\($0)\",\"n\":\($0)}\n" }.joined())
        let child = try ChildProcess(
            "/bin/sh",
            [
                "-c",
                "mosquitto_pub -p \(hub.mqttPort) -q 1 -t devices/d/telemetry -l < \(path)",
            ], directory: hub.directory.path, label: "publish")
        #expect(poll(seconds: 30) { child.exitStatus } == 0)
    }

    @Test("killed while the file changes, no row is lost, doubled, or ever other than it was")
    func kills() throws {
        guard Programs.areInstalled(Programs.publisher) else { return }
        let directory = try TemporaryDirectory()
        try replace(directory, 0)
        let hub = try HubProcess(configuration: try configuration(directory))
        var seen: [String: String] = [:]
        func look() {
            for line in lines(hub) where line.hasSuffix("}") {
                let parts = line.components(separatedBy: ",\"_rid\"")
                guard parts.count == 2 else { continue }
                #expect(seen[parts[1]] ?? parts[0] == parts[0])
                seen[parts[1]] = parts[0]
            }
        }
        var count = 0
        for life in 0..<4 {
            for change in 0..<5 {
                try replace(directory, life * 5 + change + 1)
                try publish(hub, count..<count + 50)
                count += 50
                if change == 2 {
                    _ = poll(seconds: 5) { lines(hub).isEmpty ? nil : true }
                    look()
                }
            }
            // In the middle of a turn, a look, or a change that comes into force.
            hub.kill()
            look()
            if life == 2 { try replace(directory, 100) }
            try hub.start()
        }
        #expect(poll(seconds: 30) { lines(hub).count >= count ? true : nil } != nil)
        #expect(try hub.stop() == 0, "\(hub.transcript)")
        look()
        let whole = lines(hub)
        #expect(whole.count == count)
        #expect(seen.count == count)
        let versions = whole.compactMap { line -> Int? in
            line.components(separatedBy: "\"version\":\"").last.flatMap { Int($0.prefix { $0.isNumber }) }
        }
        // As the log grows, versions only do so too, and several were in force.
        #expect(versions.count == count)
        #expect(Set(versions).count > 3)
        // Computed again from the log, with the file gone, all is as it was.
        try FileManager.default.removeItem(atPath: hub.data + "/query/join/checkpoint")
        for folder in ["/query/join/outbox", "/results/join"] {
            try FileManager.default.removeItem(atPath: hub.data + folder)
        }
        for name in try FileManager.default.contentsOfDirectory(atPath: hub.data + "/query/join")
        where name != "definition" {
            try FileManager.default.removeItem(atPath: hub.data + "/query/join/" + name)
        }
        try FileManager.default.removeItem(atPath: directory.path + "/sites.csv")
        try hub.start()
        #expect(poll(seconds: 30) { lines(hub).count >= count ? true : nil } != nil)
        #expect(try hub.stop() == 0, "\(hub.transcript)")
        #expect(lines(hub) == whole)
    }

    @Test("listed, reloaded, refused with the place, and tried again by itself")
    func life() throws {
        guard Programs.areInstalled(Programs.publisher) else { return }
        let directory = try TemporaryDirectory()
        try replace(directory, 1)
        let hub = try HubProcess(configuration: try configuration(directory))
        #expect(try command(hub, ["list"]).text.hasPrefix("sites: 1 row, 25 bytes of"))
        _ = try directory.write("sites.csv", "id,version\nd,\"2\n")
        let refused = try command(hub, ["reload", "sites"])
        #expect(refused.status == 2)
        #expect(refused.text.contains("sites.csv:2:3: this quote is never closed"))
        #expect(
            String(decoding: try hub.get("/readyz"), as: UTF8.self).contains("this quote is never closed"))
        let unknown = try command(hub, ["reload", "sits"])
        #expect(unknown.status == 2)
        #expect(unknown.text.contains("did you mean sites?"))
        try publish(hub, 0..<1)
        // The query's rows so far, over HTTP.
        let hasRow = poll(seconds: 20) {
            hub.text("/api/v1/queries/join/results").contains(#""version":"1""#) ? true : nil
        }
        #expect(hasRow != nil, "\(hub.text("/api/v1/queries/join/results"))")
        // By itself, once it is whole.
        try replace(directory, 3)
        let isLoaded = poll(seconds: 20) {
            (try? hub.get("/api/v1/references")).map { String(decoding: $0, as: UTF8.self) }?
                .contains("\"versionsKept\":2") == true ? true : nil
        }
        #expect(isLoaded != nil)
        try publish(hub, 1..<2)
        #expect(
            String(decoding: try hub.get("/metrics"), as: UTF8.self).contains(
                "headend_reference_usable{reference=\"sites\"} 1"))
        #expect(try hub.stop() == 0, "\(hub.transcript)")
        let rows = lines(hub)
        #expect(rows.first?.contains("\"version\":\"1\"") == true)
        #expect(rows.last?.contains("\"version\":\"3\"") == true)
    }
}
