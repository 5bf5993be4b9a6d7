import CEpoll
import CMosquitto
import Glibc

// What the loop asks of a client.
extension MosquittoClient {
    /// Reads in a row before other clients get their turn.
    private static var readsPerTurn: Int { 32 }
    /// The same for a client that makes what it read durable before it acknowledges: one sync for all of them.
    private static var readsPerHold: Int { 2_000 }

    /// epoll reported the socket.
    func socketReady(_ ready: UInt32) {
        isAwaitingTransport = false
        let socket = mosquitto_socket(handle)
        var code = MOSQ_ERR_SUCCESS.rawValue
        if ready & EPOLLOUT.rawValue != 0, !isHoldingOutput { code = mosquitto_loop_write(handle, 1) }
        if code == MOSQ_ERR_SUCCESS.rawValue, ready & ~EPOLLOUT.rawValue != 0 || usesTLS {
            // The library reads one packet a call, and TLS may hold decrypted bytes that epoll knows nothing
            // of: so until there is nothing left.
            for _ in 0..<(mayHoldOutput ? Self.readsPerHold : Self.readsPerTurn) {
                errno = 0
                let before = events.count
                code = mosquitto_loop_read(handle, 1)
                if code != MOSQ_ERR_SUCCESS.rawValue { break }
                // EAGAIN alone says little: the library also meets it on the pipe it wakes its own threads by.
                if errno == EAGAIN, events.count == before { break }
            }
        }
        let systemError = errno
        updateWatch()
        if code != MOSQ_ERR_SUCCESS.rawValue {
            // Most ends have come as a callback already, and this second news of them is ignored; a failed
            // TLS handshake is told by the code alone, with the socket closed or not.
            abandon(endError(code, systemError))
        } else if ready & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0, socket >= 0,
            mosquitto_socket(handle) == socket
        {
            abandon(brokenSocketError(socket))
        }
    }

    /// Keep-alive: PINGREQ when it is due, the end of the connection when PINGRESP is overdue.
    func secondPassed() {
        guard watched >= 0 else { return }
        mosquitto_loop_misc(handle)
        updateWatch()
    }

    /// Tells the owner what happened, from the loop's turn and so never inside a call of the library or the
    /// owner.
    func deliverEvents() {
        let batch = events
        events = []
        for event in batch {
            switch event {
            case .connected(let reason, let sessionPresent): connected(reason, sessionPresent)
            case .disconnected(let error, let attempt): disconnected(error, attempt)
            case .published(let identifier, let reason):
                unacked.remove(identifier)
                onPublished?(identifier, reason)
            case .subscribed(let identifier, let granted): onSubscribed?(identifier, granted)
            case .message(let message): onMessage?(message)
            }
        }
        onTurnEnd?()
    }

    private func connected(_ reason: Int32, _ sessionPresent: Bool) {
        if reason == 0 {
            guard phase == .connecting else { return }
            phase = .connected
            failuresInRow = 0
            setTimer(nil)
        }
        onConnect?(reason, sessionPresent)
    }

    private func disconnected(_ error: MosquittoError?, _ attempt: UInt64) {
        guard attempt == self.attempt, phase != .idle, phase != .waiting else { return }
        let wasAsked = phase == .closing
        unwatch()
        setTimer(nil)
        phase = .idle
        if wasAsked {
            if connectsAfterClosing {
                connectsAfterClosing = false
                startAttempt()
            }
        } else if reconnects {
            phase = .waiting
            setTimer(backoff.delay(attempt: failuresInRow)) { $0.startAttempt() }
            failuresInRow += 1
        }
        onDisconnect?(
            wasAsked
                ? nil
                : error
                    ?? MosquittoError(
                        operation: "stay connected to \(host):\(port)", code: MOSQ_ERR_CONN_LOST.rawValue,
                        message: "the broker closed the connection"))
    }

    func append(_ event: Event) {
        if events.isEmpty { loop.noteEvents(of: self) }
        events.append(event)
    }

    /// Brings epoll up to date after a call of the library, which may have opened or closed the socket or
    /// left bytes unsent.
    func updateWatch() {
        let socket = mosquitto_socket(handle)
        guard socket >= 0, let mark, phase == .connecting || phase == .connected || phase == .closing else {
            // Closing a descriptor takes it out of epoll; its number may be another's already.
            watched = -1
            return
        }
        let wantsWrite = isAwaitingTransport || mosquitto_want_write(handle)
        let wanted = isHoldingOutput ? 0 : EPOLLIN.rawValue | (wantsWrite ? EPOLLOUT.rawValue : 0)
        if watched == socket {
            if wanted != watchedEvents { loop.watch(socket, events: wanted, mark: mark, isNew: false) }
        } else {
            loop.watch(socket, events: wanted, mark: mark, isNew: true)
        }
        watched = socket
        watchedEvents = wanted
    }

    /// Takes the open socket out of epoll.
    func unwatch() {
        if watched >= 0 { loop.unwatch(watched) }
        watched = -1
    }

