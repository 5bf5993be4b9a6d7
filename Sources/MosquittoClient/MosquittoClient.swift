import CMosquitto
import Glibc

/// One MQTT connection through libmosquitto, driven by a shared `MosquittoLoop`.
///
/// `init` and the setters before the first `connect` may run on any thread; everything else on the loop's
/// thread. Callbacks come on the loop's thread, never from inside a call to the client, in the order things
/// happened, so a callback may call anything, `disconnect()` and the last release included. The owner keeps
/// the client alive: releasing it closes the socket without DISCONNECT, as a crash would.
///
/// `@unchecked Sendable`: confined to the loop's thread, which `precondition(loop.isCurrent)` checks.
package final class MosquittoClient: @unchecked Sendable {
    /// Publishes at QoS 1 and 2 that may wait for their acknowledgement. Packet identifiers end at 65,535 and
    /// the library does not check that one is free.
    package static let unackedMax = 60_000
    /// An attempt that has no CONNACK after this long is given up.
    package static let connectTimeout = Duration.seconds(10)
    /// How long a DISCONNECT may wait behind unsent data.
    private static let closeTimeout = Duration.seconds(5)

    package let loop: MosquittoLoop
    package let identifier: String
    package let version: MosquittoVersion

    /// CONNACK came: reason 0 is success (then `isConnected`), else the refusal: an MQTT 5 reason code, or a
    /// 3.1.1 return code 1…5. After a refusal `onDisconnect` follows.
    package var onConnect: ((_ reason: Int32, _ sessionPresent: Bool) -> Void)?
    /// A connection or an attempt to make one ended: nil when `disconnect()` asked for it.
    package var onDisconnect: ((_ error: MosquittoError?) -> Void)?
    /// QoS 0: it was written. QoS 1 and 2: the broker has it (PUBACK, PUBCOMP); a reason from 128 is a
    /// refusal.
    package var onPublished: ((_ messageIdentifier: Int32, _ reason: Int32) -> Void)?
    package var onMessage: ((MosquittoMessage) -> Void)?
    /// SUBACK: one granted QoS (or a reason from 128) for each filter.
    package var onSubscribed: ((_ messageIdentifier: Int32, _ granted: [Int32]) -> Void)?
    /// Everything that one look at the socket brought has been told.
    package var onTurnEnd: (() -> Void)?

    /// Whether a connection that ends, or cannot be made, is tried again until `disconnect()`.
    package var reconnects = false
    package var backoff = MosquittoBackoff()

    /// Between CONNACK and the end of the connection; only then can be published and subscribed.
    package var isConnected: Bool { phase == .connected }
    /// Publishes at QoS 1 and 2 not acknowledged yet; kept over a reconnect and sent again in their order.
    package var unackedCount: Int { unacked.count }

    enum Phase { case idle, resolving, connecting, connected, waiting, closing }
    enum Event {
        case connected(reason: Int32, sessionPresent: Bool)
        case disconnected(MosquittoError?, attempt: UInt64)
        case published(Int32, reason: Int32)
        case subscribed(Int32, [Int32])
        case message(MosquittoMessage)
    }

    /// Owned; freed in deinit. The library calls back with `self` unretained: it does so only inside calls
    /// made by methods of this object (never from a thread of its own: none is started), so `self` is alive
    /// then.
    let handle: OpaquePointer
    private let sessionExpirySeconds: UInt32
    var usesTLS = false
    var host = ""
    var port: UInt16 = 1883
    var keepAliveSeconds: UInt16 = 60
    var hasSetProperties = false
    /// See `holdOutput`.
    let mayHoldOutput: Bool
    var isHoldingOutput = false

    var phase = Phase.idle
    /// Counts attempts to connect, so that news of an earlier one is told apart.
    var attempt: UInt64 = 0
    var failuresInRow = 0
    var timer: MosquittoLoop.TimerID?
    var mark: UInt64?
    var watched: Int32 = -1
    var watchedEvents: UInt32 = 0
    var isAwaitingTransport = false
    var unacked: Set<Int32> = []
    var events: [Event] = []

    /// - Parameters:
    ///   - identifier: the MQTT client identifier.
    ///   - cleanStart: false resumes the broker's session of that identifier (clean session 0 on 3.1.1).
    ///   - sessionExpirySeconds: how long the broker keeps the session after the connection ends; MQTT 5
    ///     only.
    ///   - inflightMax: publishes at QoS 1 and 2 under way at once; more wait inside the client. mosquitto as
    ///     Debian configures it cuts a 3.1.1 client that has more than 20 at QoS 2.
    ///   - receiveMaximum: publishes at QoS 1 and 2 the broker may have under way to us; MQTT 5 only.
    ///   - mayHoldOutput: for `holdOutput`: what is to be sent waits for the loop's next turn.
    package init(
        loop: MosquittoLoop, identifier: String, cleanStart: Bool = true, version: MosquittoVersion = .v5,
        sessionExpirySeconds: UInt32 = 0, inflightMax: UInt16 = 20, receiveMaximum: UInt16 = 20,
        mayHoldOutput: Bool = false
    ) throws(MosquittoError) {
        MosquittoLibrary.start()
        self.loop = loop
        self.identifier = identifier
        self.version = version
        self.sessionExpirySeconds = sessionExpirySeconds
        self.mayHoldOutput = mayHoldOutput
        guard let handle = mosquitto_new(identifier, cleanStart, nil) else {
            throw MosquittoError(
                "create the MQTT client \(identifier)", code: MOSQ_ERR_ERRNO.rawValue, systemError: errno)
        }
        self.handle = handle
        mosquitto_user_data_set(handle, Unmanaged.passUnretained(self).toOpaque())
        // "Threaded" keeps the library from writing to the socket inside other calls; no thread is started.
        mosquitto_threaded_set(handle, mayHoldOutput)
        mosquitto_int_option(handle, MOSQ_OPT_PROTOCOL_VERSION, version.libraryCode)
        mosquitto_int_option(handle, MOSQ_OPT_SEND_MAXIMUM, Int32(max(inflightMax, 1)))
        mosquitto_int_option(handle, MOSQ_OPT_RECEIVE_MAXIMUM, Int32(max(receiveMaximum, 1)))
        mosquitto_int_option(handle, MOSQ_OPT_TCP_NODELAY, 1)
        installCallbacks()
    }

    deinit { mosquitto_destroy(handle) }

    /// Sends a user name and password from the next CONNECT on.
    package func setCredentials(user: String, password: String?) throws(MosquittoError) {
        try check("set credentials", mosquitto_username_pw_set(handle, user, password))
    }

    /// What the broker publishes when the connection ends without DISCONNECT.
    package func setWill(topic: String, payload: [UInt8], qos: UInt8 = 0, retain: Bool = false)
        throws(MosquittoError)
    {
        try check(
            "set the will",
            mosquitto_will_set(handle, topic, Int32(payload.count), payload, Int32(qos), retain))
    }

    /// Encrypts the connection and checks the broker's certificate and name.
    ///
    /// - Parameter authorityFile: PEM with the authorities to trust; nil trusts the system's.
    package func useTLS(authorityFile: String? = nil) throws(MosquittoError) {
        if let authorityFile {
            try check("use \(authorityFile)", mosquitto_tls_set(handle, authorityFile, nil, nil, nil, nil))
        } else {
            try check("use TLS", mosquitto_int_option(handle, MOSQ_OPT_TLS_USE_OS_CERTS, 1))
        }
        usesTLS = true
    }

    /// As `useTLS`, and shows the broker a certificate of one's own.
    ///
    /// - Parameters:
    ///   - authorityFile: PEM with the authorities to trust; nil trusts the system's.
    ///   - certificateFile: PEM with the client's certificate.
    ///   - keyFile: PEM with its private key, without a pass phrase.
    package func useMutualTLS(
        authorityFile: String?, certificateFile: String, keyFile: String
    ) throws(MosquittoError) {
        let systemFolder = authorityFile == nil ? "/etc/ssl/certs" : nil
        try check(
            "use \(authorityFile ?? "/etc/ssl/certs"), \(certificateFile) and \(keyFile)",
            mosquitto_tls_set(handle, authorityFile, systemFolder, certificateFile, keyFile, nil))
        usesTLS = true
    }

    // MARK: Connecting

    /// Starts to connect and returns at once; `onConnect` or `onDisconnect` tells the outcome. Host names are
    /// looked up on another thread.
    ///
    /// - Parameter keepAliveSeconds: 0 for none; the library's least is 5.
    /// - Throws: when the client is connected or connecting already.
    package func connect(host: String, port: UInt16, keepAliveSeconds: UInt16 = 60) throws(MosquittoError) {
        precondition(loop.isCurrent, "an MQTT client belongs to its loop's thread; use loop.perform")
        switch phase {
        case .idle, .waiting, .closing: break
        case .resolving, .connecting, .connected:
            throw MosquittoError(
                operation: "connect to \(host):\(port)", code: MOSQ_ERR_INVAL.rawValue,
                message: "the client is connected or connecting already; disconnect first")
        }
        if mark == nil {
            mark = loop.register(self)
            if mark == nil {
                throw MosquittoError(
                    operation: "connect to \(host):\(port)", code: MOSQ_ERR_NOMEM.rawValue,
                    message: "the loop has its most clients (\(loop.limits.clientsMax)); use another loop")
            }
        }
        self.host = host
        self.port = port
        self.keepAliveSeconds = keepAliveSeconds == 0 ? 0 : max(keepAliveSeconds, 5)
        failuresInRow = 0
        if phase == .closing { connectsAfterClosing = true } else { startAttempt() }
    }

    /// Ends the connection with DISCONNECT (no will), or the attempts to make one. `onDisconnect(nil)`
    /// follows, unless there was nothing to end.
    package func disconnect() {
        precondition(loop.isCurrent, "an MQTT client belongs to its loop's thread; use loop.perform")
        connectsAfterClosing = false
        switch phase {
        case .idle, .closing: return
        case .resolving, .waiting:
            attempt += 1
            setTimer(nil)
            phase = .closing
            append(.disconnected(nil, attempt: attempt))
        case .connecting, .connected:
            phase = .closing
            setTimer(Self.closeTimeout) { $0.abandon(nil) }
            let code = mosquitto_disconnect(handle)
            updateWatch()
            // Without a connection the library does not call back.
            if code == MOSQ_ERR_NO_CONN.rawValue { append(.disconnected(nil, attempt: attempt)) }
        }
    }

    /// Cuts the connection without DISCONNECT, as a lost network does: the broker publishes the will, and
    /// `onDisconnect` follows with an error. Nothing happens when there is none.
    package func dropConnection() {
        precondition(loop.isCurrent, "an MQTT client belongs to its loop's thread; use loop.perform")
        if watched >= 0 { shutdown(watched, Int32(SHUT_RDWR)) }
    }

    var connectsAfterClosing = false

    func startAttempt() {
        attempt += 1
        phase = .resolving
        isHoldingOutput = false
        setTimer(nil)
        let current = attempt
        loop.resolver.resolve(host) { [weak self] answer in
            guard let self, self.phase == .resolving, self.attempt == current else { return }
            switch answer {
            case .address(let address): self.openSocket(address)
            case .failure(let code):
                self.append(
                    .disconnected(
                        MosquittoError(
                            "connect to \(self.host):\(self.port)", code: MOSQ_ERR_EAI.rawValue,
                            systemError: code),
                        attempt: current))
            }
        }
    }

    private func openSocket(_ address: String) {
        phase = .connecting
        unwatch()
        setConnectProperties()
        // TLS needs the name to check the certificate; its address was found a moment ago, so this lookup is
        // quick.
        let target = usesTLS ? host : address
        errno = 0
        let code = mosquitto_connect_bind_async(handle, target, Int32(port), Int32(keepAliveSeconds), nil)
        let systemError = errno
        guard code == MOSQ_ERR_SUCCESS.rawValue || code == MOSQ_ERR_CONN_PENDING.rawValue else {
            append(
                .disconnected(
                    MosquittoError("connect to \(host):\(port)", code: code, systemError: systemError),
                    attempt: attempt))
            return
        }
        isAwaitingTransport = true
        setTimer(Self.connectTimeout) { client in
            client.abandon(
                MosquittoError(
                    operation: "connect to \(client.host):\(client.port)", code: MOSQ_ERR_CONN_LOST.rawValue,
                    message: "no answer within \(Self.connectTimeout)"))
        }
        updateWatch()
    }

    /// The library takes CONNECT properties only through its blocking connect. It keeps them before it looks
    /// at the port, so a port it refuses sets them without connecting; later attempts use them again.
    private func setConnectProperties() {
        guard version == .v5, sessionExpirySeconds > 0, !hasSetProperties else { return }
        hasSetProperties = true
        var list = PropertyList()
        // Adding an integer property fails only without memory; the session then ends with the connection.
        try? list.add(MQTT_PROP_SESSION_EXPIRY_INTERVAL, seconds: sessionExpirySeconds)
        mosquitto_connect_bind_v5(handle, "localhost", -1, 60, nil, list.head)
    }

    /// Ends a connection the library cannot end by itself; its socket is closed by the next attempt or by
    /// deinit.
    func abandon(_ error: MosquittoError?) {
        guard phase == .connecting || phase == .connected || phase == .closing else { return }
        if watched >= 0 { shutdown(watched, Int32(SHUT_RDWR)) }
        unwatch()
        append(.disconnected(error, attempt: attempt))
    }

    /// Replaces the one timer: end of an attempt, end of closing, or the wait before the next attempt.
    func setTimer(_ delay: Duration?, _ body: ((MosquittoClient) -> Void)? = nil) {
        if let timer { loop.cancel(timer) }
        timer = nil
        guard let delay, let body else { return }
        timer = loop.schedule(after: delay) { [weak self] in
            guard let self else { return }
            self.timer = nil
            body(self)
        }
    }
}

