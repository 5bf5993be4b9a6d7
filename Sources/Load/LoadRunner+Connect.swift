import CEpoll
import Glibc
import MQTTWire

/// From no connection to all, and back.
extension LoadRunner {
    /// Opens all connections, some at a time.
    func openAll() throws(LoadError) {
        let address = try LoadSocket.resolve(host: plan.host, port: plan.port)
        var next = 0
        var progress = now
        var known = 0
        while ready < connections.count {
            while next < connections.count, next - ready < LoadLimits.openingMax {
                try open(connections[next], address)
                next += 1
            }
            turn(waitNanoseconds: 50_000_000)
            if let explanation = result.firstError {
                throw .cannotConnect(address: "\(plan.host):\(plan.port)", explanation: explanation)
            }
            if ready != known {
                known = ready
                progress = now
            } else if now - progress > LoadLimits.openingStallNanoseconds {
                throw .cannotConnect(
                    address: "\(plan.host):\(plan.port)",
                    explanation: "no answer for \(LoadLimits.openingStallNanoseconds / 1_000_000_000) s with "
                        + "\(ready) of \(connections.count) connections made")
            }
        }
    }

    private func open(_ connection: LoadConnection, _ address: LoadSocket.Address) throws(LoadError) {
        switch LoadSocket.connect(to: address) {
        case .success(let descriptor):
            connection.descriptor = descriptor
            connection.state = .connecting
            connection.wantsWrite = true
            LoadSocket.register(
                epoll, EPOLL_CTL_ADD, descriptor, mark: connection.number, wantsWrite: true)
        case .failure(let error):
            throw .cannotConnect(
                address: "\(plan.host):\(plan.port)",
                explanation: "\(error); is a broker listening there?")
        }
    }

    /// The socket stands or has failed: send CONNECT.
    func connected(_ connection: LoadConnection) {
        let code = LoadSocket.pendingError(connection.descriptor)
        guard code == 0 else {
            return lose(connection, "\(SystemError(code: code)); is a broker listening there?")
        }
        connection.state = .awaitingConnack
        var connect = Connect()
        connect.version = plan.version
        connect.clientIdentifier = PublishTemplate.name(of: connection.number, prefix: namePrefix)
        connect.userName = plan.userName
        connect.password = plan.password.map { [UInt8]($0.utf8) }
        var bytes: [UInt8] = []
        encodePacket(.connect(connect), version: plan.version, into: &bytes)
        bytes.withUnsafeBytes { write(connection, $0) }
        wantWrite(connection, connection.isBlocked)
    }

    /// - Parameter body: of the first packet the broker sent.
    func acceptConnack(_ connection: LoadConnection, _ firstByte: UInt8, _ body: UnsafeRawBufferPointer) {
        do throws(WireError) {
            let packet = try decodePacket(firstByte: firstByte, body: body, version: plan.version)
            guard case .connack(let connack) = packet else {
                return lose(
                    connection, "the peer answered CONNECT with something else; is it an MQTT broker?")
            }
            guard connack.reason.rawValue < 0x80 else {
                return lose(connection, "the broker refused the connection: \(connack.reason)")
            }
            if let maximum = connack.properties.receiveMaximum { connection.narrow(to: Int(maximum)) }
            connection.state = .ready
            ready += 1
        } catch {
            lose(connection, "the broker's CONNACK cannot be read: \(error)")
        }
    }

    /// Closes a connection that failed; its messages on the way stay unacknowledged.
    func lose(_ connection: LoadConnection, _ explanation: @autoclosure () -> String) {
        guard connection.state != .closed else { return }
        if connection.state == .ready { ready -= 1 }
        if result.firstError == nil {
            result.firstError =
                "\(PublishTemplate.name(of: connection.number, prefix: namePrefix)): \(explanation())"
        }
        connection.state = .closed
        abandoned += connection.outstanding
        // Closing takes it out of epoll as well.
        close(connection.descriptor)
        connection.descriptor = -1
        result.connectionsLost += 1
    }

    func disconnectAll() {
        for connection in connections where connection.state == .ready {
            // DISCONNECT without a reason is the same two bytes in both versions. What the socket does not
            // take is not worth waiting for: the messages are done.
            let bytes: [UInt8] = [0xE0, 0]
            bytes.withUnsafeBytes { buffer in
                if let base = buffer.baseAddress, !connection.isBlocked {
                    _ = LoadSocket.send(connection.descriptor, base, buffer.count)
                }
            }
            close(connection.descriptor)
            connection.descriptor = -1
            connection.state = .closed
        }
    }
}
