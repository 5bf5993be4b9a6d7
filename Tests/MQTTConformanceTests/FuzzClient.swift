import MQTTWire
import Testing

/// A client that keeps to the standard and does what it does at random moments: it knows what it must get.
final class FuzzClient {
    /// A message as the whole run knows it: its number is its payload.
    struct Sent {
        let topic: String
        let qos: QoS
        let isCounted: Bool
    }

    let name: String
    private(set) var version = ProtocolVersion.v5
    private(set) var socket: MemoryHub.Socket?
    private(set) var isPersistent = false
    /// What is subscribed now; and every filter of this session, as what waits is still delivered.
    private(set) var filters: [String: QoS] = [:]
    private var everSubscribed: Set<String> = []
    /// Numbers it must get at QoS 1 or 2, and those it got, with how often.
    var expected: [Int: QoS] = [:]
    private(set) var got: [Int: Int] = [:]
    private var latest: [String: Int] = [:]

    private var unread: [UInt8] = []
    private var owed: [ControlPacket] = []
    /// Identifiers of messages at QoS 2 that came and were not released yet.
    private var unreleased: Set<UInt16> = []
    /// Its own publishes that are not finished.
    private var outgoing: [UInt16: Publish] = [:]
    private var released: Set<UInt16> = []
    private var nextIdentifier: UInt16 = 0
    private var aliases: [UInt16: String] = [:]
    private(set) var wrong: [String] = []

    init(name: String) { self.name = name }

    var isConnected: Bool { socket != nil }
    var owesAnything: Bool { !owed.isEmpty || !outgoing.isEmpty || !released.isEmpty }

    // MARK: What it does

    func connect(_ hub: MemoryHub, clean: Bool, persistent: Bool, random: inout FuzzRandom) throws {
        var packet = Connect()
        if !isPersistent || clean { version = random.chance(2) ? .v5 : .v311 }
        packet.version = version
        packet.clientIdentifier = name
        packet.cleanStart = version == .v311 ? !persistent : clean
        if version == .v5 {
            packet.properties.sessionExpiryInterval = persistent ? 100_000 : 0
            if random.chance(2) { packet.properties.receiveMaximum = UInt16(1 + random.below(5)) }
            if random.chance(2) { packet.properties.topicAliasMaximum = UInt16(1 + random.below(3)) }
        }
        let hadSession = isPersistent && !packet.cleanStart
        if !hadSession { forgetSession() }
        isPersistent = persistent
        aliases = [:]
        unread = []
        owed = []
        let opened = try #require(try hub.open() as? MemoryHub.Socket)
        socket = opened
        send(.connect(packet))
        guard case .connack(let connack)? = next() else { return note("no CONNACK") }
        if connack.reason != .success { note("refused with \(connack.reason)") }
        if connack.sessionPresent != hadSession { note("session present is \(connack.sessionPresent)") }
        // [MQTT-4.4.0-1], in their order as far as one client's identifiers tell it.
        for (identifier, publish) in outgoing.sorted(by: { $0.key < $1.key }) {
            var again = publish
            again.duplicate = true
            again.packetIdentifier = identifier
            send(.publish(again))
        }
        for identifier in released.sorted() {
            send(.pubrel(Acknowledgement(packetIdentifier: identifier)))
        }
    }

    func drop() {
        socket?.drop()
        socket = nil
        if !isPersistent { forgetSession() }
    }

    func disconnect() {
        send(.disconnect(Disconnect()))
        socket = nil
        if !isPersistent { forgetSession() }
    }

    func subscribe(_ filter: String, _ qos: QoS) {
        filters[filter] = qos
        everSubscribed.insert(filter)
        send(.subscribe(Subscribe(packetIdentifier: 65_000, filters: [.init(filter, qos: qos)])))
    }

    func unsubscribe(_ filter: String) {
        filters[filter] = nil
        send(.unsubscribe(Unsubscribe(packetIdentifier: 65_001, filters: [filter])))
    }

    func publish(_ topic: String, number: Int, _ qos: QoS, retain: Bool) {
        var packet = Publish(topic: topic, payload: Array(String(number).utf8))
        packet.qos = qos
        packet.retain = retain
        if qos != .atMostOnce {
            repeat {
                nextIdentifier = nextIdentifier % 60_000 + 1
            } while outgoing[nextIdentifier] != nil
                || released.contains(nextIdentifier)
            packet.packetIdentifier = nextIdentifier
            outgoing[nextIdentifier] = packet
        }
        send(.publish(packet))
    }

