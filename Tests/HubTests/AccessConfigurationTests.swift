import Access
import FileStoreKit
import MQTTBroker
import Platform
import Testing

@testable import Hub

@Suite("Users, rules and limits in the configuration")
struct AccessConfigurationTests {
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
            ("users: /nowhere/users", "hub.yaml:1:8: users: /nowhere/users: cannot open"),
            ("users: []", "hub.yaml:1:8: users: is the name of a file"),
            ("acl: /nowhere/rules", "hub.yaml:1:6: acl: /nowhere/rules: cannot open"),
            ("acl: {}", "hub.yaml:1:6: acl: is a list of rules"),
            ("acl: [7]", "hub.yaml:1:7: a rule is a map"),
            (
                "acl:\n  - { alow: both, topic: a }",
                "hub.yaml:2:7: unknown setting \"alow\" (did you mean \"allow\"?)"
            ),
            (
                "acl:\n  - { allow: publsh, topic: a }",
                "hub.yaml:2:14: allow: is publish, subscribe or both (did you mean \"publish\"?)"
            ),
            ("acl:\n  - { topic: a }", "hub.yaml:2:5: a rule needs allow: or deny:"),
            ("acl:\n  - { allow: both }", "hub.yaml:2:5: a rule needs topic:"),
            ("acl:\n  - { allow: both, deny: both, topic: a }", "a rule allows or denies, not both"),
            ("acl:\n  - { allow: both, topic: \"a/%x\" }", "hub.yaml:2:27: topic: \"%x\": there are %c"),
            ("acl:\n  - { allow: both, topic: [a, b/#/c] }", "# stands only at the end of a topic filter"),
            ("acl:\n  - { allow: both, user: [], topic: a }", "user: is a name, with * for any text"),
            ("acl:\n  - { allow: both, user: x, anonymous: true, topic: a }", "leave user: out"),
            ("anonymous: perhaps", "hub.yaml:1:12: anonymous: is true or false"),
            ("limits: 7", "hub.yaml:1:9: limits: is a map"),
            (
                "limits: { conections: 7 }",
                "hub.yaml:1:11: unknown limit \"conections\" (did you mean \"connections\"?)"
            ),
            (
                "limits: { connections: 0 }",
                "hub.yaml:1:24: connections: is a whole number from 1 to 10000000"
            ),
            (
                "limits: { packet_bytes: 1TB }",
                "hub.yaml:1:25: packet_bytes: is a number of bytes such as 64KiB"
            ),
            (
                "limits: { message_rate: -1 }",
                "message_rate: is a whole number a second from 1 to 100000000, or none"
            ),
            (
                "limits: { connect_timeout: 10 }",
                "connect_timeout: is a duration such as 10s from 100ms to 3600s"
            ),
            (
                "listeners:\n  - { type: mqtt, address: \"127.0.0.1:0\", limits: { sessions: 7 } }",
                "hub.yaml:2:53: sessions: is the same for all listeners"
            ),
            (
                "listeners:\n  - { type: mqtt, address: \"127.0.0.1:0\", limits: { topic_levels: 129 } }",
                "hub.yaml:2:67: topic_levels: is a whole number from 1 to 128"
            ),
            (
                "listeners:\n  - { type: mqtt, address: \"127.0.0.1:0\", limits: { packet_byte: 1MiB } }",
                "hub.yaml:2:53: unknown limit \"packet_byte\" (did you mean \"packet_bytes\"?)"
            ),
            (
                "listeners:\n  - { type: mqtt, address: \"127.0.0.1:0\", anonymous: 3 }",
                "anonymous: is true or false"
            ),
        ])
    func mistakes(text: String, expected: String) {
        let found = problems(text)
        #expect(found.count == 1, "\(found)")
        #expect(found.first?.contains(expected) == true, "\(found)")
    }

    @Test("a file of rules that is no YAML is told by its own name and place")
    func noYAML() throws {
        let files = MemoryFileStore()
        try files.createDirectory("/etc")
        try files.replace("/etc/rules", with: Array("- { allow: both,\n    allow: both }\n".utf8))
        let problems = #expect(throws: HubConfigurationFile.Problems.self) {
            try HubConfigurationFile.parse("acl: /etc/rules", path: "hub.yaml", files: files)
        }
        #expect(
            problems?.lines == ["/etc/rules:1:5: \"allow\" stands twice in this map: leave one of them"])
    }

    @Test("every limit of the hub can be set, and those of a listener are its own")
    func limits() throws {
        for setting in LimitReader.settings {
            let number =
                switch setting.unit {
                case .duration: "\(setting.range.lowerBound / 1_000_000)ms"
                case .seconds: "\(setting.range.lowerBound)s"
                default: "\(setting.range.lowerBound)"
                }
            _ = try HubConfigurationFile.parse("limits: { \(setting.name): \(number) }", path: "hub.yaml")
        }
        let text = """
            limits: { connections: 7, message_rate: 10, byte_rate: 64KiB, packet_bytes: 1MiB, session_expiry: 7d }
            listeners:
              - { type: mqtt, address: "127.0.0.1:0", limits: { connections: 3, message_rate: none } }
              - { type: ws, address: "0.0.0.0:0", anonymous: true }
              - type: mqtt
                address: 127.0.0.1:0
                limits:
                  packet_bytes: 64KiB
                  receive_maximum: 5
                  topic_levels: 6
                  subscriptions: 7
                  session_messages: 8
                  session_bytes: 9KiB
                  kept_messages: 10
                  kept_bytes: 11KiB
            """
        let configuration = try HubConfigurationFile.parse(text, path: "hub.yaml")
        let limits = configuration.limits
        #expect(limits.connections == 7)
        #expect(limits.broker.packetBytesMax == 1 << 20)
        #expect(limits.broker.sessionExpiryMaxSeconds == 604_800)
        let first = limits.listener.with(configuration.listeners[0].limits)
        #expect(first.connections == 3)
        #expect(first.messagesPerSecond == 0)
        #expect(first.bytesPerSecond == 65_536)
        #expect(limits.listener.with(configuration.listeners[1].limits).messagesPerSecond == 10)
        #expect(configuration.listenerAccess.map(\.isLoopback) == [true, false, true])
        #expect(configuration.listenerAccess.map(\.anonymous) == [nil, true, nil])
        let hub = ClientLimits(limits.broker)
        #expect(configuration.listeners[1].limits.applied(to: hub) == hub)
        var own = hub
        own.packetBytesMax = 65_536
        own.receiveMaximum = 5
        own.topicLevels = 6
        own.subscriptionsPerSession = 7
        own.sessionQueueMessages = 8
        own.sessionQueueBytes = 9_216
        own.keptQueueMessages = 10
        own.keptQueueBytes = 11_264
        #expect(configuration.listeners[2].limits.applied(to: hub) == own)
    }

    @Test("who is let in without a user: on loopback while there are no users, else where it is asked for")
    func anonymous() throws {
        var settings = AccessSettings()
        let near = ListenerAccess(isLoopback: true)
        let far = ListenerAccess(isLoopback: false)
        #expect(near.isOpen(settings) && near.takesAnonymous(settings))
        #expect(!far.isOpen(settings) && !far.takesAnonymous(settings))
        settings.anonymous = true
        #expect(near.isOpen(settings) && far.takesAnonymous(settings) && !far.isOpen(settings))
        settings.anonymous = false
        #expect(!near.isOpen(settings) && !near.takesAnonymous(settings))
        settings = AccessSettings()
        settings.rules = []
        #expect(!near.isOpen(settings) && near.takesAnonymous(settings))
        settings.users = UserTable()
        #expect(!near.takesAnonymous(settings))
        #expect(ListenerAccess(isLoopback: true, anonymous: true).takesAnonymous(settings))
        for (host, isLoopback) in [
            ("127.0.0.1", true), ("::1", true), ("localhost", true), ("127.1.2.3", true), ("0.0.0.0", false),
            ("::", false), ("127.evil.example", false), ("10.0.0.1", false),
        ] {
            #expect(HostPort(host: host, port: 1).isLoopback == isLoopback, "\(host)")
        }
    }

    struct Vector: CustomTestStringConvertible {
        var preset: IngestPreset
        var client: String
        var publish: String
        var isAllowed: Bool
        var testDescription: String { "\(preset) \(client) \(publish)" }
    }

    @Test(
        "by default a device may publish its own topics, in every preset that names it",
        arguments: [
            Vector(preset: .plain, client: "d1", publish: "devices/d1/telemetry", isAllowed: true),
            Vector(preset: .plain, client: "d1", publish: "devices/d1/status", isAllowed: true),
            Vector(preset: .plain, client: "d1", publish: "devices/d2/telemetry", isAllowed: false),
            Vector(preset: .plain, client: "+", publish: "devices/d2/telemetry", isAllowed: false),
            Vector(preset: .plain, client: "d1", publish: "other", isAllowed: false),
            Vector(preset: .azure, client: "d1", publish: "devices/d1/messages/events/a=b", isAllowed: true),
            Vector(preset: .thingsboard, client: "d1", publish: "v1/devices/me/telemetry", isAllowed: true),
            Vector(preset: .tasmota, client: "d1", publish: "tele/d1/SENSOR", isAllowed: true),
            Vector(preset: .tasmota, client: "d1", publish: "stat/d1/RESULT", isAllowed: true),
            Vector(preset: .tasmota, client: "d1", publish: "tele/d2/SENSOR", isAllowed: false),
            Vector(preset: .zigbee2mqtt, client: "d1", publish: "zigbee2mqtt/d1", isAllowed: true),
            Vector(preset: .esphome, client: "d1", publish: "d1/sensor/t/state", isAllowed: true),
            Vector(preset: .esphome, client: "devices", publish: "devices/d2/telemetry", isAllowed: false),
            Vector(preset: .hono, client: "t1:d1", publish: "telemetry/t1/d1", isAllowed: true),
            Vector(preset: .hono, client: "t1:d1", publish: "event/t1/d1", isAllowed: true),
            Vector(preset: .hono, client: "d1", publish: "telemetry/t1/d1", isAllowed: false),
            Vector(preset: .hono, client: "t1:d1", publish: "telemetry/t2/d1", isAllowed: false),
        ])
    func devices(_ vector: Vector) {
        let rules = AccessSettings().accessRules(ingest: vector.preset.rules)
        let rights = rules.rights(of: ClientIdentity(client: vector.client))
        #expect(rights.decisionToPublish(vector.publish).isAllowed == vector.isAllowed)
        // A certificate's name goes before the client identifier.
        let certified = ClientIdentity(client: "other", user: vector.client, hasCertificate: true)
        if vector.preset != .thingsboard {
            #expect(
                rules.rights(of: certified).decisionToPublish(vector.publish).isAllowed == vector.isAllowed)
        }
    }

    @Test("by default a device may subscribe to what is addressed to it")
    func subscriptions() {
        let rules = AccessSettings().accessRules(ingest: IngestPreset.standard)
        let rights = rules.rights(of: ClientIdentity(client: "d1"))
        for (filter, isAllowed) in [
            ("devices/d1/commands/#", true), ("devices/d1/#", true), ("headend/minute/d1/+", true),
            ("devices/d2/#", false), ("devices/+/commands", false), ("#", false), ("$SYS/#", false),
            ("$share/g/$queue/#", false), ("$share/g/devices/d1/#", true),
        ] {
            #expect(rights.decisionToSubscribe(filter).isAllowed == isAllowed, "\(filter)")
        }
    }

    @Test("a route that was not asked about is never taken for one that was, and new rules void all")
    func marks() {
        var marks = RouteMarks()
        let version = RouteMarks.Version(routes: 1, rights: 1)
        for route in stride(from: UInt32(0), to: 20_000, by: 2) {
            marks.insert(route, version)
            let isMarked = marks.has(route, version)
            #expect(isMarked)
        }
        var kept = 0
        for route in UInt32(0)..<20_000 where marks.has(route, version) {
            #expect(route % 2 == 0)
            kept += 1
        }
        #expect(kept > 1_000)
        let isStale = marks.has(19_998, RouteMarks.Version(routes: 1, rights: 2))
        #expect(!isStale)
        let isBack = marks.has(19_998, version)
        #expect(!isBack)
    }

    @Test("a rate lets a second's worth through at once, and then what it says")
    func rate() {
        var meter = RateMeter()
        let second: UInt64 = 1_000_000_000
        var taken = 0
        for _ in 0..<50 where meter.takeOne(perSecond: 10, now: 100 * second) { taken += 1 }
        #expect(taken == 10)
        for _ in 0..<50 where meter.takeOne(perSecond: 10, now: 100 * second + second / 2) { taken += 1 }
        #expect(taken == 15)
        var other = RateMeter()
        #expect(other.take(10, perSecond: 10, now: 100 * second) <= 100 * second)
        #expect(other.take(20, perSecond: 10, now: 100 * second) == 102 * second)
        #expect(other.take(5, perSecond: 0, now: 7) == 7)
    }
}
