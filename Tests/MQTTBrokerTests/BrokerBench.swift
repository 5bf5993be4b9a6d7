import MQTTWire

@testable import MQTTBroker

/// A broker on the bench: packets in, the actions out as lines of text, such as `1 CONNACK 0x0`.
/// `now` is in seconds here.
final class BrokerBench {
    var broker: Broker
    var now: UInt64 = 100
    /// The messages of the `willPublish` actions, which the lines show too.
    var wills: [Message] = []
    /// The reads of bodies that were asked for.
    var wanted: [BacklogRequest] = []
    /// The latest session of each connection.
    var accepted: [UInt64: Session] = [:]
    /// Every connection takes at once what it gets; else `drainWanted` shows in the lines and `drain` is the answer.
    var drainsAtOnce = true

    init(_ change: (inout BrokerLimits) -> Void = { _ in }) {
        var limits = BrokerLimits()
        change(&limits)
        broker = Broker(limits: limits)
    }

    var nanoseconds: UInt64 { now * 1_000_000_000 }

    func connect(_ connection: UInt64, _ packet: Connect, assigned: String = "assigned-1") -> [String] {
        var actions: [BrokerAction] = []
        broker.connect(
            ConnectionID(rawValue: connection), packet, assignedIdentifier: assigned, now: nanoseconds,
            actions: &actions)
        return lines(actions)
    }

    var hasReplays: Bool { broker.hasReplays }

    /// Whether publishers should wait for a subscriber.
    func takeIsCrowded() -> Bool { broker.takeIsCrowded() }

    func hasSubscribers(_ topic: String) -> Bool {
        Array(topic.utf8).withUnsafeBytes { broker.hasSubscribers(topic: $0) }
    }

    /// A CONNECT of 5.0.
    @discardableResult func connect(
        _ connection: UInt64, _ identifier: String, clean: Bool = true, expiry: UInt32? = nil,
        change: (inout Connect) -> Void = { _ in }
    ) -> [String] {
        var packet = Connect()
        packet.clientIdentifier = identifier
        packet.cleanStart = clean
        packet.properties.sessionExpiryInterval = expiry
        change(&packet)
        return connect(connection, packet)
    }

    /// A CONNECT of 3.1.1.
    @discardableResult func connectV3(
        _ connection: UInt64, _ identifier: String, clean: Bool = true,
        change: (inout Connect) -> Void = { _ in }
    ) -> [String] {
        connect(connection, identifier, clean: clean) {
            $0.version = .v311
            change(&$0)
        }
    }

    @discardableResult func receive(_ connection: UInt64, _ packet: ControlPacket) -> [String] {
        lines(actions(connection, packet))
    }

    func actions(_ connection: UInt64, _ packet: ControlPacket) -> [BrokerAction] {
        var actions: [BrokerAction] = []
        broker.receive(
            packet, from: ConnectionID(rawValue: connection), now: nanoseconds, actions: &actions)
        return actions
    }

    @discardableResult func subscribe(
        _ connection: UInt64, _ filters: [Subscribe.Filter], identifier: UInt32? = nil
    ) -> [String] {
        var packet = Subscribe(packetIdentifier: 9, filters: filters)
        packet.properties.subscriptionIdentifiers = identifier.map { [$0] } ?? []
        return receive(connection, .subscribe(packet))
    }

    @discardableResult func subscribe(
        _ connection: UInt64, _ filter: String, qos: QoS = .exactlyOnce, identifier: UInt32? = nil,
        change: (inout Subscribe.Filter) -> Void = { _ in }
    ) -> [String] {
        var request = Subscribe.Filter(filter, qos: qos)
        change(&request)
        return subscribe(connection, [request], identifier: identifier)
    }

    @discardableResult func unsubscribe(_ connection: UInt64, _ filters: [String]) -> [String] {
        receive(connection, .unsubscribe(Unsubscribe(packetIdentifier: 9, filters: filters)))
    }

    /// A PUBLISH of a client.
    @discardableResult func publish(
        _ connection: UInt64, _ topic: String, _ text: String, qos: QoS = .atMostOnce, id: UInt16? = nil,
        retain: Bool = false, change: (inout Publish) -> Void = { _ in }
    ) -> [String] {
        var packet = Publish(topic: topic, payload: Array(text.utf8))
        packet.qos = qos
        packet.packetIdentifier = id
        packet.retain = retain
        change(&packet)
        return receive(connection, .publish(packet))
    }

    /// A message of the hub's own.
    @discardableResult func publish(
        _ topic: String, _ text: String, qos: QoS = .atLeastOnce, retain: Bool = false,
        expiry: UInt64? = nil
    ) -> [String] {
        publish(
            Message(
                topic: topic, payload: Array(text.utf8), qos: qos, retain: retain,
                expiresAt: expiry.map { nanoseconds + $0 * 1_000_000_000 }))
    }

    @discardableResult func publish(_ message: Message) -> [String] {
        var actions: [BrokerAction] = []
        broker.publish(message, now: nanoseconds, actions: &actions)
        return lines(actions)
    }

    @discardableResult func puback(_ connection: UInt64, _ id: UInt16) -> [String] {
        receive(connection, .puback(Acknowledgement(packetIdentifier: id)))
    }

    @discardableResult func pubrec(
        _ connection: UInt64, _ id: UInt16, _ reason: ReasonCode = .success
    ) -> [String] {
        receive(connection, .pubrec(Acknowledgement(packetIdentifier: id, reason: reason)))
    }

    @discardableResult func pubrel(_ connection: UInt64, _ id: UInt16) -> [String] {
        receive(connection, .pubrel(Acknowledgement(packetIdentifier: id)))
    }