// MARK: Publish, subscribe

extension MosquittoClient {
    /// Publishes now; the payload is copied.
    ///
    /// At QoS 1 and 2 the client keeps the message until it is acknowledged and sends it again, in order,
    /// after a reconnect. Before CONNACK nothing is taken: what is sent then would overtake what is sent
    /// again.
    ///
    /// - Returns: the message identifier that `onPublished` names; reused after its acknowledgement.
    /// - Throws: when not connected (keep the message and publish it after `onConnect`), when `unackedMax`
    ///   are under way (`isQueueFull`), or when the broker or the library refuses the topic, size or QoS.
    @discardableResult
    package func publish(
        topic: String, payload: [UInt8], qos: UInt8 = 1, retain: Bool = false,
        properties: MosquittoProperties = MosquittoProperties()
    ) throws(MosquittoError) -> Int32 {
        precondition(loop.isCurrent, "an MQTT client belongs to its loop's thread; use loop.perform")
        guard phase == .connected else { throw MosquittoError("publish", code: MOSQ_ERR_NO_CONN.rawValue) }
        guard qos == 0 || unacked.count < Self.unackedMax else {
            throw MosquittoError(
                operation: "publish", code: MosquittoError.queueFull,
                message: "\(Self.unackedMax) messages wait for their acknowledgement")
        }
        var list = PropertyList()
        if version == .v5, !properties.isEmpty { try list.add(properties) }
        var messageIdentifier: Int32 = 0
        let code = mosquitto_publish_v5(
            handle, &messageIdentifier, topic, Int32(payload.count), payload, Int32(qos), retain, list.head)
        switch code {
        case MOSQ_ERR_SUCCESS.rawValue: break
        case MOSQ_ERR_NO_CONN.rawValue, MOSQ_ERR_CONN_LOST.rawValue, MOSQ_ERR_ERRNO.rawValue,
            MOSQ_ERR_TLS.rawValue:
            // The connection has just ended. The library has queued the message already and sends it again.
            if qos == 0 { throw MosquittoError("publish to \(topic)", code: code, systemError: errno) }
        default: throw MosquittoError("publish to \(topic)", code: code, systemError: errno)
        }
        if qos > 0 { unacked.insert(messageIdentifier) }
        updateWatch()
        return messageIdentifier
    }

