import MQTTWire

/// Who the client of a session proved to be, for the journal.
package struct KeptIdentity: Sendable, Equatable {
    /// nil for an anonymous client.
    package var user: String?
    package var hasCertificate: Bool

    package init(user: String?, hasCertificate: Bool) {
        self.user = user
        self.hasCertificate = hasCertificate
    }
}

/// A will as the journal has it.
struct KeptWill {
    var will: Will
    /// nil where nobody's rights were limited.
    var identity: KeptIdentity?

    init(_ will: Will, identity: KeptIdentity?) {
        self.will = will
        self.identity = identity
    }

    func write(to record: inout RecordWriter) {
        var flags = will.qos.rawValue | (will.retain ? JournalFlags.retain : 0)
        if let identity {
            flags |= JournalFlags.identified | (identity.hasCertificate ? JournalFlags.certificate : 0)
        }
        record.put(will.properties.willDelayInterval ?? 0)
        record.put(flags)
        record.put(identity?.user)
        record.put(will.topic)
        var properties = will.properties
        properties.willDelayInterval = nil
        var encoded: [UInt8] = []
        encodeProperties(properties, into: &encoded)
        record.put(UInt32(encoded.count))
        record.bytes.append(contentsOf: encoded)
        record.bytes.append(contentsOf: will.payload)
    }

    /// - Returns: nil when the record is not one of this program's.
    init?(_ record: inout RecordReader) {
        let delay: UInt32 = record.number()
        let flags: UInt8 = record.number()
        let user = record.text()
        let topic = record.text() ?? ""
        let propertyBytes: UInt32 = record.number()
        let encoded = record.bytes(Int(propertyBytes))
        let payload = Array(record.rest())
        guard record.isWhole, var properties = try? parsePublishProperties(encoded) else { return nil }
        if delay != 0 { properties.willDelayInterval = delay }
        will = Will(
            topic: topic, payload: payload, qos: QoS(rawValue: flags & JournalFlags.qosMask) ?? .atLeastOnce,
            retain: flags & JournalFlags.retain != 0, properties: properties)
        if flags & JournalFlags.identified != 0 {
            identity = KeptIdentity(user: user, hasCertificate: flags & JournalFlags.certificate != 0)
        }
    }
}

/// Wills of sessions that the journal keeps: they are published however the connection ended, the end of the hub
/// included. MQTT 5.0 §3.1.2.5 lets a server that fails publish them when it is there again.
extension Broker {
    /// Writes down the session's will, or that it has none any more.
    mutating func keepWill(_ session: Session) {
        guard session.kept.isKept else { return }
        if session.will != nil {
            session.kept.hasWill = true
            writeWill(session)
        } else {
            forgetWill(session)
        }
    }

    /// The session's will was taken back, replaced or published.
    mutating func forgetWill(_ session: Session) {
        guard session.kept.hasWill else { return }
        session.kept.hasWill = false
        let number = session.number
        journal.add(.willEnded) { $0.put(number) }
    }

    mutating func writeWill(_ session: Session) {
        guard session.kept.hasWill, let will = session.will else { return }
        let kept = KeptWill(will, identity: access?.identity(of: session))
        journal.add(.will) { record in
            record.put(session.number)
            kept.write(to: &record)
        }
    }

    /// The hub has published the will of `BrokerAction.willPublish`: it and what follows from it may become durable.
    package mutating func willIsPublished() {
        precondition(pendingWills > 0)
        pendingWills -= 1
    }

    /// The hub stops: who is connected to a lasting session loses his connection to that, and his will waits for the
    /// next start, when he may be back in time.
    package mutating func deferWills() { defersWills = true }

    /// Gives a session the will that it had.
    /// - Parameter awaySince: monotonic nanoseconds when its connection ended.
    func restore(_ kept: KeptWill, of session: Session, awaySince: UInt64) {
        guard TopicName.isValid(kept.will.topic, levelsMax: topicLevelsMax) else { return }
        session.will = kept.will
        session.kept.hasWill = true
        if let access, let identity = kept.identity {
            setRights(access.rights(of: identity, client: session.clientIdentifier), of: session)
        }
        let delay = UInt64(kept.will.properties.willDelayInterval ?? 0)
        session.willDue = awaySince + delay * nanosecondsPerSecond
    }
}
