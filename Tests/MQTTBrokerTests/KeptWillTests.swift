import MQTTWire
import Testing

@testable import MQTTBroker

/// Wills of lasting sessions, over the end of the hub.
@Suite struct KeptWillTests {
    private func will(_ text: String = "gone", delay: UInt32? = nil) -> Will {
        var properties = Properties()
        properties.willDelayInterval = delay
        properties.messageExpiryInterval = 60
        properties.contentType = "text/plain"
        properties.userProperties = [UserProperty("a", "b")]
        return Will(
            topic: "w/t", payload: Array(text.utf8), qos: .exactlyOnce, retain: true, properties: properties)
    }

    private func connect(
        _ kept: KeptBench, _ connection: UInt64, _ will: Will?, expiry: UInt32 = 1_000
    ) {
        kept.bench.connect(connection, "a", clean: false, expiry: expiry) { $0.will = will }
    }

    private func texts(_ kept: KeptBench) -> [String] {
        kept.bench.wills.map { String(decoding: $0.payload, as: UTF8.self) }
    }

    @Test(arguments: [false, true])
    func `Of a client that was connected it is published after the start, as it was, once`(isCleaned: Bool) {
        let kept = KeptBench()
        connect(kept, 1, will())
        if isCleaned { kept.clean() }
        kept.restart(after: 5)
        #expect(texts(kept) == ["gone"])
        let message = kept.bench.wills.first
        #expect(message?.topic == "w/t")
        #expect(message?.qos == .exactlyOnce)
        #expect(message?.retain == true)
        #expect(message?.publisher == "a")
        #expect(message?.expiresAt == kept.bench.nanoseconds + 60_000_000_000)
        #expect(message?.properties.contentType == "text/plain")
        #expect(message?.properties.userProperties == [UserProperty("a", "b")])
        kept.restart()
        #expect(texts(kept) == [])
    }

    @Test(arguments: [false, true])
    func `Its delay counts from the first start, or from when the client went`(wasAway: Bool) {
        let kept = KeptBench()
        connect(kept, 1, will(delay: 30))
        if wasAway {
            kept.bench.drop(1)
            kept.bench.pass(10)
        }
        kept.clean()
        kept.restart(after: 5)
        #expect(texts(kept) == [])
        kept.bench.pass(10)
        kept.restart(after: 3)
        kept.bench.pass(wasAway ? 1 : 16)
        #expect(texts(kept) == [])
        kept.bench.pass(1)
        #expect(texts(kept) == ["gone"])
        kept.restart()
        kept.bench.pass(100)
        #expect(texts(kept) == [])
    }

    @Test func `A client that is back in time has the will that it brings`() {
        let kept = KeptBench()
        connect(kept, 1, will("first", delay: 30))
        kept.restart()
        connect(kept, 2, will("second", delay: 40))
        kept.bench.pass(100)
        #expect(texts(kept) == [])
        kept.restart()
        kept.bench.pass(39)
        #expect(texts(kept) == [])
        kept.bench.pass(1)
        #expect(texts(kept) == ["second"])
    }

    @Test func `What was taken back, replaced by none or published does not come again`() {
        let kept = KeptBench()
        connect(kept, 1, will())
        kept.bench.receive(1, .disconnect(Disconnect(reason: .success)))
        kept.restart()
        #expect(texts(kept) == [])
        connect(kept, 2, will(delay: 30))
        kept.bench.drop(2)
        connect(kept, 3, nil)
        kept.restart()
        kept.bench.pass(100)
        #expect(texts(kept) == [])
        connect(kept, 4, will())
        kept.bench.drop(4)
        #expect(texts(kept) == ["gone"])
        kept.restart()
        #expect(texts(kept) == [])
        // Of a client whose session lasts no longer than its connection the journal knows nothing.
        kept.bench.connect(5, "b", expiry: 0) { $0.will = will() }
        kept.restart()
        #expect(texts(kept) == [])
    }

    @Test func `The end of the session is the end of the delay`() {
        let kept = KeptBench()
        connect(kept, 1, will(delay: 500), expiry: 20)
        kept.restart(after: 3)
        kept.bench.pass(19)
        #expect(texts(kept) == [])
        kept.bench.pass(1)
        #expect(texts(kept) == ["gone"])
        #expect(kept.bench.broker.counters.sessions == 0)
        kept.restart()
        #expect(texts(kept) == [])
    }

    @Test func `When the hub stops, wills of lasting sessions wait for its next start`() {
        let kept = KeptBench()
        connect(kept, 1, will())
        kept.bench.connect(2, "short") { $0.will = will("short") }
        kept.bench.broker.deferWills()
        kept.bench.drop(1)
        kept.bench.drop(2)
        #expect(texts(kept) == ["short"])
        kept.restart()
        #expect(texts(kept) == ["gone"])
    }

    @Test func `The journal does not say that it ended before it is published`() {
        let kept = KeptBench()
        connect(kept, 1, will())
        kept.commit()
        var actions: [BrokerAction] = []
        kept.bench.broker.connectionClosed(
            ConnectionID(rawValue: 1), now: kept.bench.nanoseconds, actions: &actions)
        let pending = kept.bench.broker.journalPendingBytes
        let isReadyBefore = kept.bench.broker.hasJournalGroup
        kept.bench.broker.willIsPublished()
        let isReadyAfter = kept.bench.broker.hasJournalGroup
        #expect(pending > 0)
        #expect(!isReadyBefore)
        #expect(isReadyAfter)
    }

    @Test(arguments: ["w", "other"])
    func `The rules of the moment hold for who the client was`(denied: String) {
        let access = AccessTests.Guard()
        let kept = KeptBench()
        kept.access = access
        kept.restart()
        var packet = Connect()
        packet.clientIdentifier = "a"
        packet.properties.sessionExpiryInterval = 100
        packet.will = will()
        var actions: [BrokerAction] = []
        kept.bench.broker.connect(
            ConnectionID(rawValue: 1), packet, assignedIdentifier: "x", rights: access,
            now: kept.bench.nanoseconds, actions: &actions)
        access.denied = denied
        kept.restart()
        #expect(texts(kept) == (denied == "w" ? [] : ["gone"]))
        #expect(kept.bench.broker.counters.willsDenied == (denied == "w" ? 1 : 0))
        kept.restart()
        #expect(texts(kept) == [])
    }

    @Test func `The records are the bytes of the format page`() {
        let kept = KeptBench()
        let plain = Will(topic: "t", payload: [1, 2], qos: .atLeastOnce, retain: true)
        connect(kept, 1, plain)
        kept.bench.drop(1)
        kept.commit()
        let records = kept.records.filter { $0.kind >= 17 }
        #expect(records.map(\.kind) == [17, 18])
        let session: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 0]
        let body = session + [0, 0, 0, 0, 0x05, 0xFF, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0, 0x74, 0, 0, 0, 0, 1, 2]
        #expect(records.first?.body == body)
        #expect(records.last?.body == session)
    }
}
