import MQTTBroker
import Testing

@testable import Hub

/// `$SYS/broker/…`.
@Suite("System topics")
struct SystemTopicTests {
    private func texts(_ messages: [Message]) -> [String: String] {
        Dictionary(
            uniqueKeysWithValues: messages.map { ($0.topic, String(decoding: $0.payload, as: UTF8.self)) })
    }

    @Test("They are due at once and then at their interval; an interval of 0 is never")
    func due() {
        var topics = SystemTopics(interval: 10_000_000_000, now: 5)
        #expect(topics.isDue(now: 5))
        _ = topics.messages(BrokerCounters(), LoopTraffic(), dropped: 0, now: 5)
        #expect(!topics.isDue(now: 9_999_999_999))
        #expect(topics.isDue(now: 10_000_000_005))
        #expect(!SystemTopics(interval: 0, now: 5).isDue(now: .max))
    }

    @Test("They have the names and values that mosquitto's users know, retained")
    func values() {
        var topics = SystemTopics(interval: 10_000_000_000, now: 0)
        var broker = BrokerCounters()
        broker.sessions = 7
        broker.connected = 5
        broker.subscriptions = 3
        broker.sharedSubscriptions = 1
        broker.retained = 2
        broker.messagesOut = 40
        var traffic = LoopTraffic()
        traffic.note(packets: 60, byteCount: 600)
        traffic.note(publishBytes: 12)
        let messages = topics.messages(broker, traffic, dropped: 4, now: 61_000_000_000)
        let found = texts(messages)
        let wanted = [
            "version": HubVersion.text, "clients/total": "7", "clients/connected": "5",
            "clients/disconnected": "2", "clients/maximum": "5", "subscriptions/count": "3",
            "shared_subscriptions/count": "1", "retained messages/count": "2", "messages/received": "60",
            "bytes/received": "600", "publish/messages/received": "1", "publish/bytes/received": "12",
            "publish/messages/sent": "40", "publish/messages/dropped": "4", "uptime": "61 seconds",
        ]
        for (name, value) in wanted { #expect(found["$SYS/broker/" + name] == value, "\(name)") }
        #expect(messages.allSatisfy { $0.retain && $0.topic.hasPrefix("$SYS/broker/") })
    }

    @Test("Only what has changed is published again")
    func changes() {
        var topics = SystemTopics(interval: 1, now: 0)
        _ = topics.messages(BrokerCounters(), LoopTraffic(), dropped: 0, now: 0)
        let again = texts(topics.messages(BrokerCounters(), LoopTraffic(), dropped: 0, now: 500_000_000))
        #expect(again["$SYS/broker/clients/total"] == nil)
        #expect(again["$SYS/broker/uptime"] == nil)
    }

    @Test("A load is a minute's worth and fades when nothing comes")
    func loads() {
        var topics = SystemTopics(interval: 1, now: 0)
        var traffic = LoopTraffic()
        var found: [String: String] = [:]
        for second in 1...3_600 {
            traffic.note(packets: 100, byteCount: 0)
            let messages = topics.messages(
                BrokerCounters(), traffic, dropped: 0, now: UInt64(second) * 1_000_000_000)
            found.merge(texts(messages)) { $1 }
        }
        for span in ["1min", "5min", "15min"] {
            let load = Double(found["$SYS/broker/load/messages/received/" + span] ?? "") ?? 0
            #expect((5_850...6_000).contains(load), "\(span): \(load)")
        }
        for second in 3_601...3_900 {
            let messages = topics.messages(
                BrokerCounters(), traffic, dropped: 0, now: UInt64(second) * 1_000_000_000)
            found.merge(texts(messages)) { $1 }
        }
        let fast = Double(found["$SYS/broker/load/messages/received/1min"] ?? "") ?? 0
        let slow = Double(found["$SYS/broker/load/messages/received/15min"] ?? "") ?? 0
        #expect(fast < 100)
        #expect(slow > 3_000)
    }

    @Test("sys_interval is read, and refused with its place")
    func setting() throws {
        #expect(try HubConfigurationFile.parse("sys_interval: 0", path: "f").systemTopicsSeconds == 0)
        #expect(try HubConfigurationFile.parse("sys_interval: 60", path: "f").systemTopicsSeconds == 60)
        #expect(try HubConfigurationFile.parse("data: x", path: "f").systemTopicsSeconds == 10)
        for text in ["-1", "ten", "[]", "86401"] {
            #expect(throws: HubConfigurationFile.Problems.self) {
                try HubConfigurationFile.parse("sys_interval: " + text, path: "f")
            }
        }
    }
}
