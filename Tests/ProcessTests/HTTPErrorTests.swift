import Foundation
import Testing

@Suite("What the HTTP interface answers when it cannot", .ownThread, .timeLimit(.minutes(2)))
struct HTTPErrorTests {
    private func message(_ text: String) -> String? {
        // Of an answer with its head, or of a body.
        let body = text.range(of: "\r\n\r\n").map { String(text[$0.upperBound...]) } ?? text
        let object = try? JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any]
        return (object?["error"] as? [String: Any])?["message"] as? String
    }

    @Test("every refusal has a JSON body that says what is wrong")
    func refusals() throws {
        let hub = try HubProcess()
        let cases: [(String, String, String, Int, String)] = [
            ("GET", "/nothing", "", 404, "/nothing"), ("GET", "/", "", 404, "/api/v1/status"),
            ("POST", "/api/v1/status", "", 404, "POST /api/v1/status"),
            ("DELETE", "/healthz", "", 404, "DELETE /healthz"),
            ("GET", "/api/v1/devices/none", "", 404, "none"),
            ("GET", "/api/v1/devices/none/records", "", 404, "none"),
            ("GET", "/api/v1/devices?limit=x", "", 400, "limit=x"),
            ("GET", "/api/v1/queries/other/results", "", 404, "other"),
            ("GET", "/api/v1/quarantine?reason=non_json", "", 400, "did you mean not_json"),
            ("PUT", "/api/v1/groups/g", String(repeating: " ", count: (1 << 20) + 1), 413, "1 MiB"),
        ]
        for (method, path, body, status, text) in cases {
            let reply = try hub.request(method, path, body)
            #expect(reply.status == status, "\(method) \(path): \(reply.status) \(reply.text)")
            #expect(
                message(reply.text)?.contains(text) == true, "\(method) \(path): \(reply.text.prefix(300))")
        }
        #expect(try hub.stop() == 0, "\(hub.transcript)")
    }

    @Test("a damaged record is told of with its file and place")
    func damage() throws {
        guard Programs.areInstalled(Programs.publisher) else { return }
        let hub = try HubProcess()
        let reading = #"{"id":"only","temperature":20.5}"#
        #expect(try ClientTests.publish(hub, "devices/d/telemetry", reading).status == 0)
        let path = hub.data + "/queue/0/00000000000000000000.log"
        let file = try #require(FileHandle(forUpdatingAtPath: path))
        defer { try? file.close() }
        // The hub reads this from the file, not from memory, once it has started again: not its recovery, which
        // would refuse the file as a whole.
        let bytes = try #require(try file.read(upToCount: 1 << 16))
        let place = try #require(bytes.range(of: Data(reading.utf8)))
        hub.kill()
        try hub.start()
        try file.seek(toOffset: UInt64(place.lowerBound))
        try file.write(contentsOf: Data("#".utf8))
        let reply = try hub.answer("/api/v1/devices/d/records")
        #expect(reply.status == 500, "\(reply)")
        #expect(message(reply.body)?.contains(path) == true, "\(reply.body)")
        #expect(message(reply.body)?.contains("damaged at byte") == true, "\(reply.body)")
    }
}
