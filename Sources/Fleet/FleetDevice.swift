import MosquittoClient
import Telemetry

/// One device at work: its script, its connection, and the messages between the two. Confined to its lane's
/// loop thread.
///
/// Messages wait in `outbox` until the connection is up and has room. One that was handed to the client is
/// `once` in the answer key: the client keeps it and sends it again over any reconnect until the hub has it.
final class FleetDevice {
    /// Messages under way at once; more wait in `outbox`. As libmosquitto's own default window allows.
    static let windowMax = 100

    let index: Int
    let client: MosquittoClient
    private unowned let lane: FleetLane
    private let connection: ConnectionModel
    var script: DeviceScript
    private var outbox = Fifo<Publication>()
    /// By the client's message identifier, to send a refused one again.
    private var underWay: [Int32: Publication] = [:]
    /// Ids given up before their first sending, whose second sending is still to come and must not be sent.
    private var givenUp: Set<String> = []
    /// By the script; false while the device is off line on purpose.
    private(set) var isOnline = true
    private(set) var isConnected = false
    /// After a refusal the device waits before it sends on.
    private var isPaused = false
    private(set) var isFinishing = false
    private(set) var isDone = false
    private var hasEnded = false
    /// Readings in `outbox` that wait for their first sending.
    private(set) var unsentCount = 0

    init(
        index: Int, script: DeviceScript, connection: ConnectionModel, client: MosquittoClient,
        lane: FleetLane
    ) {
        self.index = index
        self.script = script
        self.connection = connection
        self.client = client
        self.lane = lane
        client.onConnect = { [weak self] reason, _ in self?.connected(reason) }
        client.onDisconnect = { [weak self] error in self?.disconnected(error) }
        client.onPublished = { [weak self] identifier, reason in self?.published(identifier, reason) }
    }

    var underWayCount: Int { underWay.count }
    /// Two windows' worth waits: unpaced, the device makes no more readings for now.
    var isFull: Bool { outbox.count >= 2 * Self.windowMax }
    var isHalfEmpty: Bool { outbox.count < Self.windowMax }

    // MARK: the script's side

    /// Carries out what is due, up to a number of actions and, where `untilFull`, until the outbox is full.
    ///
    /// - Returns: how many actions were carried out.
    func act(through limit: EventTime, actionsMax: Int, untilFull: Bool) -> Int {
        var count = 0
        while count < actionsMax, !untilFull || !isFull,
            let action = script.next(through: limit)
        {
            perform(action)
            count += 1
        }
        send()
        return count
    }

    /// Makes no new readings, sends what is held back, and disconnects when the hub has everything.
    func finish(at time: EventTime) {
        guard !isFinishing else { return }
        script.finish(at: time)
        while let action = script.next(through: time) { perform(action) }
        isFinishing = true
        send()
    }

    /// Ends the connection now; what is not acknowledged stays unsent.
    func abandon() {
        isFinishing = true
        isDone = true
        client.reconnects = false
        client.disconnect()
        if !isConnected { end() }
    }

    private func end() {
        guard !hasEnded else { return }
        hasEnded = true
        lane.deviceEnded()
    }

    private func perform(_ action: PlannedAction) {
        switch action.kind {
        case .publish(let publication): enqueue(publication)
        case .omit(let entry):
            lane.counters.lost += 1
            lane.key?.append(entry)
        case .goOffline: goOffline()
        case .comeOnline:
            isOnline = true
            lane.connectSoon(index)
        }
    }

    private func enqueue(_ publication: Publication) {
        if publication.attempt > 1, givenUp.remove(publication.messageID) != nil { return }
        outbox.append(publication)
        if publication.entry != nil { unsentCount += 1 }
        guard outbox.count > connection.offline?.keep ?? lane.limits.keepMax, lane.isPaced else { return }
        if let oldest = outbox.popFirst(), let entry = oldest.entry { drop(entry) }
    }

    /// A reading that is never sent after all.
    private func drop(_ entry: AnswerKeyEntry) {
        if entry.faults.contains(.duplicate) { giveUp(entry.messageID) }
        var entry = entry
        entry.expectation = .never
        entry.sent = []
        unsentCount -= 1
        lane.counters.dropped += 1
        lane.key?.append(entry)
    }

