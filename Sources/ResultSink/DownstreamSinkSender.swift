import MosquittoClient
import Platform

/// The half of the downstream sink that lives on the client loop: sends entries in order, a window of them at
/// a time, and retires the acknowledged ones from the front.
///
/// `@unchecked Sendable`: confined to the loop's thread; `state` is guarded by its monitor.
final class DownstreamSender: @unchecked Sendable {
    private struct Item {
        var entry: OutboxEntry
        /// 0 while it is not on its way.
        var messageIdentifier: Int32 = 0
        var isDone: Bool
    }

    private let url: MosquittoURL
    private let clientIdentifier: String
    private let retain: Bool
    private let authorityFile: String?
    private let loop: MosquittoLoop
    private let limits: DownstreamSink.Limits
    private let state: Monitor<DownstreamSink.State>
    private let name: String
    private let log: @Sendable (String) -> Void

    private var client: MosquittoClient?
    private var version = MosquittoVersion.v5
    private var refusedVersion = false
    /// Entries handed over and not retired, in order. The first has the number `retiredCount`.
    private var items: [Item] = []
    private var retiredCount = 0
    /// The number of the first item that was never sent; those before it were, or are to be sent again.
    private var nextUnsent = 0
    private var inflightCount = 0
    /// Message identifier → number of the item.
    private var numbers: [Int32: Int] = [:]
    /// Numbers of the items the broker or the library would not take at the last attempt.
    private var refused: Set<Int> = []
    /// A line about the failure at hand is in the log.
    private var hasToldFailure = false
    private var isRetryScheduled = false
    private var hasEnded = false

    init(
        url: MosquittoURL, clientIdentifier: String, retain: Bool, authorityFile: String?,
        loop: MosquittoLoop,
        limits: DownstreamSink.Limits, state: Monitor<DownstreamSink.State>, name: String,
        log: @escaping @Sendable (String) -> Void
    ) {
        self.url = url
        self.clientIdentifier = clientIdentifier
        self.retain = retain
        self.authorityFile = authorityFile
        self.loop = loop
        self.limits = limits
        self.state = state
        self.name = name
        self.log = log
    }

    func start() {
        guard !hasEnded else { return }
        state.update { $0.counters.state = "connecting" }
        do throws(MosquittoError) {
            let client = try makeClient()
            self.client = client
            try client.connect(host: url.host, port: url.port, keepAliveSeconds: 30)
        } catch {
            failed(error.description)
            client = nil
            // Such as a file of authorities that is not there yet: as patient as with a broker that is down.
            loop.schedule(after: limits.backoff.maximum) { [weak self] in self?.start() }
        }
    }

    func offer(_ entries: [OutboxEntry]) {
        guard !hasEnded else { return }
        for entry in entries { items.append(Item(entry: entry, isDone: !entry.isRow)) }
        retire()
        send()
    }

    /// Ends the connection politely; what is not acknowledged stays in the outbox.
    func stop() {
        hasEnded = true
        client?.onConnect = nil
        client?.onDisconnect = nil
        client?.onPublished = nil
        client?.disconnect()
        client = nil
    }

    /// Ends without a word to the broker.
    func abandon() {
        hasEnded = true
        client = nil
    }

    private func makeClient() throws(MosquittoError) -> MosquittoClient {
        let client = try MosquittoClient(
            loop: loop, identifier: clientIdentifier, version: version,
            inflightMax: UInt16(clamping: limits.inflightMax))
        if let user = url.user { try client.setCredentials(user: user, password: url.password) }
        if url.isSecure { try client.useTLS(authorityFile: authorityFile) }
        client.reconnects = true
        client.backoff = limits.backoff
        client.onConnect = { [weak self] reason, _ in self?.connected(reason) }
        client.onDisconnect = { [weak self] error in self?.disconnected(error) }
        client.onPublished = { [weak self] identifier, reason in self?.published(identifier, reason) }
        return client
    }

    // MARK: Connection

    private func connected(_ reason: Int32) {
        guard reason == 0 else {
            // 132 is MQTT 5 "unsupported protocol version", 1 the same in 3.1.1's words.
            if version == .v5, reason == 132 || reason == 1 { refusedVersion = true }
            return
        }
        let protocolName = version == .v5 ? "MQTT 5" : "MQTT 3.1.1"
        let waiting = state.update { state in
            state.isConnected = true
            state.counters.state = "connected (\(protocolName))"
            state.counters.failure = nil
            return state.counters.outbox
        }
        if hasToldFailure { log("\(name): connected again; rows waiting: \(waiting)") }
        hasToldFailure = false
        send()
    }