    /// Sends some of the acknowledgements that it owes, the oldest first.
    func acknowledge(_ count: Int) {
        for _ in 0..<min(count, owed.count) { send(owed.removeFirst()) }
    }

    /// Takes what has come.
    func listen(_ messages: [Int: Sent]) {
        while let packet = next() { take(packet, messages) }
        // Every PUBLISH above QoS 0 was answered: the hub answers ordinary ones at once.
        if isConnected {
            for identifier in outgoing.keys { note("PUBLISH \(identifier) has no answer") }
        }
    }

    // MARK: What it gets

    private func take(_ packet: ControlPacket, _ messages: [Int: Sent]) {
        switch packet {
        case .publish(let publish): take(publish, messages)
        case .puback(let answer):
            if outgoing.removeValue(forKey: answer.packetIdentifier) == nil { note("PUBACK for nothing") }
        case .pubrec(let answer):
            outgoing[answer.packetIdentifier] = nil
            released.insert(answer.packetIdentifier)
            owed.append(.pubrel(Acknowledgement(packetIdentifier: answer.packetIdentifier)))
        case .pubcomp(let answer): released.remove(answer.packetIdentifier)
        case .pubrel(let release):
            unreleased.remove(release.packetIdentifier)
            owed.append(.pubcomp(Acknowledgement(packetIdentifier: release.packetIdentifier)))
        case .suback, .unsuback, .pingresp: break
        default: note("got \(packet)")
        }
    }

    private func take(_ publish: Publish, _ messages: [Int: Sent]) {
        var topic = publish.topic
        if let alias = publish.properties.topicAlias {
            if topic.isEmpty { topic = aliases[alias] ?? "?" } else { aliases[alias] = topic }
        }
        guard let number = Int(String(decoding: publish.payload, as: UTF8.self)),
            let message = messages[number]
        else { return note("a message nobody sent") }
        if message.topic != topic { note("\(number) came on \(topic)") }
        if !everSubscribed.contains(where: { matches($0, topic) }) { note("\(topic) was not subscribed") }
        if publish.qos > message.qos { note("\(number) came at a higher QoS") }
        let identifier = publish.packetIdentifier ?? 0
        switch publish.qos {
        case .atMostOnce: break
        case .atLeastOnce: owed.append(.puback(Acknowledgement(packetIdentifier: identifier)))
        case .exactlyOnce:
            owed.append(.pubrec(Acknowledgement(packetIdentifier: identifier)))
            guard unreleased.insert(identifier).inserted else {
                if !publish.duplicate { note("identifier \(identifier) is in use") }
                return
            }
        }
        guard message.isCounted else { return }
        let count = (got[number] ?? 0) + 1
        got[number] = count
        if count > 1, publish.qos != .atLeastOnce { note("\(number) came \(count) times at \(publish.qos)") }
        guard count == 1 else { return }
        let line = "\(topic) \(message.qos) \(publish.qos)"
        if let before = latest[line], before > number { note("\(number) came after \(before)") }
        latest[line] = number
    }

    // MARK: Parts

    private func forgetSession() {
        filters = [:]
        everSubscribed = []
        expected = [:]
        got = [:]
        latest = [:]
        unreleased = []
        outgoing = [:]
        released = []
        isPersistent = false
    }

    func note(_ text: String) { if wrong.count < 10 { wrong.append("\(name): \(text)") } }

    private func send(_ packet: ControlPacket) {
        var bytes: [UInt8] = []
        encodePacket(packet, version: version, into: &bytes)
        socket?.send(bytes)
    }

    private func next() -> ControlPacket? {
        unread += socket?.receive() ?? []
        guard !unread.isEmpty else { return nil }
        let (packet, count) = unread.withUnsafeBytes { bytes -> (ControlPacket?, Int) in
            guard case .frame(let offset, let count) = scanFrame(bytes, packetBytesMax: 1 << 20) else {
                return (nil, 0)
            }
            let body = UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + count)])
            return (try? decodePacket(firstByte: bytes[0], body: body, version: version), offset + count)
        }
        if packet == nil { note("cannot read \(unread.prefix(20))") }
        unread.removeFirst(packet == nil ? unread.count : count)
        return packet
    }

    /// What a filter matches, said again and simply.
    func matches(_ filter: String, _ topic: String) -> Bool {
        var levels = filter.split(separator: "/", omittingEmptySubsequences: false)
        if levels.first == "$share" { levels.removeFirst(2) }
        let names = topic.split(separator: "/", omittingEmptySubsequences: false)
        for (index, level) in levels.enumerated() {
            if level == "#" { return true }
            guard index < names.count, level == "+" || level == names[index] else { return false }
        }
        return levels.count == names.count
    }
}