    /// The second sending of a message that was never sent is taken back, in the outbox or when it comes.
    private func giveUp(_ messageID: String) {
        var found = false
        var rest = Fifo<Publication>()
        while let publication = outbox.popFirst() {
            if publication.messageID == messageID { found = true } else { rest.append(publication) }
        }
        outbox = rest
        if !found { givenUp.insert(messageID) }
    }

    private func goOffline() {
        isOnline = false
        client.reconnects = false
        // A device that loses its network says nothing. At QoS 0 nobody would send again what was cut off,
        // so there the connection ends in order.
        if client.isConnected, connection.qos > 0 { client.dropConnection() } else { client.disconnect() }
    }

    // MARK: the hub's side

    func connect() {
        guard isOnline, !isDone, !isConnected else { return }
        client.reconnects = true
        do throws(MosquittoError) {
            try client.connect(
                host: lane.hub.host, port: lane.hub.port,
                keepAliveSeconds: UInt16(clamping: connection.keepAliveSeconds))
        } catch {
            // The end of the last connection is still to be told; `disconnected` connects again.
            client.reconnects = false
        }
    }

    private func connected(_ reason: Int32) {
        guard reason == 0 else {
            lane.refusedConnection(of: client.identifier, reason: reason)
            return
        }
        isConnected = true
        lane.counters.connected += 1
        lane.hubAnswered()
        if !isOnline { goOffline() } else { send() }
    }

    private func disconnected(_ error: MosquittoError?) {
        if isConnected {
            isConnected = false
            lane.counters.connected -= 1
        }
        // Nothing is sent again at QoS 0, so nothing is left to wait for.
        if connection.qos == 0 { underWay.removeAll() }
        guard !isDone else {
            end()
            return
        }
        guard isOnline else { return }
        if let error {
            lane.counters.disconnects += 1
            lane.hubFailed(error)
        }
        if !client.reconnects { lane.connectSoon(index) }
    }

    private func published(_ identifier: Int32, _ reason: Int32) {
        let publication = underWay.removeValue(forKey: identifier)
        if reason < 128 {
            lane.counters.acknowledged += 1
        } else if let publication {
            lane.counters.refused += 1
            lane.refusedMessage(publication, reason: reason)
            if Self.isRetriable(reason) { sendAgainLater(publication) }
        }
        send()
        lane.roomMade(index)
    }

    /// The hub is short of room or failed inside (MQTT 5.0 §2.4: 0x80, 0x83, 0x97); other reasons are final.
    private static func isRetriable(_ reason: Int32) -> Bool {
        reason == 0x80 || reason == 0x83 || reason == 0x97
    }

    private func sendAgainLater(_ publication: Publication) {
        outbox.prepend(publication)
        guard !isPaused else { return }
        isPaused = true
        lane.loop.schedule(after: .seconds(1)) { [weak self] in
            self?.isPaused = false
            self?.send()
        }
    }

    private func send() {
        while isConnected, client.isConnected, !isPaused, underWay.count < Self.windowMax {
            guard let publication = outbox.popFirst() else { break }
            guard hand(publication) else {
                outbox.prepend(publication)
                return
            }
        }
        guard isFinishing, !isDone, outbox.isEmpty, underWay.isEmpty else { return }
        isDone = true
        client.reconnects = false
        client.disconnect()
        if !isConnected { end() }
    }

    /// - Returns: false when the connection ended meanwhile and the message is to wait.
    private func hand(_ publication: Publication) -> Bool {
        let identifier: Int32
        do throws(MosquittoError) {
            identifier = try client.publish(
                topic: lane.topicPrefix + publication.topic, payload: publication.payload,
                qos: UInt8(publication.qos), properties: properties(of: publication))
        } catch {
            if !client.isConnected || error.isQueueFull { return false }
            lane.cannotSend(publication, error)
            if let entry = publication.entry { drop(entry) }
            return true
        }
        // The entry goes to the key once: a message that is sent again after a refusal has none any more.
        var kept = publication
        if let entry = kept.entry {
            lane.key?.append(entry)
            unsentCount -= 1
            lane.counters.sent += 1
            if entry.faults.contains(.malformed) { lane.counters.malformed += 1 }
            kept.entry = nil
        } else if kept.attempt > 1 {
            lane.counters.duplicatesSent += 1
        }
        underWay[identifier] = kept
        return true
    }

    private func properties(of publication: Publication) -> MosquittoProperties {
        guard connection.version == .v5 else { return MosquittoProperties() }
        return MosquittoProperties(
            userProperties: [("message-id", publication.messageID)], contentType: "application/json")
    }
}
