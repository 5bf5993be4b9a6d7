import Foundation
import MQTTWire
import Testing

@testable import Load

@Suite("Load plan and result")
struct LoadPlanTests {
    @Test("the defaults can be run")
    func defaults() { #expect(LoadPlan().problem == nil) }

    @Test("a plan outside its limits is refused with what to write", arguments: 0..<13)
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
        case 8: plan.namePrefix = ""
        case 9: plan.namePrefix = String(repeating: "x", count: LoadLimits.namePrefixBytesMax + 1)
        case 10: plan.namePrefix = "a/b"
        case 11: plan.namePrefix = "a\u{7}"
        default: plan.window = 0
        }
        #expect(plan.problem != nil)
        #expect(throws: LoadError.self) { _ = try LoadRunner(plan) }
    }

    @Test(
        "names begin with the prefix that is given, else with one of the run's own, and the result says which"
    )
    func prefix() throws {
        var plan = LoadPlan()
        plan.connections = 1
        plan.namePrefix = "line-7"
        let named = try LoadRunner(plan)
        #expect(named.result.namePrefix == "line-7")
        #expect(named.result.json(plan).contains(#""prefix":"line-7""#))
        plan.namePrefix = nil
        let own = try LoadRunner(plan).result.namePrefix
        #expect(own.hasPrefix("load-") && own.utf8.count == 13)
        #expect(PublishTemplate.namePrefix(runID: 0xAB) == "load-000000ab")
        #expect(PublishTemplate.name(of: 42, prefix: own) == own + "-00042")
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
