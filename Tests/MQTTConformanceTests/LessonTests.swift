import ConformanceKit
import Hub
import MQTTBroker
import Testing

/// What real clients taught other brokers, a test each; the same in memory as on the wire.
@Suite("What real clients taught others")
struct LessonTests {
    private func run(
        _ script: String, versions: [Int] = [3, 5], _ change: (inout HubLimits) -> Void = { _ in }
    ) throws {
        let vector = try #require(try Vector.parse("= lesson\nmemory\n" + script, file: "lesson").first)
        for version in versions {
            var limits = HubLimits()
            change(&limits)
            let hub = try MemoryHub { $0 = limits }
            try VectorRunner(host: hub, version: version, run: "l\(version)").run(vector)
        }
    }

    @Test("A client with clean session 0 that never subscribes again after a drop gets its messages")
    func neverSubscribesAgain() throws {
        try run(
            """
            a connect keep
            a> 82 [ 0001 {} s"~/t" 01 ]
            a< 90 [ 0001 {} 01 ]
            a drop
            b connect
            b> 32 [ s"~/t" 0001 {} "1" ]
            b< 40 [ 0001 ]
            a connect resume
            a< 32 [ s"~/t" 0001 {} "1" ]
            a> 40 [ 0001 ]
            b> 32 [ s"~/t" 0002 {} "2" ]
            b< 40 [ 0002 ]
            a< 32 [ s"~/t" 0002 {} "2" ]
            """)
    }

    @Test("A re-sent PUBLISH with DUP that the hub never saw is a message like any other")
    func duplicateNeverSeen() throws {
        try run(
            """
            b connect
            b> 82 [ 0001 {} s"~/t" 02 ]
            b< 90 [ 0001 {} 02 ]
            a connect
            a> 3A [ s"~/t" 0007 {} "1" ]
            a< 40 [ 0007 ]
            a> 3C [ s"~/t" 0008 {} "2" ]
            a< 50 [ 0008 ]
            b< 32 [ s"~/t" 0001 {} "1" ]
            b< 34 [ s"~/t" 0002 {} "2" ]
            """)
    }

    @Test("A temporary refusal is CONNACK 3 on 3.1.1, as 5 makes some clients give up for good")
    func temporaryRefusal() throws {
        try run(
            """
            a connect
            b> 10 [ s"MQTT" (3 04) (5 05) 02 0000 {} s"~b" ]
            b< 20 [ 00 (3 03) (5 97 00) ]
            b closed
            """
        ) { $0.broker.sessions = 1 }
    }

    @Test("A Receive Maximum of 1,000 or more is announced: by default the 65,535 of its absence")
    func receiveMaximum() throws {
        #expect(HubLimits().broker.receiveMaximum >= 1_000)
        try run(
            """
            a> 10 [ s"MQTT" 05 02 0000 { } s"~a" ]
            a< 20 [ 00 00 { 22 0020 27 01000000 } ]
            """, versions: [5])
        try run(
            """
            a> 10 [ s"MQTT" 05 02 0000 { } s"~a" ]
            a< 20 [ 00 00 { 21 03E8 22 0020 27 01000000 } ]
            """, versions: [5]
        ) { $0.broker.receiveMaximum = 1_000 }
    }

    @Test("The client that is taken over gets DISCONNECT 0x8E on 5.0")
    func takeOver() throws {
        try run(
            """
            a connect
            b> 10 [ s"MQTT" 05 02 0000 { } s"~a" ]
            b< 20 [ 00 00 * ]
            a< E0 [ 8E * ]
            a closed
            """, versions: [5])
    }

    @Test("Overlapping subscriptions deliver once, at the highest QoS")
    func overlap() throws {
        try run(
            """
            b connect
            b> 82 [ 0001 {} s"~/#" 00 s"~/+" 02 s"~/t" 01 ]
            b< 90 [ 0001 {} 000201 ]
            a connect
            a> 34 [ s"~/t" 0001 {} "x" ]
            a< 50 [ 0001 ]
            b< 34 [ s"~/t" 0001 {} "x" ]
            """)
    }

    @Test("A will with a delay fires at once when the session ends first")
    func delayedWill() throws {
        try run(
            """
            b connect
            b> 82 [ 0001 {} s"~/w" 00 ]
            b< 90 [ 0001 {} 00 ]
            a> 10 [ s"MQTT" 05 06 0000 { 11 00000002 } s"~a" { 18 0000003C } s"~/w" s"gone" ]
            a< 20 [ 00 00 * ]
            a drop
            wait 1.5
            b quiet
            wait 1
            b< 30 [ s"~/w" {} "gone" ]
            """, versions: [5])
    }

    @Test("SUBACK comes before retained messages, at every QoS")
    func subackFirst() throws {
        try run(
            """
            a connect
            a> 35 [ s"~/t" 0001 {} "x" ]
            a< 50 [ 0001 (5 10) ]
            b connect
            b> 82 [ 0001 {} s"~/t" 02 ]
            b< 90 [ 0001 {} 02 ]
            b< 35 [ s"~/t" 0001 {} "x" ]
            """)
    }

    @Test("Packet identifiers towards a client start at 1 in a new session")
    func firstIdentifier() throws {
        try run(
            """
            b connect
            a connect
            a> 82 [ 0001 {} s"~/t" 01 ]
            a< 90 [ 0001 {} 01 ]
            b> 32 [ s"~/t" 0001 {} "x" ]
            b< 40 [ 0001 ]
            a< 32 [ s"~/t" 0001 {} "x" ]
            a> 40 [ 0001 ]
            a bye
            a connect
            a> 82 [ 0001 {} s"~/t" 01 ]
            a< 90 [ 0001 {} 01 ]
            b> 32 [ s"~/t" 0001 {} "y" ]
            b< 40 [ 0001 ]
            a< 32 [ s"~/t" 0001 {} "y" ]
            """)
    }

    @Test("What is left of an expiry is forwarded")
    func expiryLeft() throws {
        try run(
            """
            b connect keep
            b> 82 [ 0001 {} s"~/t" 01 ]
            b< 90 [ 0001 {} 01 ]
            b bye
            a connect
            a> 32 [ s"~/t" 0001 { 02 00000064 } "x" ]
            a< 40 [ 0001 ]
            wait 40
            b connect resume
            b< 32 [ s"~/t" 0001 { 02 0000003C } "x" ]
            """, versions: [5])
    }

    @Test("A keep-alive is enforced within one and a half times and half a second")
    func keepAlive() throws {
        try run(
            """
            a> 10 [ s"MQTT" (3 04) (5 05) 02 000A {} s"~a" ]
            a< 20 [ 00 00 * ]
            wait 15
            a quiet
            wait 15.5
            a< (5 E0 [ 8D * ])
            a closed
            """)
    }

    @Test("Flags, directions, UTF-8 and properties that are not allowed have their exact reason")
    func exactReasons() throws {
        let cases = [
            ("C1 [ ]", "81"), ("80 [ 0001 {} s\"t\" 00 ]", "81"), ("D000", "82"),
            ("90 [ 0001 {} 00 ]", "82"), ("30 [ 0002 C328 {} \"x\" ]", "81"),
            ("30 [ s\"t\" { 11 00000001 } \"x\" ]", "81"), ("30 [ s\"t\" { 01 00 01 00 } \"x\" ]", "82"),
            ("30 [ s\"a/#\" {} \"x\" ]", "90"), ("30 [ s\"t\" { 23 0000 } \"x\" ]", "94"),
        ]
        for (packet, reason) in cases {
            try run("a connect\na> \(packet)\na< E0 [ \(reason) * ]\na closed", versions: [5])
        }
    }
}
