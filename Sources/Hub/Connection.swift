import DeviceQueue
import MQTTBroker
import MQTTWire
import Telemetry

/// What a connection needs of its transport: a socket, or a simulated one. Every call comes in a turn of the loop.
package protocol ConnectionTransport: AnyObject {
    /// Sends bytes.
    ///
    /// - Returns: how many were taken. When it is less than all, `BrokerLoop.canSend` is called when there is room
    ///   for more.
    func send(_ bytes: UnsafeRawBufferPointer) -> Int
    /// Ends the connection behind the last byte that was taken; nothing is heard of it any more.
    func close()
    /// Ends the connection at once; nothing is heard of it any more.
    func abort()
    /// Asks for more bytes again, after `BrokerLoop.mayRead` said no.
    func resumeReading()
}

/// One MQTT connection as bytes in → staged frames, broker calls and answer bytes out. It knows no sockets and
/// is confined to its event loop.
///
/// The hot path is `receive`: every frame of a read is handled in one pass over the raw bytes; a telemetry
/// publish becomes a frame in the loop's staging buffer without an object of its own.
package final class Connection {
    enum Phase: UInt8 {
        /// Nothing but CONNECT is taken.
        case awaitingConnect
        case connected
        /// Its password is being checked; what comes is kept.
        case authenticating
        /// What still comes in is ignored.
        case closing
    }

    let id: ConnectionID
    /// Index in the loop's table, and how often it was used before.
    let slot: UInt32
    let generation: UInt32
    let origin: ConnectionOrigin
    /// Unsafe on purpose, as it is read several times a message: the loop is held by the pipeline and by the
    /// transport, so it outlives every connection.
    unowned(unsafe) let loop: BrokerLoop
    /// It and the connection hold each other until the connection ends.
    package var transport: (any ConnectionTransport)?

    var phase = Phase.awaitingConnect
    var version = ProtocolVersion.v311
    var session: Session?
    /// The queue's number of this client, once it published telemetry at QoS 2; 0 before.
    var client: UInt32 = 0
    var isCleanStart = false
    /// Topic aliases of MQTT 5 §3.3.2.3.4, by number.
    var aliases: [UInt16: [UInt8]] = [:]
    /// Those towards the client; nil when it takes none.
    var outboundAliases: OutboundTopicAliases?
    /// Monotonic nanoseconds of the last bytes that came, for the keep-alive.
    var lastReadNanoseconds: UInt64
    /// 0: none was asked for.
    var keepAliveNanoseconds: UInt64 = 0
    /// Sessions of the groups whose member the client is, by group, and its name there.
    var memberships: [String: UInt64] = [:]
    var memberName = ""
    var output = OutputBuffer()
    /// In the loop's list of connections that have output to flush.
    var isDirty = false
    /// Packets for it that wait for the journal.
    var heldCount = 0
    /// The broker has more for it once its output has left.
    var isDrainWanted = false
    /// Why it is not read; its transport waits for `resumeReading`.
    enum Hold {
        case none
        /// The log is behind, and this connection sends what goes there.
        case storage
        /// The peer does not read what it is sent.
        case output
        /// A subscriber of what it publishes is behind.
        case subscriber
        /// `isWaiting`.
        case wait
    }

    var hold = Hold.none
    /// It is not read for a while: its password is being checked, or it has sent more than it may.
    var isWaiting = false
    /// What the client may do; nil where everybody may do everything.
    var rights: HeldRights?
    /// Monotonic nanoseconds since when its CONNECT is waited for.
    var acceptedNanoseconds: UInt64
    /// It has not sent its CONNECT yet.
    var isPending = false
    var connectTimeoutNanoseconds: UInt64 = 30_000_000_000
    /// Of its listener's `ClientLimits`, those that are looked at before the broker is.
    var packetBytesMax = 0
    var receiveMaximum = 0
    var topicLevelsMax = 0
    /// The client has a rate of messages or bytes.
    var isRated = false
    var messageRate = RateMeter()
    var byteRate = RateMeter()
    /// Monotonic nanoseconds until which its rate keeps it from being read.
    var waitsUntil: UInt64 = 0
    /// Topics that the client may publish to, by their routes.
    var publishable = RouteMarks()
    /// Bytes that came while its password was being checked, and what is left of them.
    var kept: [UInt8] = []
    /// False while more waits for the peer than should.
    var isWritable = true
    /// It was held for a subscriber once: when any is awaited it is not read in the first place.
    var feedsSlowSubscribers = false
    /// The topic of some publish of it was one of telemetry.
    var publishesTelemetry = false
    /// What its transport keeps of a packet whose rest has not come yet.
    var partialBytes = 0
    /// Monotonic nanoseconds when a peer that does not take the last bytes is cut off; 0 while not closing.
    var closeDeadline: UInt64 = 0

    /// The topic of the last telemetry publish and where it led: most devices use one topic.
    private var lastTopic = OutputBuffer()
    private var lastRoute: UInt32 = IngestBatch.Entry.noRoute
    private var lastDevice: UInt32 = 0
    private var lastRouteGeneration: UInt32 = 0

    init(
        id: ConnectionID, slot: UInt32, generation: UInt32, origin: ConnectionOrigin, loop: BrokerLoop,
        now: UInt64
    ) {
        self.id = id
        self.slot = slot
        self.generation = generation
        self.origin = origin
        self.loop = loop
        lastReadNanoseconds = now
        acceptedNanoseconds = now
    }

    /// Takes the bytes of a read.
    ///
    /// - Returns: how many were used; the rest is the beginning of a frame and comes again with more behind it.
    package func receive(_ bytes: UnsafeRawBufferPointer, now: UInt64) -> Int {
        guard kept.isEmpty else { return receiveBehindKept(bytes, now) }
        let used = process(bytes, now: now)
        guard phase == .authenticating, used < bytes.count else { return used }
        kept = Array(bytes[used...])
        loop.partialChanged(self, to: kept.count)
        return bytes.count
    }

    /// Takes every whole frame of the bytes.
    func process(_ bytes: UnsafeRawBufferPointer, now: UInt64) -> Int {
        lastReadNanoseconds = now
        // Held once a read, and handed down from here.
        let loop = self.loop
        var packetCount = 0
        var at = 0
        defer {
            loop.traffic.note(packets: packetCount, byteCount: at)
            if isRated { loop.charge(self, messages: packetCount, bytes: at, now: now) }
        }
        while at < bytes.count, phase.rawValue < Phase.authenticating.rawValue {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[at...])
            // A stranger gets no memory worth speaking of.
            let bytesMax = phase == .connected ? packetBytesMax : Self.connectBytesMax
            switch scanFrame(rest, packetBytesMax: bytesMax) {
            case .frame(let bodyOffset, let bodyBytes):
                let body = UnsafeRawBufferPointer(rebasing: rest[bodyOffset..<(bodyOffset + bodyBytes)])
                take(rest[0], body, now, loop)
                at += bodyOffset + bodyBytes
                packetCount += 1
            case .incomplete:
                loop.partialChanged(self, to: bytes.count - at)
                return phase == .closing ? bytes.count : at
            case .invalid(let error): refuse(error, now)
            }
        }
        loop.partialChanged(self, to: 0)
        return phase == .authenticating ? at : bytes.count
    }

    /// Bytes of a CONNECT with its will and credentials: each of those has at most 64 KiB.
    private static let connectBytesMax = 320 << 10

    @inline(__always)
    private func take(
        _ firstByte: UInt8, _ body: UnsafeRawBufferPointer, _ now: UInt64, _ loop: BrokerLoop
    ) {
        do throws(WireError) {
            guard case .connected = phase else {
                try takeConnect(firstByte, body, now)
                return
            }
            switch firstByte >> 4 {
            case 3: try takePublish(firstByte, body, now, loop)
            case 6: try takePubrel(firstByte, body, now, loop)
            case 4 where Self.isIdentifier(body): takeAcknowledgement(.puback, body, now, loop)
            case 5 where Self.isIdentifier(body): takeAcknowledgement(.pubrec, body, now, loop)
            case 7 where Self.isIdentifier(body): takeAcknowledgement(.pubcomp, body, now, loop)
            case 12:
                guard body.isEmpty else { throw WireError(.malformedPacket, "PINGREQ has no body") }
                output.extend(by: 2).storeBytes(of: UInt16(0x00D0).littleEndian, as: UInt16.self)
                loop.markDirty(self)
            default:
                let packet = try decodePacket(firstByte: firstByte, body: body, version: version)
                loop.brokerReceive(packet, from: self, now: now)
            }
        } catch {
            refuse(error, now)
        }
    }

    /// Nothing but a packet identifier, as nearly always.
    @inline(__always)
    private static func isIdentifier(_ body: UnsafeRawBufferPointer) -> Bool {
        body.count == 2 && body[0] | body[1] != 0
    }

    @inline(__always)
    private func takeAcknowledgement(
        _ type: PacketType, _ body: UnsafeRawBufferPointer, _ now: UInt64, _ loop: BrokerLoop
    ) {
        guard let session else { return }
        loop.brokerReceive(type, UInt16(body[0]) << 8 | UInt16(body[1]), of: session, now: now)
    }

    private func takeConnect(
        _ firstByte: UInt8, _ body: UnsafeRawBufferPointer, _ now: UInt64
    ) throws(WireError) {
        guard firstByte == 0x10 else {
            throw WireError(.protocolError, "the first packet must be CONNECT")
        }
        do throws(WireError) {
            let packet = try decodeConnect(body: body)
            version = packet.version
            loop.brokerConnect(packet, from: self, now: now)
        } catch {
            refuseConnect(error, connectVersion(body: body))
            throw error
        }
    }

    /// Ends the connection for what the peer sent: MQTT 5 says why first, 3.1.1 just closes.
    func refuse(_ error: WireError, _ now: UInt64) {
        guard phase != .closing else { return }
        loop.countRefusal(error)
        if phase == .connected, version == .v5 {
            var properties = Properties()
            properties.reasonString = error.explanation
            write(.disconnect(Disconnect(reason: error.reason, properties: properties)))
        }
        loop.closeAfterError(self, now: now)
    }

    /// CONNACK with the reason for MQTT 5, 3.1.1's return code 1 for a level that is not spoken here; a malformed
    /// 3.1.1 CONNECT gets no answer ([MQTT-3.1.4-1]).
    private func refuseConnect(_ error: WireError, _ spoken: ProtocolVersion?) {
        if error.reason == .unsupportedProtocolVersion {
            output.append([0x20, 0x02, 0x00, 0x01])
            loop.markDirty(self)
        } else if spoken == .v5 {
            version = .v5
            write(.connack(Connack(sessionPresent: false, reason: error.reason)))
        }
    }

    func write(_ packet: ControlPacket) {
        guard let bytes = encodeFitting(packet) else { return }
        output.append(bytes)
        loop.markDirty(self)
    }

    /// A PUBLISH, of which only the header is made here.
    func write(_ message: Message, _ packet: MessagePacket) {
        let layout = message.layout(packet, version: version)
        message.write(packet, layout, version: version, to: output.extend(by: layout.packetBytes))
        loop.crowdBytes += layout.packetBytes
        loop.markCrowd(self)
    }

    func writeAcknowledgement(_ type: PacketType, _ packetIdentifier: UInt16) {
        MQTTWire.writeAcknowledgement(
            type: type.rawValue, packetIdentifier: packetIdentifier, to: output.extend(by: 4))
        loop.traffic.controlPacketsSent &+= 1
        loop.markDirty(self)
    }

    // MARK: Routes

    /// The route of a telemetry topic, from the connection's own memory, the loop's table, or worked out now.
    ///
    /// - Parameter match: set when the topic was not in the table as it stands.
    /// - Returns: nil for an ordinary topic, `noRoute` where the topic alone does not lead to the device.
    @inline(__always)
    func route(
        of topic: UnsafeRawBufferPointer, _ match: inout IngestTable.Match?, _ loop: BrokerLoop
    ) throws(WireError) -> (index: UInt32, device: UInt32)? {
        if lastRouteGeneration == loop.routes.generation, lastRoute != IngestBatch.Entry.noRoute,
            sameBytes(lastTopic.bytes, topic)
        {
            return (lastRoute, lastDevice)
        }
        guard let index = try findRoute(of: topic, &match) else { return nil }
        return (index, index == IngestBatch.Entry.noRoute ? 0 : loop.routes[index].device)
    }

    @inline(never)
    private func findRoute(
        of topic: UnsafeRawBufferPointer, _ match: inout IngestTable.Match?
    ) throws(WireError) -> UInt32? {
        if isTooDeep(topic) { throw Self.tooDeep }
        if let index = loop.routes.find(topic) {
            if let rights, !mayPublish(topic, to: index, rights) { throw Self.notAuthorized }
            publishesTelemetry = true
            remember(topic, index)
            return index
        }
        if let error = validateTopicName(topic) { throw error }
        if let rights, !mayPublish(topic, rights) { throw Self.notAuthorized }
        guard let found = loop.ingest.match(topic) else { return nil }
        match = found
        publishesTelemetry = true
        let plan = loop.ingest.plans[found.rule]
        guard plan.isCacheable else { return IngestBatch.Entry.noRoute }
        let fixed = UnsafeRawBufferPointer(rebasing: topic[..<found.rest.lowerBound])
        if !found.rest.isEmpty, let index = loop.routes.find(fixed) { return index }
        var device: UInt32 = 0
        if !plan.namesDevicePerMessage {
            let none = UnsafeRawBufferPointer(start: nil, count: 0)
            let input = IngestInput(topic: topic, rest: found.rest, properties: none, payload: none)
            switch DeviceName.number(loop.ingest, rule: found.rule, input, client: nil, in: loop.queue) {
            case .known(let number): device = number
            case .refused(.badDevice): break
            // It may be registered later.
            case .refused: return IngestBatch.Entry.noRoute
            case .limit: throw Self.deviceLimit
            }
        }
        let index = loop.routes.insert(fixed, Route(device: device, rule: found.rule))
        if found.rest.isEmpty { remember(topic, index) }
        return index
    }

    /// One has no more levels than bytes and one.
    private func isTooDeep(_ topic: UnsafeRawBufferPointer) -> Bool {
        guard topic.count >= topicLevelsMax else { return false }
        var levels = 1
        for byte in topic where byte == UInt8(ascii: "/") { levels += 1 }
        return levels > topicLevelsMax
    }

    private static let tooDeep = WireError(.topicNameInvalid, "the topic has too many levels")
    static let deviceLimit = WireError(.quotaExceeded, "the hub's limit of devices is reached")

    /// The rights of the client are others now: the topic of its next message is looked up again.
    func forgetRoute() { lastRoute = IngestBatch.Entry.noRoute }

    private func remember(_ topic: UnsafeRawBufferPointer, _ index: UInt32) {
        lastTopic.removeFirst(lastTopic.count)
        if let source = topic.baseAddress {
            lastTopic.extend(by: topic.count).copyMemory(from: source, byteCount: topic.count)
        }
        lastRoute = index
        lastDevice = loop.routes[index].device
        lastRouteGeneration = loop.routes.generation
    }

    @inline(__always)
    private func sameBytes(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        guard left.count == right.count else { return false }
        guard let left = left.baseAddress, let base = right.baseAddress else { return true }
        let count = right.count
        var at = 0
        while at + 8 <= count {
            if left.loadUnaligned(fromByteOffset: at, as: UInt64.self)
                != base.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            {
                return false
            }
            at += 8
        }
        while at < count {
            if left.load(fromByteOffset: at, as: UInt8.self) != base.load(fromByteOffset: at, as: UInt8.self)
            {
                return false
            }
            at += 1
        }
        return true
    }
}
