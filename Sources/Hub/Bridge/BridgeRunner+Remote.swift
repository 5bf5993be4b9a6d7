import Bridge
import MosquittoClient
import Synchronization

/// The connection to the other broker: a session that outlives it and us, tried again for ever.
extension BridgeRunner {
    func connect() {
        guard client == nil else { return }
        note { $0.state = "connecting" }
        do {
            let client = try makeClient()
            self.client = client
            try client.connect(
                host: settings.url.host, port: settings.url.port, keepAliveSeconds: settings.keepAliveSeconds)
        } catch {
            // Such as a certificate or a password file that is not there yet.
            client = nil
            down("\(error)")
            loop.schedule(after: MosquittoBackoff().maximum) { [weak self] in self?.connect() }
        }
    }

    private func makeClient() throws -> MosquittoClient {
        let client = try MosquittoClient(
            loop: loop, identifier: settings.identifier(hub: hub), cleanStart: false,
            version: settings.version, sessionExpirySeconds: .max, inflightMax: UInt16(Self.inflightMax),
            receiveMaximum: 2_000, mayHoldOutput: true)
        if let user = settings.url.user {
            try client.setCredentials(user: user, password: try settings.password())
        }
        if let topic = settings.notificationTopic {
            try client.setWill(topic: topic, payload: Array("0".utf8), qos: 1, retain: true)
        }
        if let certificate = settings.certificateFile, let key = settings.keyFile {
            try client.useMutualTLS(
                authorityFile: settings.authorityFile, certificateFile: certificate, keyFile: key)
        } else if settings.url.isSecure {
            try client.useTLS(authorityFile: settings.authorityFile)
        }
        client.reconnects = true
        // Hubs that lost one broker do not come back to it in one moment; each has its own delays.
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in "\(hub)/\(settings.name)".utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        client.backoff = MosquittoBackoff(jitter: Double(hash >> 11) / Double(1 << 53))
        client.onConnect = { [weak self] reason, present in self?.connected(reason, present) }
        client.onDisconnect = { [weak self] error in self?.disconnected(error) }
        client.onPublished = { [weak self] identifier, reason in self?.published(identifier, reason) }
        client.onMessage = { [weak self] message in self?.take(message) }
        client.onTurnEnd = { [weak self] in self?.turnEnded() }
        client.onSubscribed = { [weak self] identifier, granted in self?.subscribed(identifier, granted) }
        return client
    }

    private func connected(_ reason: Int32, _ isSessionPresent: Bool) {
        guard reason == 0 else {
            return down(UpstreamAdvice.refusal(reason, settings))
        }
        isRefusing = false
        note { status in
            status.isConnected = true
            status.state = "connected (\(settings.version == .v5 ? "MQTT 5" : "MQTT 3.1.1"))"
        }
        if hasToldDown { log("\(name): connected again") }
        hasToldDown = false
        publishState("1")
        subscribe(isSessionPresent: isSessionPresent)
        if let topic = settings.notificationTopic {
            _ = try? client?.publish(topic: topic, payload: Array("1".utf8), qos: 1, retain: true)
        }
        send()
    }

    /// The session at the other broker remembers what it was asked for, also what is no longer in the
    /// configuration.
    private func subscribe(isSessionPresent: Bool) {
        guard let client else { return }
        let wanted = settings.remoteSubscriptions
        let texts = wanted.map { "\($0.qos) \($0.filter)" }
        let known = store.state.remoteFilters
        if isSessionPresent, known == texts { return }
        subscribing = [:]
        do throws(MosquittoError) {
            if isSessionPresent {
                for filter in known.compactMap(Self.filter)
                where !wanted.contains(where: { $0.filter == filter }) {
                    try client.unsubscribe(filter)
                }
            }
            // Until the broker has answered, old and new ones: whatever happens, none is forgotten.
            store.update { $0.remoteFilters = known + texts.filter { !known.contains($0) } }
            for (filter, qos) in wanted {
                let isShared = filter.hasPrefix("$share/")
                let options: MosquittoSubscribeOptions =
                    isShared ? [.retainAsPublished] : [.noLocal, .retainAsPublished, .retainedIfNew]
                subscribing[try client.subscribe(filter, qos: qos, options: options)] = filter
            }
            if wanted.isEmpty { store.update { $0.remoteFilters = [] } }
        } catch {
            note { $0.lastError = error.description }
        }
    }

    private func subscribed(_ identifier: Int32, _ granted: [Int32]) {
        guard let filter = subscribing.removeValue(forKey: identifier) else { return }
        if let code = granted.first, code >= 128 {
            let text = UpstreamAdvice.subscription(filter, code)
            note { $0.lastError = text }
            log("\(name): \(text)")
            // Asked for again with the next connection: a right may have been given meanwhile.
            subscribing = [:]
            return
        }
        guard subscribing.isEmpty else { return }
        let texts = settings.remoteSubscriptions.map { "\($0.qos) \($0.filter)" }
        store.update { $0.remoteFilters = texts }
    }

    private func disconnected(_ error: MosquittoError?) {
        let wasConnected = status.withLock { $0.isConnected }
        if wasConnected { publishState("0") }
        down(error.map { UpstreamAdvice.failure($0, settings) } ?? "the connection ended")
    }

    func down(_ reason: String) {
        note { status in
            status.isConnected = false
            status.state = "down"
            status.lastError = reason
        }
        if !hasToldDown {
            log("\(name): \(reason); trying again until it works, messages for it wait on disk")
        }
        hasToldDown = true
    }
}