    /// Subscribes; `onSubscribed` tells the outcome.
    ///
    /// - Parameter options: MQTT 5 only; on 3.1.1 they are left out.
    /// - Returns: the message identifier of the SUBSCRIBE.
    @discardableResult
    package func subscribe(
        _ filter: String, qos: UInt8 = 1, options: MosquittoSubscribeOptions = []
    ) throws(MosquittoError) -> Int32 {
        precondition(loop.isCurrent, "an MQTT client belongs to its loop's thread; use loop.perform")
        guard phase == .connected else { throw MosquittoError("subscribe", code: MOSQ_ERR_NO_CONN.rawValue) }
        var messageIdentifier: Int32 = 0
        let flags = version == .v5 ? Int32(options.rawValue) : 0
        try check(
            "subscribe to \(filter)",
            mosquitto_subscribe_v5(handle, &messageIdentifier, filter, Int32(qos), flags, nil))
        updateWatch()
        return messageIdentifier
    }

    /// Ends a subscription.
    package func unsubscribe(_ filter: String) throws(MosquittoError) {
        precondition(loop.isCurrent, "an MQTT client belongs to its loop's thread; use loop.perform")
        guard phase == .connected else {
            throw MosquittoError("unsubscribe", code: MOSQ_ERR_NO_CONN.rawValue)
        }
        try check("unsubscribe from \(filter)", mosquitto_unsubscribe(handle, nil, filter))
        updateWatch()
    }

    private func check(_ operation: String, _ code: Int32) throws(MosquittoError) {
        if code != MOSQ_ERR_SUCCESS.rawValue {
            throw MosquittoError(operation, code: code, systemError: errno)
        }
    }
}

// MARK: Acknowledgements that wait

extension MosquittoClient {
    /// Nothing is sent, and nothing read, until `releaseOutput` or the end of the connection. Called in `onTurnEnd`,
    /// the acknowledgements of the messages that this turn brought have not left: a message can so be made durable
    /// first. The library's acknowledgements are otherwise its own affair. Needs `mayHoldOutput`.
    package func holdOutput() {
        precondition(loop.isCurrent, "an MQTT client belongs to its loop's thread; use loop.perform")
        precondition(mayHoldOutput, "a client that holds its output is made so")
        guard phase == .connected, !isHoldingOutput else { return }
        isHoldingOutput = true
        updateWatch()
    }

    /// What waits is sent, and the socket read again.
    package func releaseOutput() {
        precondition(loop.isCurrent, "an MQTT client belongs to its loop's thread; use loop.perform")
        guard isHoldingOutput else { return }
        isHoldingOutput = false
        guard phase == .connected else { return }
        updateWatch()
    }
}
