import Bridge
import MQTTBroker
import MQTTWire
import MosquittoClient
import Platform
import Synchronization

/// One bridge: a client of the other broker and a client of this hub, back to back.
///
/// ```
/// inwards   other broker ─► MosquittoClient ─► TopicMap ─► BridgeLink ─► the hub, as from any client
///                          acknowledgements are held until the hub has acknowledged, which is: on disk
/// outwards  the hub ─► BridgeLink ─► TopicMap ─► BridgeStore (disk) ─► MosquittoClient ─► other broker
/// ```
///
/// `@unchecked Sendable`: confined to the client loop's thread but for `status`, which has a lock.
final class BridgeRunner: @unchecked Sendable {
    /// Messages sent to the other broker and not acknowledged.
    static let inflightMax = 1_000
    /// Messages in memory that are next.
    static let bufferedMax = 2_000
    /// How long the end waits for what is on its way.
    private static let drainSeconds = 2
    private static let reopenDelay = Duration.seconds(1)

    let settings: UpstreamSettings
    /// What this hub is called on trails and in client identifiers.
    let hub: String
    let loop: MosquittoLoop
    let store: BridgeStore
    let clock: any HubClock
    let log: @Sendable (String) -> Void
    let inward: TopicMap
    let outward: TopicMap
    let status: Mutex<BridgeStatus>

    // The hub's side.
    private(set) var link: BridgeLink?
    var writer: LinkWriter
    var reader = LinkReader()
    var isLinkUp = false
    /// Messages at QoS 0 behind each fence that was not answered, and behind the last.
    var fenced: [Int] = []
    var unfenced = 0

    // The other broker's side.
    var client: MosquittoClient?
    /// Nothing more is taken on this connection: it is being cut.
    var isRefusing = false
    var hasToldDown = false
    var echo = EchoFilter()
    var window: SendWindow
    /// Read from the buffer and not sent.
    var upcoming: [BridgeBuffer.Entry] = []
    var upcomingHead = 0
    /// Identifiers of SUBSCRIBEs under way, with their filters.
    var subscribing: [Int32: String] = [:]

    private var isStopping = false
    private var finished: (@Sendable () -> Void)?

    init(
        _ settings: UpstreamSettings, hub: String, brokerLoop: BrokerLoop, loop: MosquittoLoop,
        store: BridgeStore, clock: any HubClock, log: @escaping @Sendable (String) -> Void
    ) {
        self.settings = settings
        self.hub = hub
        self.loop = loop
        self.store = store
        self.clock = clock
        self.log = log
        inward = TopicMap(settings.rules, isInward: true)
        outward = TopicMap(settings.rules, isInward: false)
        var first = BridgeStatus(name: settings.name, url: settings.url.description)
        first.bufferedBytes = store.bufferedBytes
        status = Mutex(first)
        writer = LinkWriter(packetBytesMax: brokerLoop.packetBytesMax)
        window = SendWindow(position: store.state.cursor)
        link = BridgeLink(
            loop: brokerLoop,
            onBytes: { [weak self] bytes in
                guard let self else { return }
                self.loop.perform { self.received(bytes) }
            },
            onClosed: { [weak self] in
                guard let self else { return }
                self.loop.perform { self.linkClosed() }
            })
    }

    var name: String { "bridge \(settings.name)" }

    /// Starts the disk's thread, and connects on both sides. From any thread, once.
    func start() {
        store.start(
            BridgeStore.Events(
                stored: { [weak self] batch, taken in
                    guard let self else { return }
                    self.loop.perform { self.stored(batch, taken: taken) }
                },
                read: { [weak self] entries in
                    guard let self else { return }
                    self.loop.perform { self.offer(entries) }
                },
                failed: { [weak self] text in
                    guard let self else { return }
                    self.loop.perform { self.diskFailed(text) }
                }))
        store.addRoom(Self.bufferedMax)
        publishState("0")
        loop.perform { self.openLink() }
    }

    /// Ends the connections when what the other broker sent is durable, or soon. Calls back on the loop's thread.
    func stop(_ finished: @escaping @Sendable () -> Void) {
        isStopping = true
        self.finished = finished
        isRefusing = true
        client?.onMessage = nil
        if writer.owed == 0 { return end() }
        loop.schedule(after: .seconds(Self.drainSeconds)) { self.end() }
    }

    /// Everything that the hub owed is answered.
    func settled() {
        if isStopping { return end() }
        client?.releaseOutput()
    }

    private func end() {
        guard let finished else { return }
        self.finished = nil
        link?.give(encoded(.disconnect(Disconnect())))
        note { status in
            status.isConnected = false
            status.state = "stopped"
        }
        guard let client, client.isConnected, writer.owed == 0 else {
            // Without a word: what is not durable must not be acknowledged.
            client = nil
            return finished()
        }
        if let topic = settings.notificationTopic {
            _ = try? client.publish(topic: topic, payload: Array("0".utf8), qos: 0, retain: true)
        }
        // Behind the acknowledgements of what is durable, before those of anything that still comes.
        client.onPublished = nil
        let timer = loop.schedule(after: .seconds(1)) {
            self.client = nil
            finished()
        }
        client.onDisconnect = { _ in
            guard self.client != nil else { return }
            self.loop.cancel(timer)
            self.client = nil
            finished()
        }
        client.releaseOutput()
        client.disconnect()
    }

