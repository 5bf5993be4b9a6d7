import Foundation
import Testing

@Suite("Queries of a running hub", .ownThread, .timeLimit(.minutes(3)))
struct QueryTests {
    private static let filter =
        "SELECT IoTHub.ConnectionDeviceId AS device, t INTO alerts FROM telemetry WHERE t > 30"
    private static let windows =
        "SELECT IoTHub.ConnectionDeviceId AS device, COUNT(*) AS n INTO counts "
        + "FROM telemetry TIMESTAMP BY IoTHub.EventTime OVER IoTHub.ConnectionDeviceId "
        + "GROUP BY IoTHub.ConnectionDeviceId, TumblingWindow(second, 600)"

    private func query(_ hub: HubProcess, _ words: [String]) throws -> (status: Int32, text: String) {
        let child = try ChildProcess(
            Programs.headend, ["query"] + words + ["--http", hub.url], directory: hub.directory.path,
            label: "query")
        let status = try #require(poll(seconds: 30) { child.exitStatus }, "no answer")
        return (status, child.output + child.errorOutput)
    }

    private func events(_ hub: HubProcess, _ name: String) throws -> Int? {
        let (_, text) = try query(hub, ["show", name, "--json"])
        let value = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
        return (value?["counters"] as? [String: Any])?["events"] as? Int
    }

    @Test("added, edited, paused, killed and removed at run time, a query keeps what it knows")
    func life() throws {
        guard Programs.areInstalled(Programs.publisher) else { return }
        let directory = try TemporaryDirectory()
        let filter = try directory.write("hot.sql", Self.filter)
        let windows = try directory.write("counts.sql", Self.windows)
        let other = try directory.write(
            "other.sql", Self.windows.replacingOccurrences(of: "600", with: "300"))
        let more = try directory.write(
            "more.sql", Self.windows.replacingOccurrences(of: "AS n", with: "AS number"))
        let broken = try directory.write("broken.sql", "SELECT x INTO y FRM telemetry")
        let hub = try HubProcess(["--query", filter])
        #expect(try query(hub, ["add", windows]).status == 0)
        let refused = try query(hub, ["add", broken])
        #expect(refused.status == 2)
        #expect(refused.text.contains("FRM"))
        func publish(_ number: Int) throws {
            let child = try ChildProcess(
                Programs.publisher,
                [
                    "-p", "\(hub.mqttPort)", "-q", "1", "-t", "devices/a/telemetry", "-m",
                    "{\"id\":\"\(number)\",\"t\":\(number)}",
                ], directory: directory.path, label: "publish")
            #expect(poll(seconds: 30) { child.exitStatus } == 0)
        }
        for number in 29...32 { try publish(number) }
        #expect(poll(seconds: 20) { try? events(hub, "counts") == 4 ? true : nil } != nil)
        // Columns may change, the window may not, unless the state is given up.
        #expect(try query(hub, ["edit", "counts", more]).status == 0)
        #expect(try events(hub, "counts") == 4)
        let conflict = try query(hub, ["edit", "counts", other])
        #expect(conflict.status == 1)
        #expect(conflict.text.contains("--reset-state"))
        #expect(try query(hub, ["pause", "counts"]).status == 0)
        try publish(33)
        hub.kill()
        try hub.start()
        #expect(try query(hub, ["list"]).text.contains("counts: paused"))
        #expect(try query(hub, ["resume", "counts"]).status == 0)
        #expect(poll(seconds: 20) { try? events(hub, "counts") == 5 ? true : nil } != nil)
        #expect(try query(hub, ["remove", "counts"]).status == 0)
        #expect(try query(hub, ["show", "counts"]).status == 2)
        #expect(try query(hub, ["remove", "minute"]).status == 1)
        #expect(try hub.stop() == 0, "\(hub.transcript)")
        let rows = try String(contentsOfFile: hub.data + "/results/hot/alerts/alerts.jsonl", encoding: .utf8)
            .split(separator: "\n")
        #expect(rows.count == 3)
        #expect(rows.allSatisfy { $0.contains("\"device\":\"a\"") && $0.contains("_rid") })
    }

    @Test("a hub without the default query runs the others, and says that it has none of that name")
    func withoutDefault() throws {
        let directory = try TemporaryDirectory()
        let filter = try directory.write("hot.sql", Self.filter)
        let hub = try HubProcess(["--no-minute-query", "--query", filter])
        let list = try query(hub, ["list"]).text
        #expect(list.contains("hot: running"))
        #expect(!list.contains("minute"))
        #expect(try query(hub, ["show", "minute"]).status == 2)
        #expect(try hub.stop() == 0, "\(hub.transcript)")
        #expect(!FileManager.default.fileExists(atPath: hub.data + "/query/minute"))
    }
}
