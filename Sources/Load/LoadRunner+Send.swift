import CEpoll
import MQTTWire

/// Messages out. Hot path: raw pointers into `scratch`, whose room is checked before each packet.
extension LoadRunner {
    /// Composes and writes what the window, the schedule and the socket allow.
    func pump(_ connection: LoadConnection) {
        guard connection.state == .ready else { return flushScratch(connection) }
        let packetBytes = connection.template.bytes.count
        let perWrite = max(1, LoadLimits.writeBytes / packetBytes)
        while !connection.isBlocked {
            let count = allowance(connection, perWrite)
            guard count > 0 else { break }
            stampTime()
            let first: UInt64
            if gap > 0 {
                let number = connection.sent * UInt64(connections.count) + UInt64(connection.number)
                first = start + UInt64(Double(number) * gap)
                connection.owed -= UInt64(count)
            } else {
                first = now
                budget -= UInt64(count)
            }
            precondition(composed + count * packetBytes <= composeBytes, "the scratch buffer is too small")
            connection.compose(
                count, into: scratch + composed, first: first, gap: gap * Double(connections.count),
                timestamp: timestamp)
            composed += count * packetBytes
            result.sent += UInt64(count)
            ping(connection)
            flushScratch(connection)
            // At QoS 0 nothing but the socket limits a connection: one batch, then the next connection.
            if plan.qos == .atMostOnce, gap == 0 { break }
        }
        flushScratch(connection)
        settle(connection)
    }

    private func allowance(_ connection: LoadConnection, _ perWrite: Int) -> Int {
        var count = plan.qos == .atMostOnce ? perWrite : min(connection.free, perWrite)
        if gap > 0 {
            count = Int(min(UInt64(count), connection.owed))
        } else {
            count = isSending ? Int(min(UInt64(count), budget)) : 0
        }
        return count
    }

    /// QoS 0: asks the broker to answer behind the messages so far, unless it is asked already.
    private func ping(_ connection: LoadConnection) {
        guard plan.qos == .atMostOnce, connection.pingMark == nil, connection.sent > connection.confirmed
        else { return }
        connection.pingMark = connection.sent
        scratch.storeBytes(of: 0xC0, toByteOffset: composed, as: UInt8.self)
        scratch.storeBytes(of: 0, toByteOffset: composed + 1, as: UInt8.self)
        composed += 2
    }

    /// The broker has read all messages up to the mark.
    func pong(_ connection: LoadConnection) {
        guard let mark = connection.pingMark else {
            result.mismatched += 1
            return
        }
        result.messages += mark - connection.confirmed
        connection.confirmed = mark
        connection.pingMark = nil
        lastCompletion = now
        ping(connection)
    }

    /// Writes what is in `scratch`; keeps what the socket does not take.
    private func flushScratch(_ connection: LoadConnection) {
        guard composed > 0 else { return }
        let count = composed
        composed = 0
        guard connection.state == .ready else { return }
        write(connection, UnsafeRawBufferPointer(start: scratch, count: count))
    }

    func write(_ connection: LoadConnection, _ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress, !bytes.isEmpty else { return }
        guard !connection.isBlocked else { return connection.hold(bytes) }
        switch LoadSocket.send(connection.descriptor, base, bytes.count) {
        case .bytes(let count):
            if count < bytes.count { connection.hold(UnsafeRawBufferPointer(rebasing: bytes[count...])) }
        case .blocked: connection.hold(bytes)
        case .ended(let code): lose(connection, "\(SystemError(code: code))")
        }
    }

    /// Asks the kernel for the socket's room exactly while there is something to write.
    func settle(_ connection: LoadConnection) {
        guard connection.state == .ready else { return }
        let isHungry = plan.qos == .atMostOnce && gap == 0 && isSending && budget > 0
        wantWrite(connection, connection.isBlocked || isHungry)
    }

    func wantWrite(_ connection: LoadConnection, _ wants: Bool) {
        guard connection.state != .closed, connection.wantsWrite != wants else { return }
        connection.wantsWrite = wants
        LoadSocket.register(
            epoll, EPOLL_CTL_MOD, connection.descriptor, mark: connection.number, wantsWrite: wants)
    }

    func writable(_ connection: LoadConnection) {
        switch connection.state {
        case .closed: return
        case .connecting: return connected(connection)
        case .awaitingConnack, .ready: break
        }
        if connection.isBlocked {
            let outcome = connection.pending.withUnsafeBytes { bytes -> LoadSocket.Transfer in
                let rest = UnsafeRawBufferPointer(rebasing: bytes[connection.pendingStart...])
                guard let base = rest.baseAddress else { return .blocked }
                return LoadSocket.send(connection.descriptor, base, rest.count)
            }
            switch outcome {
            case .bytes(let count): connection.release(count)
            case .blocked: return
            case .ended(let code): return lose(connection, "\(SystemError(code: code))")
            }
        }
        if connection.state == .ready {
            pump(connection)
        } else {
            wantWrite(connection, connection.isBlocked)
        }
    }
}