    // MARK: The hub's side

    /// Client identifiers that begin so are the hub's own.
    static let clientPrefix = "$bridge/"

    private func openLink() {
        guard !isStopping else { return }
        reader = LinkReader()
        writer.reset()
        fenced = []
        unfenced = 0
        var connect = Connect()
        connect.clientIdentifier = Self.clientPrefix + settings.name
        let isCollecting = settings.rules.contains(where: \.isOutward)
        connect.cleanStart = !isCollecting
        // While the hub is up the link is: this is for the messages of a crash.
        if isCollecting { connect.properties.sessionExpiryInterval = 7 * 86_400 }
        link?.open(encoded(.connect(connect)))
    }

    private func linkClosed() {
        isLinkUp = false
        guard !isStopping else { return }
        note { $0.lastError = $0.lastError ?? "the hub ended its own connection" }
        // What the hub did not acknowledge comes again on the next connection.
        client?.dropConnection()
        isRefusing = true
        loop.schedule(after: Self.reopenDelay) { self.openLink() }
    }

    private func received(_ bytes: [UInt8]) {
        let packets: [ControlPacket]
        do throws(WireError) {
            packets = try reader.read(bytes)
        } catch {
            note { $0.lastError = "the hub sent what cannot be read: \(error.explanation)" }
            link?.consumed(bytes.count)
            return
        }
        var collected: [Publish] = []
        for packet in packets {
            switch packet {
            case .connack(let connack): linkConnected(connack)
            case .suback(let suback): linkSubscribed(suback)
            case .puback(let acknowledgement): acknowledged(acknowledgement)
            case .pingresp: fencePassed()
            case .publish(let publish): collected.append(publish)
            case .disconnect(let disconnect):
                note { $0.lastError = "the hub refuses the bridge: \(disconnect.reason)" }
            default: break
            }
        }
        if collected.isEmpty {
            link?.consumed(bytes.count)
        } else {
            collect(collected, byteCount: bytes.count)
        }
    }

    private func linkConnected(_ connack: Connack) {
        guard !connack.reason.isFailure else {
            note { $0.lastError = "the hub refuses the bridge: \(connack.reason)" }
            return
        }
        isLinkUp = true
        let wanted = settings.localSubscriptions
        let texts = wanted.map { "\($0.qos) \($0.filter)" }
        let stale = store.state.localFilters.compactMap(Self.filter).filter { old in
            !wanted.contains { $0.filter == old }
        }
        var bytes: [UInt8] = []
        if !stale.isEmpty {
            let packet = Unsubscribe(packetIdentifier: 1, filters: stale)
            encodePacket(.unsubscribe(packet), version: .v5, into: &bytes)
        }
        store.update { $0.localFilters = texts }
        if wanted.isEmpty {
            link?.give(bytes)
            return connect()
        }
        var packet = Subscribe(packetIdentifier: 2, filters: [])
        packet.filters = wanted.map { filter, qos in
            var entry = Subscribe.Filter(filter, qos: qos == 0 ? .atMostOnce : .atLeastOnce)
            entry.noLocal = true
            entry.retainAsPublished = true
            entry.retainHandling = 1
            return entry
        }
        encodePacket(.subscribe(packet), version: .v5, into: &bytes)
        link?.give(bytes)
    }

    private func linkSubscribed(_ suback: SubscribeAcknowledgement) {
        for (subscription, reason) in zip(settings.localSubscriptions, suback.reasons) where reason.isFailure
        {
            note { $0.lastError = "the hub refuses the subscription \"\(subscription.filter)\": \(reason)" }
        }
        connect()
    }

    private func diskFailed(_ text: String?) {
        guard let text else { return log("\(name): the buffer takes messages again") }
        note { $0.lastError = text }
        log("\(name): messages for the other broker wait in memory: \(text)")
    }

    // MARK: Telling

    func note(_ change: (inout BridgeStatus) -> Void) { status.withLock { change(&$0) } }

    func encoded(_ packet: ControlPacket) -> [UInt8] {
        var bytes: [UInt8] = []
        encodePacket(packet, version: .v5, into: &bytes)
        return bytes
    }

    /// As mosquitto says it of its bridges: retained, `1` while connected.
    func publishState(_ text: String) {
        link?.publish(
            Message(
                topic: "$SYS/broker/connection/\(settings.name)/state", payload: Array(text.utf8),
                qos: .atLeastOnce, retain: true))
    }

    /// The filter of a text that `BridgeState` keeps.
    static func filter(_ text: String) -> String? {
        text.firstIndex(of: " ").map { String(text[text.index(after: $0)...]) }
    }
}
