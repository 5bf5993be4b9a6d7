import Testing

@testable import Hub

@Suite("Listeners in the configuration")
struct ListenerConfigurationTests {
    private func problems(_ text: String) throws -> [String] {
        do {
            _ = try HubConfigurationFile.parse(text, path: "hub.yaml")
            return []
        } catch let problems as HubConfigurationFile.Problems {
            return problems.lines
        }
    }

    @Test("Each entry is a door, in the order in which they stand")
    func good() throws {
        let configuration = try HubConfigurationFile.parse(
            """
            loops: 2
            listeners:
              - { type: mqtt, address: "0.0.0.0:1883" }
              - type: mqtts
                address: "[::1]:8883"
                certificate: hub.crt
                key: hub.key
                client_ca: ca.crt
                identity: san
              - { type: wss, address: "127.0.0.1:0", certificate: a, key: b, client_ca: c, client_certificate: optional }
              - { type: ws, address: "127.0.0.1:8083" }
            """, path: "hub.yaml")
        let listeners = configuration.allListeners
        #expect(configuration.loops == 2)
        #expect(listeners.map(\.kind) == [.mqtt, .mqtts, .wss, .ws])
        #expect(listeners[1].address == HostPort(host: "::1", port: 8_883))
        #expect(listeners[1].clientCertificate == .required, "with client_ca alone")
        #expect(listeners[1].identity == .san)
        #expect(listeners[2].clientCertificate == .optional)
        #expect(listeners[2].identity == .commonName)
        #expect(listeners[3].place == "hub.yaml:11:5")
    }

    @Test("Without any there is the usual one, and mqtt: is one more")
    func usual() throws {
        let none = try HubConfigurationFile.parse("data: x", path: "").allListeners
        #expect(none.map(\.address.description) == ["127.0.0.1:1883"])
        let text = "mqtt: 127.0.0.1:1\nlisteners: [{ type: ws, address: \"127.0.0.1:2\" }]"
        let two = try HubConfigurationFile.parse(text, path: "").allListeners
        #expect(two.map(\.address.port) == [1, 2])
        let text2 = "listeners: [{ type: ws, address: \"127.0.0.1:2\" }]"
        #expect(try HubConfigurationFile.parse(text2, path: "").allListeners.map(\.kind) == [.ws])
    }

    @Test(
        "What is wrong is told with its place and what to write",
        arguments: [
            ("listeners: 3", "hub.yaml:1:12: listeners: is a list"),
            ("listeners: []", "hub.yaml:1:12: listeners: is a list"),
            ("listeners: [x]", "hub.yaml:1:13: a listener is a map"),
            ("listeners: [{ address: \"h:1\" }]", "hub.yaml:1:13: type: is missing"),
            ("listeners: [{ type: mqtt }]", "hub.yaml:1:13: address: is missing"),
            (
                "listeners: [{ type: mqqt, address: \"h:1\" }]",
                "hub.yaml:1:21: type: is one of mqtt, mqtts, ws, wss (did you mean \"mqtt\"?)"
            ),
            ("listeners: [{ type: ws, address: h }]", "hub.yaml:1:34: address: is HOST:PORT"),
            (
                "listeners: [{ type: ws, address: \"h:1\", certificat: x }]",
                "unknown setting \"certificat\" (did you mean \"certificate\"?)"
            ),
            (
                "listeners: [{ type: ws, address: \"h:1\", key: x }]",
                "key: belongs to a listener of type mqtts or wss"
            ),
            (
                "listeners: [{ type: mqtts, address: \"h:1\", key: x }]",
                "certificate: is missing; mqtts needs a PEM"
            ),
            (
                "listeners: [{ type: mqtts, address: \"h:1\", key: x, certificate: y, client_certificate: required }]",
                "client_certificate: needs client_ca:"
            ),
            ("loops: 0", "hub.yaml:1:8: loops: is a number from 1 to 64"),
        ])
    func bad(_ text: String, _ expected: String) throws {
        let found = try problems(text)
        #expect(found.contains { $0.contains(expected) }, "\(found)")
    }
}
