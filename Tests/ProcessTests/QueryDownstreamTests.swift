import Foundation
import Testing

@Suite("Rows of added queries on another broker", .ownThread, .timeLimit(.minutes(3)))
struct QueryDownstreamTests {
    private static let text =
        "SELECT n INTO high FROM telemetry WHERE n > 10 SELECT n INTO low FROM telemetry WHERE n <= 10"

    private func publish(_ hub: HubProcess, _ numbers: ClosedRange<Int>) throws {
        for number in numbers {
            let body = #"{"id":"\#(number)","n":\#(number)}"#
            #expect(try ClientTests.publish(hub, "devices/d/telemetry", body).status == 0)
        }
    }

    private func sink(_ hub: HubProcess, _ query: String) throws -> [String: Any]? {
        let status = try hub.object("/api/v1/queries/" + query)
        return (status["sinks"] as? [[String: Any]] ?? []).first { $0["name"] as? String == "downstream" }
    }

    @Test(
        "the outputs that are told to, each row under its _rid: over kills, while the broker is away, from an edit on"
    )
    func forwarded() throws {
        guard Programs.areInstalled(Programs.broker, Programs.publisher, Programs.subscriber) else { return }
        let broker = try UpstreamBroker()
        // Its session waits for it while the broker is away.
        let witness = try broker.subscriber("site/#", options: ["-c", "-i", "witness"])
        let hub = try HubProcess(["--downstream", broker.url + "/site", "--no-minute-query"])
        let path = "/api/v1/queries/split?downstream="
        let wrong = try hub.request("PUT", path + "hig=true", Self.text)
        #expect(wrong.status == 400)
        #expect(wrong.text.contains("did you mean high?"), "\(wrong.text)")
        #expect(try hub.request("PUT", path + "high=true", Self.text).status == 201)
        try publish(hub, 9...12)
        #expect(witness.has(try line(hub, "high", 12)))
        #expect(poll(seconds: 20) { try? sink(hub, "split")?["outbox"] as? Int == 0 ? true : nil } != nil)
        // The other output from now on.
        let both = "/api/v1/queries/split?downstream=high=true&downstream=low=true"
        #expect(try hub.request("PUT", both, Self.text).status == 200)
        try broker.stop()
        try publish(hub, 1...2)
        hub.kill()
        try hub.start()
        try publish(hub, 13...13)
        let waiting = poll(seconds: 20) { () -> Bool? in
            (try? sink(hub, "split")).flatMap { $0?["outbox"] as? Int } ?? 0 >= 3 ? true : nil
        }
        #expect(waiting != nil, "\(hub.text("/api/v1/queries/split"))")
        #expect(hub.text("/api/v1/queries/split").contains("rows wait for downstream"))
        #expect(
            hub.text("/metrics").contains(#"headend_query_sink_outbox_rows{query="split",sink="downstream"}"#)
        )
        try broker.start()
        for number in [1, 2] { #expect(witness.has(try line(hub, "low", number))) }
        #expect(witness.has(try line(hub, "high", 13)))
        #expect(!witness.lines.contains { $0.contains(#""n":9,"#) })
        #expect(try hub.stop() == 0, "\(hub.transcript)")
    }

    /// As `TopicWitness` has it, with the `_rid` of the file.
    private func line(_ hub: HubProcess, _ output: String, _ number: Int) throws -> String {
        let path = hub.data + "/results/split/\(output)/\(output).jsonl"
        let row = poll(seconds: 20) {
            (try? String(contentsOfFile: path, encoding: .utf8))?.split(separator: "\n").first {
                $0.hasPrefix("{\"n\":\(number),")
            }
        }
        return "site/headend/split/\(output) 0 \(try #require(row, "no row \(number) of \(output)"))"
    }
}