    private func brokenSocketError(_ socket: Int32) -> MosquittoError {
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &size)
        return MosquittoError(
            phase == .connected ? "stay connected to \(host):\(port)" : "connect to \(host):\(port)",
            code: code == 0 ? MOSQ_ERR_CONN_LOST.rawValue : MOSQ_ERR_ERRNO.rawValue, systemError: code)
    }
}

// What the library reports. Each is called inside a call made by a method of the client it names.
extension MosquittoClient {
    func installCallbacks() {
        mosquitto_connect_v5_callback_set(handle) { _, object, reason, flags, _ in
            MosquittoClient.of(object)?.append(.connected(reason: reason, sessionPresent: flags & 1 != 0))
        }
        mosquitto_disconnect_v5_callback_set(handle) { _, object, reason, _ in
            let systemError = errno
            guard let client = MosquittoClient.of(object) else { return }
            client.append(.disconnected(client.endError(reason, systemError), attempt: client.attempt))
        }
        mosquitto_publish_v5_callback_set(handle) { _, object, identifier, reason, _ in
            MosquittoClient.of(object)?.append(.published(identifier, reason: reason))
        }
        mosquitto_subscribe_callback_set(handle) { _, object, identifier, count, granted in
            let codes = UnsafeBufferPointer(start: granted, count: Int(max(count, 0)))
            MosquittoClient.of(object)?.append(.subscribed(identifier, Array(codes)))
        }
        mosquitto_message_v5_callback_set(handle) { _, object, message, properties in
            guard let message, let client = MosquittoClient.of(object) else { return }
            client.append(.message(MosquittoMessage(message.pointee, properties: properties)))
        }
    }

    private static func of(_ object: UnsafeMutableRawPointer?) -> MosquittoClient? {
        object.map { Unmanaged<MosquittoClient>.fromOpaque($0).takeUnretainedValue() }
    }

    private func endError(_ code: Int32, _ systemError: Int32) -> MosquittoError? {
        if code == MOSQ_ERR_SUCCESS.rawValue { return nil }
        return MosquittoError(
            phase == .connected ? "stay connected to \(host):\(port)" : "connect to \(host):\(port)",
            code: code,
            systemError: systemError)
    }
}

extension MosquittoMessage {
    /// Copies a message out of the library's memory.
    init(_ message: mosquitto_message, properties: OpaquePointer?) {
        topic = message.topic.map { String(cString: $0) } ?? ""
        payload = Array(
            UnsafeRawBufferPointer(start: message.payload, count: Int(max(message.payloadlen, 0))))
        qos = UInt8(truncatingIfNeeded: message.qos)
        isRetained = message.retain
        userProperties = []
        contentType = nil
        guard let properties else { return }
        contentType = Self.text(MQTT_PROP_CONTENT_TYPE, properties)
        responseTopic = Self.text(MQTT_PROP_RESPONSE_TOPIC, properties)
        correlationData = Self.data(MQTT_PROP_CORRELATION_DATA, properties)
        var seconds: UInt32 = 0
        if mosquitto_property_read_int32(
            properties, Int32(MQTT_PROP_MESSAGE_EXPIRY_INTERVAL.rawValue), &seconds, false) != nil
        {
            messageExpirySeconds = seconds
        }
        var format: UInt8 = 0
        if mosquitto_property_read_byte(
            properties, Int32(MQTT_PROP_PAYLOAD_FORMAT_INDICATOR.rawValue), &format, false) != nil
        {
            isText = format == 1
        }
        var next: OpaquePointer? = properties
        var skipFirst = false
        while let from = next {
            var name: UnsafeMutablePointer<CChar>?
            var value: UnsafeMutablePointer<CChar>?
            next = mosquitto_property_read_string_pair(
                from, Int32(MQTT_PROP_USER_PROPERTY.rawValue), &name, &value, skipFirst)
            skipFirst = true
            guard next != nil, let name, let value else { break }
            userProperties.append((String(cString: name), String(cString: value)))
            free(name)
            free(value)
        }
    }

    private static func text(_ identifier: mqtt5_property, _ properties: OpaquePointer) -> String? {
        var text: UnsafeMutablePointer<CChar>?
        guard mosquitto_property_read_string(properties, Int32(identifier.rawValue), &text, false) != nil
        else { return nil }
        defer { free(text) }
        return text.map { String(cString: $0) }
    }

    private static func data(_ identifier: mqtt5_property, _ properties: OpaquePointer) -> [UInt8]? {
        var bytes: UnsafeMutableRawPointer?
        var count: UInt16 = 0
        guard
            mosquitto_property_read_binary(properties, Int32(identifier.rawValue), &bytes, &count, false)
                != nil
        else { return nil }
        defer { free(bytes) }
        return Array(UnsafeRawBufferPointer(start: bytes, count: bytes == nil ? 0 : Int(count)))
    }
}
