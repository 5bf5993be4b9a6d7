import MosquittoClient
import Platform
import Testing

/// Devices on one connection that send readings in and out of order, late, early and, one time in ten, again; it
/// comes back whenever it is cut off, and sends again what was not acknowledged.
///
/// `@unchecked Sendable`: confined to the loop's thread but for `state`, which is locked.
final class QueryKillFeed: @unchecked Sendable {
    struct State {
        var isStopping = false
        var isDrained = false
        var distinct = 0
        var repeated = 0
        var refused: [String] = []
    }

    static let devices = 24
    private static let underWayMax = 400
    let state = Monitor(State())
    private let client: MosquittoClient
    private let loop: MosquittoLoop
    private let eventsPerTurn: Int
    private var random: SeededGenerator
    private var numbers = Array(repeating: 0, count: devices)
    /// What may be sent again.
    private var recent: [(topic: String, payload: [UInt8])] = []

    init(port: UInt16, seed: UInt64, eventsPerTurn: Int) throws {
        loop = try MosquittoLoop(name: "feed")
        random = SeededGenerator(state: seed)
        self.eventsPerTurn = eventsPerTurn
        client = try MosquittoClient(
            loop: loop, identifier: "feed", cleanStart: false, version: .v5, sessionExpirySeconds: 3_600,
            inflightMax: 500)
        loop.perform { self.begin(port) }
    }

    deinit { loop.stop() }

    private func begin(_ port: UInt16) {
        client.reconnects = true
        client.backoff = MosquittoBackoff(initial: .milliseconds(20), maximum: .milliseconds(50))
        client.onPublished = { [unowned self] _, reason in
            if reason >= 128 { state.update { $0.refused.append("reason \(reason)") } }
        }
        do { try client.connect(host: "127.0.0.1", port: port) } catch { refuse(error) }
        turn()
    }

    private func turn() {
        if state.withLock({ $0.isStopping }) {
            if client.isConnected, client.unackedCount == 0 {
                client.disconnect()
                return state.update { $0.isDrained = true }
            }
        } else if client.isConnected, client.unackedCount < Self.underWayMax {
            for _ in 0..<eventsPerTurn { sendOne() }
        }
        loop.schedule(after: .milliseconds(10)) { self.turn() }
    }

    private func sendOne() {
        let isRepeated = !recent.isEmpty && Int.random(in: 0..<10, using: &random) == 0
        let event = isRepeated ? recent[Int.random(in: 0..<recent.count, using: &random)] : newEvent()
        do {
            try client.publish(topic: event.topic, payload: event.payload, qos: 1)
            state.update {
                if isRepeated { $0.repeated += 1 } else { $0.distinct += 1 }
            }
        } catch { refuse(error) }
        if isRepeated { return }
        recent.append(event)
        if recent.count > 500 { recent.removeFirst(250) }
    }

    private func newEvent() -> (topic: String, payload: [UInt8]) {
        let device = Int.random(in: 0..<Self.devices, using: &random)
        numbers[device] += 1
        let number = numbers[device]
        let chance = Int.random(in: 0..<1_000, using: &random)
        var time = epochMilliseconds() - Int.random(in: 0...700, using: &random)
        switch chance {
        case 0..<10: time -= 20_000
        case 10..<15: time += 600_000
        default: break
        }
        // One in five, of which the query looks at one in nine: some even when little is sent.
        let text = chance % 5 == 2 ? "\"none\"" : "\"\(number)\""
        let json =
            #"{"id":"\#(device):\#(number)","ts":\#(time),"v":\#(Int.random(in: -50...50, using: &random)),"#
            + #""side":"\#(number % 2 == 0 ? "a" : "b")","pair":"\#(device):\#(number / 2)","text":\#(text)}"#
        return ("devices/d\(device)/telemetry", Array(json.utf8))
    }

    private func refuse(_ error: MosquittoError) { state.update { $0.refused.append("\(error)") } }

    /// Ends the sending and waits until all is acknowledged.
    func drained() throws -> (distinct: Int, repeated: Int) {
        state.update { $0.isStopping = true }
        let end = state.wait(timeoutNanoseconds: 60_000_000_000, until: { $0.isDrained }, then: { $0 })
        #expect(end.isDrained, "something was never acknowledged")
        #expect(end.refused == [])
        return (end.distinct, end.repeated)
    }
}

/// A session that outlives the hub, subscribed to a filter at QoS 1, and what came to it.
///
/// `@unchecked Sendable`: as the feed.
final class QueryKillWitness: @unchecked Sendable {
    struct State {
        var isSubscribed = false
        var rows: Set<String> = []
        var messages = 0
    }

    let state = Monitor(State())
    private let client: MosquittoClient
    private let loop: MosquittoLoop

    /// Returns when it is subscribed.
    init(port: UInt16, filter: String, identifier: String = "witness") throws {
        loop = try MosquittoLoop(name: identifier)
        client = try MosquittoClient(
            loop: loop, identifier: identifier, cleanStart: false, version: .v5, sessionExpirySeconds: 3_600,
            receiveMaximum: 1_000)
        loop.perform { self.begin(port, filter) }
        let isSubscribed = state.wait(
            timeoutNanoseconds: 20_000_000_000, until: { $0.isSubscribed }, then: { $0.isSubscribed })
        guard isSubscribed else { throw ProcessFailure(description: "no subscription to \(filter)") }
    }

    deinit { loop.stop() }

    private func begin(_ port: UInt16, _ filter: String) {
        client.reconnects = true
        client.backoff = MosquittoBackoff(initial: .milliseconds(20), maximum: .milliseconds(50))
        client.onConnect = { [unowned self] _, isPresent in
            if !isPresent { _ = try? client.subscribe(filter) }
        }
        client.onSubscribed = { [unowned self] _, _ in state.update { $0.isSubscribed = true } }
        client.onMessage = { [unowned self] message in
            let row = message.topic + " " + String(decoding: message.payload, as: UTF8.self)
            state.update {
                $0.messages += 1
                $0.rows.insert(row)
            }
        }
        try? client.connect(host: "127.0.0.1", port: port)
    }

    var rows: Set<String> { state.withLock { $0.rows } }
}