    private func disconnected(_ error: MosquittoError?) {
        state.update { $0.isConnected = false }
        guard !hasEnded else { return }
        if refusedVersion {
            refusedVersion = false
            version = .v311
            forgetFlight()
            client?.onDisconnect = nil
            client?.disconnect()
            client = nil
            start()
            return
        }
        failed(error?.description ?? "the connection ended")
    }

    /// What was on its way with a client that is gone is sent again by the next.
    private func forgetFlight() {
        for index in items.indices where !items[index].isDone { items[index].messageIdentifier = 0 }
        numbers = [:]
        inflightCount = 0
        nextUnsent = retiredCount
    }

    private func failed(_ reason: String) {
        let waiting = state.update { state in
            state.counters.state = "down: \(reason)"
            state.counters.failure = reason
            return state.counters.outbox
        }
        if !hasToldFailure {
            log("\(name): \(reason); rows wait on disk (\(waiting) now), trying again for ever")
        }
        hasToldFailure = true
    }

    // MARK: Rows

    private func send() {
        guard let client, client.isConnected else { return }
        while inflightCount < limits.inflightMax, nextUnsent - retiredCount < items.count {
            let index = nextUnsent - retiredCount
            if items[index].isDone || items[index].messageIdentifier != 0 {
                nextUnsent += 1
                continue
            }
            let entry = items[index].entry
            do throws(MosquittoError) {
                let identifier = try client.publish(
                    topic: url.prefix.map { "\($0)/\(entry.topic)" } ?? entry.topic, payload: entry.json,
                    qos: 1,
                    retain: retain,
                    properties: MosquittoProperties(
                        userProperties: [("rid", entry.rid)], contentType: "application/json", isText: true))
                items[index].messageIdentifier = identifier
                numbers[identifier] = nextUnsent
            } catch {
                // Without a connection, or with a full one, the row goes out when that has changed.
                guard client.isConnected, !error.isQueueFull else { return }
                blocked(nextUnsent, entry, error.description)
                nextUnsent += 1
                continue
            }
            inflightCount += 1
            nextUnsent += 1
        }
    }

    private func published(_ identifier: Int32, _ reason: Int32) {
        guard let number = numbers.removeValue(forKey: identifier), number >= retiredCount else { return }
        inflightCount -= 1
        let index = number - retiredCount
        guard reason < 128 else {
            items[index].messageIdentifier = 0
            blocked(number, items[index].entry, "the broker refuses it with reason code \(reason)")
            send()
            return
        }
        items[index].isDone = true
        if refused.remove(number) != nil, refused.isEmpty { unblocked() }
        retire()
        send()
    }

    /// Moves the cursor over the acknowledged entries at the front.
    private func retire() {
        var count = 0
        var rows = 0
        while count < items.count, items[count].isDone {
            if items[count].entry.isRow { rows += 1 }
            count += 1
        }
        guard count > 0 else { return }
        let position = items[count - 1].entry.nextPosition
        items.removeFirst(count)
        retiredCount += count
        nextUnsent = max(nextUnsent, retiredCount)
        state.update { state in
            state.counters.position = position
            state.counters.delivered += rows
            state.bufferedCount -= count
            state.hasWork = true
        }
    }

    /// A row that is refused holds back the cursor, not the rows behind it; it is tried again until it is
    /// taken.
    private func blocked(_ number: Int, _ entry: OutboxEntry, _ reason: String) {
        refused.insert(number)
        failed("row \(entry.rid) for topic \(entry.topic): \(reason)")
        guard !isRetryScheduled else { return }
        isRetryScheduled = true
        loop.schedule(after: limits.retryPeriod) { [weak self] in
            guard let self else { return }
            self.isRetryScheduled = false
            self.nextUnsent = self.retiredCount
            self.send()
        }
    }

    private func unblocked() {
        hasToldFailure = false
        let protocolName = version == .v5 ? "MQTT 5" : "MQTT 3.1.1"
        state.update { state in
            state.counters.failure = nil
            state.counters.state = "connected (\(protocolName))"
        }
        log("\(name): rows are taken again")
    }
}
