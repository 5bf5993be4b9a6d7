import MosquittoClient
import Testing

@testable import Hub

@Suite("upstream: of the configuration")
struct UpstreamConfigurationTests {
    @Test("A broker with everything is read as written")
    func full() throws {
        let text = """
            upstream:
              - name: plant-7
                url: mqtts://hub@broker.example:8884
                password_file: /etc/headend/plant
                ca: ca.pem
                certificate: hub.pem
                key: hub.key
                client_id: hub-1
                version: 3.1.1
                keep_alive: 30s
                buffer: 5MiB
                notification_topic: hubs/hub-1
                subscribe:
                  - { filter: tele/+/SENSOR }
                  - { filter: $share/hubs/raw/#, qos: 0, local_prefix: plant/ }
                mirror:
                  - { direction: both, filter: "#", local_prefix: here/, remote_prefix: there/ }
                  - { direction: out, filter: "", local_prefix: a/b, remote_prefix: c, qos: 2 }
            """
        let configuration = try HubConfigurationFile.parse(text, path: "hub.yaml")
        let upstream = try #require(configuration.upstreams.first)
        #expect(upstream.name == "plant-7")
        #expect(upstream.url == MosquittoURL(host: "broker.example", port: 8884, isSecure: true, user: "hub"))
        #expect(upstream.passwordFile == "/etc/headend/plant")
        #expect(upstream.authorityFile == "ca.pem")
        #expect(upstream.certificateFile == "hub.pem")
        #expect(upstream.keyFile == "hub.key")
        #expect(upstream.identifier(hub: "x") == "hub-1")
        #expect(upstream.version == .v311)
        #expect(upstream.keepAliveSeconds == 30)
        #expect(upstream.bufferBytesMax == 5 << 20)
        #expect(upstream.notificationTopic == "hubs/hub-1")
        #expect(
            upstream.remoteSubscriptions.map { "\($0.qos) \($0.filter)" }
                == ["1 tele/+/SENSOR", "0 $share/hubs/raw/#", "1 there/#"])
        #expect(upstream.localSubscriptions.map { "\($0.qos) \($0.filter)" } == ["1 here/#", "1 a/b"])
        #expect(configuration.notes.count == 1)
        #expect(configuration.notes.first?.hasPrefix("hub.yaml:18:") == true)
    }

    @Test(
        "What is wrong is told with its place and what to write",
        arguments: [
            ("upstream: here", "1:11: upstream: is a list"),
            ("upstream: []", "upstream: is a list"),
            ("upstream:\n  - { name: a }", "2:5: url: is missing"),
            ("upstream:\n  - { url: mqtt://h }", "name: is missing"),
            ("upstream:\n  - { name: a/b, url: mqtt://h }", "2:13: name: is 1 to 64 letters"),
            ("upstream:\n  - { name: a, url: http://h }", "2:21: url: unknown scheme"),
            ("upstream:\n  - { name: a, url: mqtt://h/x }", "url: has a path"),
            ("upstream:\n  - { name: a, url: mqtt://h }", "has nothing to do"),
            ("upstream:\n  - { name: a, url: mqtt://h, subscrib: [] }", "did you mean \"subscribe\"?"),
            ("upstream:\n  - { name: a, url: mqtt://h, subscribe: [] }", "subscribe: is a list"),
            (
                "upstream:\n  - { name: a, url: mqtt://h, subscribe: [{ filter: a/#/b }] }",
                "is no topic filter"
            ),
            ("upstream:\n  - { name: a, url: mqtt://h, subscribe: [{ qos: 1 }] }", "filter: is missing"),
            (
                "upstream:\n  - { name: a, url: mqtt://h, subscribe: [{ filter: a, qos: 3 }] }",
                "qos: is 0, 1 or 2"
            ),
            (
                "upstream:\n  - { name: a, url: mqtt://h, subscribe: [{ filter: a, local_prefix: \"x/#\" }] }",
                "local_prefix: is the beginning of a topic"
            ),
            (
                "upstream:\n  - { name: a, url: mqtt://h, subscribe: [{ filter: $SYS/# }] }",
                "give them a local_prefix:"
            ),
            ("upstream:\n  - { name: a, url: mqtt://h, mirror: [{ filter: a }] }", "direction: is in"),
            (
                "upstream:\n  - { name: a, url: mqtt://h, mirror: [{ filter: a, direction: inn }] }",
                "direction: is in"
            ),
            (
                "upstream:\n  - { name: a, url: mqtt://h, mirror: [{ filter: $share/g/a, direction: both }] }",
                "one direction: in"
            ),
            (
                "upstream:\n  - { name: a, url: mqtt://h, subscribe: [{ filter: a }, { filter: a }] }",
                "two rules for \"a\""
            ),
            (
                "upstream:\n  - { name: a, url: mqtt://h, ca: x, subscribe: [{ filter: a }] }",
                "ca: needs TLS"
            ),
            (
                "upstream:\n  - { name: a, url: mqtts://h, key: x, subscribe: [{ filter: a }] }",
                "certificate: and key: go together"
            ),
            (
                "upstream:\n  - { name: a, url: mqtt://h, password_file: x, subscribe: [{ filter: a }] }",
                "password_file: needs a user"
            ),
            (
                "upstream:\n  - { name: a, url: mqtt://h, version: 4, subscribe: [{ filter: a }] }",
                "version: is 5 or 3.1.1"
            ),
            (
                "upstream:\n  - { name: a, url: mqtt://h, keep_alive: 1s, subscribe: [{ filter: a }] }",
                "keep_alive: is a duration"
            ),
            (
                "upstream:\n  - { name: a, url: mqtt://h, buffer: 1kB, subscribe: [{ filter: a }] }",
                "buffer: is a size from 1MiB"
            ),
            (
                """
                upstream:
                  - { name: a, url: mqtt://h, subscribe: [{ filter: a }] }
                  - { name: a, url: mqtt://i, subscribe: [{ filter: a }] }
                """, "3:5: the name \"a\" is taken"
            ),
        ])
    func mistakes(_ text: String, _ expected: String) {
        do {
            _ = try HubConfigurationFile.parse(text, path: "hub.yaml")
            Issue.record("taken: \(text)")
        } catch {
            #expect("\(error)".hasPrefix("hub.yaml:"), "\(error)")
            #expect("\(error)".contains(expected), "\(error)")
        }
    }
}
