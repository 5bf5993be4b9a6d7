import MQTTWire

/// Acknowledgements in. Hot path: raw pointers into `readBuffer`; every load is below `end`.
extension LoadRunner {
    func readable(_ connection: LoadConnection) {
        switch connection.state {
        case .closed: return
        case .connecting: return connected(connection)
        case .awaitingConnack, .ready: break
        }
        let kept = connection.partial.count
        if kept > 0 {
            connection.partial.withUnsafeBytes { bytes in
                if let base = bytes.baseAddress { readBuffer.copyMemory(from: base, byteCount: kept) }
            }
            connection.partial.removeAll(keepingCapacity: true)
        }
        switch LoadSocket.receive(connection.descriptor, readBuffer + kept, LoadLimits.readBytes) {
        case .bytes(let count): parse(connection, kept + count)
        case .blocked:
            connection.partial.append(contentsOf: UnsafeRawBufferPointer(start: readBuffer, count: kept))
        case .ended(let code): lose(connection, "\(SystemError(code: code))")
        }
    }

    /// Takes the packets in the first `end` bytes of `readBuffer`, then tops the window up.
    private func parse(_ connection: LoadConnection, _ end: Int) {
        var offset = 0
        while offset < end, connection.state != .closed {
            // An acknowledgement without properties, nearly every packet: two bytes of header, two of number.
            if end - offset >= 4, readBuffer.load(fromByteOffset: offset + 1, as: UInt8.self) == 2 {
                take(connection, readBuffer.load(fromByteOffset: offset, as: UInt8.self), offset + 2, 2)
                offset += 4
                continue
            }
            let rest = UnsafeRawBufferPointer(start: readBuffer + offset, count: end - offset)
            switch scanFrame(rest, packetBytesMax: LoadLimits.packetBytesMax) {
            case .frame(let bodyOffset, let bodyBytes):
                take(connection, rest[0], offset + bodyOffset, bodyBytes)
                offset += bodyOffset + bodyBytes
            case .incomplete:
                connection.partial.append(contentsOf: rest)
                offset = end
            case .invalid(let error): lose(connection, "the broker sent what is no MQTT: \(error)")
            }
        }
        if connection.state == .ready { pump(connection) } else { composed = 0 }
    }

    /// One packet, whose body of `bodyBytes` starts at `body` in `readBuffer`.
    private func take(_ connection: LoadConnection, _ firstByte: UInt8, _ body: Int, _ bodyBytes: Int) {
        if connection.state == .awaitingConnack {
            return acceptConnack(
                connection, firstByte, UnsafeRawBufferPointer(start: readBuffer + body, count: bodyBytes))
        }
        switch firstByte {
        case 0x40, 0x50, 0x70:
            guard bodyBytes >= 2 else {
                return lose(connection, "the broker sent an acknowledgement of nothing")
            }
            let identifier = UInt16(
                bigEndian: readBuffer.loadUnaligned(fromByteOffset: body, as: UInt16.self))
            // 5.0 leaves the reason out when it is success; 3.1.1 has none. MQTT 5.0 §3.4.2.1.
            let reason =
                plan.version == .v5 && bodyBytes > 2
                ? readBuffer.load(fromByteOffset: body + 2, as: UInt8.self) : 0
            acknowledge(connection, firstByte, identifier, reason)
        case 0xD0: pong(connection)
        case 0xE0:
            let reason = bodyBytes > 0 ? readBuffer.load(fromByteOffset: body, as: UInt8.self) : 0
            lose(connection, "the broker disconnected: \(ReasonCode(rawValue: reason))")
        default: result.mismatched += 1
        }
    }

    private func acknowledge(
        _ connection: LoadConnection, _ firstByte: UInt8, _ identifier: UInt16, _ reason: UInt8
    ) {
        if firstByte == 0x50, plan.qos == .exactlyOnce, reason < 0x80 {
            guard connection.advance(identifier, from: .published, to: .released) else {
                result.mismatched += 1
                return
            }
            precondition(composed + 4 <= composeBytes, "the scratch buffer is too small")
            scratch.storeBytes(of: 0x6202, toByteOffset: composed, bigEndian: true)
            scratch.storeBytes(of: identifier, toByteOffset: composed + 2, bigEndian: true)
            composed += 4
            return
        }
        let isExpected =
            plan.qos == .exactlyOnce ? firstByte == 0x70 || firstByte == 0x50 : firstByte == 0x40
        guard isExpected,
            let intended = connection.finish(identifier, from: firstByte == 0x70 ? .released : .published)
        else {
            result.mismatched += 1
            return
        }
        lastCompletion = now
        guard reason < 0x80 else {
            result.refused += 1
            if result.firstError == nil {
                result.firstError = "the broker refused a message: \(ReasonCode(rawValue: reason))"
            }
            return
        }
        result.messages += 1
        histogram.record(now > intended ? now - intended : 0)
    }
}

extension UnsafeMutableRawPointer {
    /// Guard: two bytes at `toByteOffset` belong to the pointer.
    fileprivate func storeBytes(of value: UInt16, toByteOffset offset: Int, bigEndian: Bool) {
        storeBytes(
            of: bigEndian ? value.bigEndian : value.littleEndian, toByteOffset: offset, as: UInt16.self)
    }
}
