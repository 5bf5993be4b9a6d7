import Foundation
import MQTTWire
import Testing

@testable import Load

@Suite("Load plan and result")
struct LoadPlanTests {
    @Test("the defaults can be run")
    func defaults() { #expect(LoadPlan().problem == nil) }

    @Test("a plan outside its limits is refused with what to write", arguments: 0..<9)
    func refused(which: Int) {
        var plan = LoadPlan()
        switch which {
        case 0: plan.connections = 0
        case 1: plan.connections = LoadLimits.connectionsMax + 1
        case 2: plan.window = 65_536
        case 3: plan.payloadBytes = PublishTemplate.payloadBytesMin - 1
        case 4: plan.rate = 0
        case 5: plan.rate = .nan
        case 6: plan.messagesMax = 0
        case 7: plan.sendNanoseconds = .max
        default: plan.window = 0
        }
        #expect(plan.problem != nil)
        #expect(throws: LoadError.self) { _ = try LoadRunner(plan) }
    }

    @Test("the JSON line parses, with nulls for what was not measured and an escaped error")
    func json() throws {
        var result = LoadResult()
        result.messages = 1_000
        result.sent = 1_001
        result.unacknowledged = 1
        result.seconds = 2.5
        result.firstError = "a \"quoted\" \\ thing\n"
        let data = Data(result.json(LoadPlan()).utf8)
        let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        #expect(object["messages"] as? Int == 1_000)
        #expect(object["unacked"] as? Int == 1)
        #expect(object["rate"] as? Double == 400)
        #expect(object["p99Us"] is NSNull)
        #expect(object["firstError"] as? String == "a \"quoted\" \\ thing")
        result.latency = .init(p50: 1_500, p90: 2_000, p99: 3_049, p999: 4_000, max: 5_000_000)
        let measured = try #require(
            try JSONSerialization.jsonObject(with: Data(result.json(LoadPlan()).utf8)) as? [String: Any])
        #expect(measured["p50Us"] as? Double == 1.5)
        #expect(measured["p99Us"] as? Double == 3.0)
        #expect(measured["maxUs"] as? Double == 5_000)
        #expect(!result.isClean)
    }
}
