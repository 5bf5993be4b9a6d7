import Bridge
import MQTTWire
import MosquittoClient

/// From the other broker to the hub: what comes in one turn goes to the hub at once, and nothing is acknowledged to
/// the other broker until the hub has acknowledged all of it.
extension BridgeRunner {
    func take(_ message: MosquittoMessage) {
        guard !isRefusing else { return }
        guard isLinkUp, writer.owed < LinkWriter.owedMax else {
            // Unacknowledged, so it comes again.
            isRefusing = true
            client?.dropConnection()
            return
        }
        guard let target = inward.map(message.topic) else {
            return note { status in
                status.counters.received += 1
                status.counters.unmapped += 1
            }
        }
        var properties = Properties()
        properties.userProperties = message.userProperties.map { UserProperty($0.0, $0.1) }
        properties.contentType = message.contentType
        properties.responseTopic = message.responseTopic
        properties.correlationData = message.correlationData
        properties.messageExpiryInterval = message.messageExpirySeconds
        if message.isText { properties.payloadFormatIndicator = 1 }
        let isEcho =
            ViaMark.isLoop(properties, hub: hub)
            || (settings.version == .v311
                && echo.takeEcho(topic: message.topic, payload: message.payload, now: loop.now))
        if isEcho {
            return note { status in
                status.counters.received += 1
                status.counters.looped += 1
            }
        }
        let qos = min(message.qos, target.qos)
        let isTaken =
            !target.topic.hasPrefix("$")
            && writer.publish(
                topic: target.topic, payload: message.payload, qos: qos, retain: message.isRetained,
                properties: properties)
        if isTaken, qos == 0 { unfenced += 1 }
        note { status in
            status.counters.received += 1
            if !isTaken { status.counters.refused += 1 }
        }
    }

    /// The socket's turn is over.
    func turnEnded() {
        guard isLinkUp, !writer.bytes.isEmpty else { return }
        if unfenced > 0 {
            writer.fence()
            fenced.append(unfenced)
            unfenced = 0
        }
        link?.give(writer.take())
        client?.holdOutput()
    }

    func acknowledged(_ acknowledgement: Acknowledgement) {
        writer.settle()
        note { status in
            if acknowledgement.reason.isFailure {
                status.counters.refused += 1
                status.lastError = "the hub refuses a message: \(acknowledgement.reason)"
            } else {
                status.counters.stored += 1
            }
        }
        if writer.owed == 0 { settled() }
    }

    func fencePassed() {
        guard !fenced.isEmpty else { return }
        let count = fenced.removeFirst()
        writer.settle()
        note { $0.counters.stored += count }
        if writer.owed == 0 { settled() }
    }
}
