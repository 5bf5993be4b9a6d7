import Atomics
import MQTTBroker
import Synchronization

/// What the listeners count; read by status, metrics and the live view from any thread.
package final class HubCounters: Sendable {
    let connections = ManagedAtomic<Int>(0)
    let connectionsRefused = ManagedAtomic<Int>(0)
    /// Times the system had no descriptor or memory for another connection.
    let acceptPauses = ManagedAtomic<Int>(0)
    /// Connections over TLS or WebSocket that were not ready in time, that made room for others, and that broke the
    /// rules on the way.
    let handshakeTimeouts = ManagedAtomic<Int>(0)
    let handshakesCut = ManagedAtomic<Int>(0)
    let handshakesFailed = ManagedAtomic<Int>(0)
    let keepAliveTimeouts = ManagedAtomic<Int>(0)
    let droppedSlowConsumer = ManagedAtomic<Int>(0)
    /// Times that a publisher was not read because a subscriber was behind.
    let subscriberHolds = ManagedAtomic<Int>(0)
    /// QoS 2 messages whose packet identifiers the log does not keep: the limit of clients is reached.
    let unloggedQoS2 = ManagedAtomic<Int>(0)
    /// Times that reading was held because the storage was behind.
    let pauses = ManagedAtomic<Int>(0)
    /// Connections closed because packets in pieces took too much memory.
    let partialsRefused = ManagedAtomic<Int>(0)
    /// Connections turned away because too many came in a second, and those cut off that never sent a CONNECT while
    /// too many others had not either.
    let connectFloods = ManagedAtomic<Int>(0)
    let pendingCut = ManagedAtomic<Int>(0)
    /// Connections closed because their CONNECT did not come in time.
    let connectTimeouts = ManagedAtomic<Int>(0)
    /// Times that a client was above its rate and not read for a while.
    let rateWaits = ManagedAtomic<Int>(0)
    /// Messages that clients had no right to publish.
    let publishesDenied = ManagedAtomic<Int>(0)
    private let refusedConnects = Mutex([Int](repeating: 0, count: AccessControl.Refusal.allCases.count))
    private let reasons = Mutex<(rejections: [String: Int], refusals: [String: Int])>(([:], [:]))
    private let broker = Mutex(BrokerCounters())
    private let gauges = Mutex(LoopGauges())
    private let startNonce: UInt64

    /// - Parameter startNonce: makes assigned client identifiers of this run its own.
    package init(startNonce: UInt64) { self.startNonce = startNonce }

    func note(rejection reason: String) { reasons.withLock { $0.rejections[reason, default: 0] += 1 } }
    func note(refusedConnect refusal: AccessControl.Refusal) {
        refusedConnects.withLock { $0[refusal.rawValue] += 1 }
    }
    func note(refusal reason: String) { reasons.withLock { $0.refusals[reason, default: 0] += 1 } }
    func brokerSnapshot(_ counters: BrokerCounters) { broker.withLock { $0 = counters } }
    func loopSnapshot(_ values: LoopGauges) { gauges.withLock { $0 = values } }

    /// Publishes refused with a reason, none of them acknowledged as stored.
    package var rejections: [(reason: String, count: Int)] {
        reasons.withLock { $0.rejections.sorted { $0.key < $1.key }.map { ($0.key, $0.value) } }
    }

    /// Connections ended for what the peer sent, by MQTT reason code.
    package var refusalsByReason: [(reason: String, count: Int)] {
        reasons.withLock { $0.refusals.sorted { $0.key < $1.key }.map { ($0.key, $0.value) } }
    }

    /// Clients that were not let in, by why.
    package var connectRefusals: [(reason: String, count: Int)] {
        let counts = refusedConnects.withLock { $0 }
        return AccessControl.Refusal.allCases.map { ($0.name, counts[$0.rawValue]) }
    }

    /// Connections over TLS or WebSocket that never got ready.
    var unreadyByReason: [(reason: String, count: Int)] {
        [
            ("failed", handshakesFailed.load(ordering: .relaxed)),
            ("timeout", handshakeTimeouts.load(ordering: .relaxed)),
            ("cut", handshakesCut.load(ordering: .relaxed)),
        ]
    }

    var brokerCounters: BrokerCounters { broker.withLock { $0 } }
    var loopGauges: LoopGauges { gauges.withLock { $0 } }

    /// A client identifier for a client that sent none: unique to this start of the hub.
    func assignedClientIdentifier(_ number: UInt64) -> String {
        "auto-" + String(startNonce, radix: 36) + "-" + String(number)
    }
}

/// What an event loop holds, as of its last tick.
struct LoopGauges: Sendable {
    /// Connections that are not read at the moment.
    var readsHeld = 0
    /// Bytes staged and not yet durable.
    var stagedBytes = 0
    /// Bytes of packets whose rest has not come yet.
    var partialBytes = 0
}
