import MosquittoClient
import Testing

@Suite("Broker URLs")
struct MosquittoURLTests {
    @Test(
        "A URL names host, port, account and prefix",
        arguments: [
            ("mqtt://localhost", MosquittoURL(host: "localhost", port: 1883)),
            ("MQTTS://broker.example", MosquittoURL(host: "broker.example", port: 8883, isSecure: true)),
            (
                "mqtt://10.0.0.7:2000/site/north/",
                MosquittoURL(host: "10.0.0.7", port: 2000, prefix: "site/north")
            ),
            ("mqtt://[::1]:1884/", MosquittoURL(host: "::1", port: 1884)),
            ("mqtt://[::1]", MosquittoURL(host: "::1", port: 1883)),
            (
                "mqtt://ann:p%40ss:word@host/a",
                MosquittoURL(host: "host", port: 1883, user: "ann", password: "p@ss:word", prefix: "a")
            ),
            ("mqtt://ann@host", MosquittoURL(host: "host", port: 1883, user: "ann")),
        ])
    func parses(text: String, expected: MosquittoURL) throws {
        #expect(try MosquittoURL(text) == expected)
    }

    @Test(
        "What is wrong is said together with what to write",
        arguments: [
            ("localhost:1883", "a broker is written mqtt://host:port or mqtts://host:port"),
            ("http://localhost", "unknown scheme \"http\": write mqtt://… or mqtts://…"),
            ("mqtt://", "the host is missing: write mqtt://host:port"),
            ("mqtt://:1883", "the host is missing: write mqtt://host:port"),
            ("mqtt://h:0", "\":0\" is not a port: write a colon and a number from 1 to 65535"),
            ("mqtt://h:65536", "\":65536\" is not a port: write a colon and a number from 1 to 65535"),
            ("mqtt://h:x", "\":x\" is not a port: write a colon and a number from 1 to 65535"),
            ("mqtt://[::1", "an IPv6 address needs its closing bracket: mqtt://[::1]:1883"),
            ("mqtt://h/a/#", "the topic prefix \"a/#\" must not hold + or #"),
            ("mqtt://u%4@h", "a % must be followed by two hex digits (%25 stands for % itself)"),
        ])
    func refuses(text: String, message: String) {
        let error = #expect(throws: MosquittoURL.ParseError.self) { try MosquittoURL(text) }
        #expect(error?.description == message)
    }

    @Test("The description keeps the password to itself")
    func description() throws {
        #expect(try MosquittoURL("mqtts://ann:secret@[::1]:9/p").description == "mqtts://ann@[::1]:9/p")
    }
}