    @discardableResult func pubcomp(_ connection: UInt64, _ id: UInt16) -> [String] {
        receive(connection, .pubcomp(Acknowledgement(packetIdentifier: id)))
    }

    @discardableResult func disconnect(
        _ connection: UInt64, _ reason: ReasonCode = .success, expiry: UInt32? = nil
    ) -> [String] {
        var packet = Disconnect(reason: reason)
        packet.properties.sessionExpiryInterval = expiry
        return receive(connection, .disconnect(packet))
    }

    /// The network connection breaks.
    @discardableResult func drop(_ connection: UInt64) -> [String] {
        var actions: [BrokerAction] = []
        broker.connectionClosed(
            ConnectionID(rawValue: connection), now: nanoseconds, actions: &actions)
        return lines(actions)
    }

    /// Time passes.
    @discardableResult func pass(_ seconds: UInt64) -> [String] {
        now += seconds
        var actions: [BrokerAction] = []
        broker.advance(now: nanoseconds, actions: &actions)
        return lines(actions)
    }

    /// A turn of the loop ends: the next slice of retained messages.
    @discardableResult func turn() -> [String] {
        var actions: [BrokerAction] = []
        broker.continueReplay(now: nanoseconds, actions: &actions)
        return lines(actions)
    }

    /// A connection has taken everything it got.
    @discardableResult func drain(_ connection: UInt64) -> [String] {
        var actions: [BrokerAction] = []
        broker.drained(ConnectionID(rawValue: connection), now: nanoseconds, actions: &actions)
        return lines(actions)
    }

    func lines(_ actions: [BrokerAction]) -> [String] {
        var drained: [UInt64] = []
        let lines = actions.compactMap { action -> String? in
            switch action {
            case .drainWanted(let connection) where drainsAtOnce:
                drained.append(connection.rawValue)
                return nil
            case .drainWanted(let connection): return "\(connection.rawValue) drain wanted"
            default: return line(action)
            }
        }
        return lines + drained.flatMap { drain($0) }
    }

    private func line(_ action: BrokerAction) -> String {
        switch action {
        case .drainWanted(let connection): "\(connection.rawValue) drain wanted"
        case .send(let connection, let packet): "\(connection.rawValue) \(text(packet))"
        case .acknowledge(let connection, let type, let identifier):
            "\(connection.rawValue) \(type)".uppercased() + " \(identifier)"
        case .forward(
            let connection, let message, let qos, let identifier, let retain, let duplicate, let ids,
            let expiryLeft):
            "\(connection.rawValue) PUBLISH \(message.topic) "
                + String(decoding: message.payload, as: UTF8.self)
                + " q\(qos.rawValue)" + (identifier == 0 ? "" : " id \(identifier)")
                + (retain ? " retain" : "") + (duplicate ? " dup" : "")
                + (ids.isEmpty ? "" : " subscriptions \(ids)")
                + (expiryLeft.map { " expiry \($0)" } ?? "")
        case .accepted(let connection, let session): noteAccepted(connection, session)
        case .close(let connection): "\(connection.rawValue) close"
        case .willPublish(let message): noteWill(message)
        case .sessionDiscarded(let identifier): "discarded \(identifier)"
        case .backlogWanted(let request): noteWanted(request)
        case .queueAcknowledged(let connection, let ticket):
            "\(connection.rawValue) acknowledged \(ticket.group) \(ticket.ordinal)"
        case .queueLeft(let connection, let group): "\(connection.rawValue) left \(group)"
        }
    }

    private func noteAccepted(_ connection: ConnectionID, _ session: Session) -> String {
        accepted[connection.rawValue] = session
        return "\(connection.rawValue) accepted \(session.clientIdentifier)"
    }

    private func noteWanted(_ request: BacklogRequest) -> String {
        wanted.append(request)
        return "\(request.connection.rawValue) wants \(request.positions.count)"
    }

    private func noteWill(_ message: Message) -> String {
        wills.append(message)
        broker.willIsPublished()
        return "will \(message.topic) \(String(decoding: message.payload, as: UTF8.self))"
            + " q\(message.qos.rawValue)" + (message.retain ? " retain" : "")
    }

    private func text(_ packet: ControlPacket) -> String {
        switch packet {
        case .connack(let packet):
            "CONNACK \(packet.reason)" + (packet.sessionPresent ? " present" : "")
        case .puback(let packet): "PUBACK \(text(packet))"
        case .pubrec(let packet): "PUBREC \(text(packet))"
        case .pubrel(let packet): "PUBREL \(text(packet))"
        case .pubcomp(let packet): "PUBCOMP \(text(packet))"
        case .suback(let packet): "SUBACK \(packet.packetIdentifier) \(packet.reasons)"
        case .unsuback(let packet): "UNSUBACK \(packet.packetIdentifier) \(packet.reasons)"
        case .disconnect(let packet): "DISCONNECT \(packet.reason)"
        case .pingresp: "PINGRESP"
        default: "\(packet)"
        }
    }

    private func text(_ packet: Acknowledgement) -> String {
        "\(packet.packetIdentifier)" + (packet.reason == .success ? "" : " \(packet.reason)")
    }
}

extension Connect {
    /// A will with this topic and the payload `gone`.
    mutating func setWill(
        _ topic: String, delay: UInt32? = nil, qos: QoS = .atLeastOnce, retain: Bool = false
    ) {
        var properties = Properties()
        properties.willDelayInterval = delay
        will = Will(
            topic: topic, payload: Array("gone".utf8), qos: qos, retain: retain, properties: properties)
    }
}

/// SplitMix64, so that a seed gives the same run everywhere.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
