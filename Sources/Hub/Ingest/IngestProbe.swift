import MQTTWire
package import Telemetry

/// Shows what the ingest rules make of one message: `headend ingest test`.
package struct IngestProbe: Sendable {
    /// The rule that takes the topic; nil: ordinary broker traffic.
    package private(set) var rule: IngestRule?
    /// nil when the message names none that is allowed.
    package private(set) var device: String?
    package private(set) var messageID: String?
    package private(set) var messageIDPlace: IngestRule.Place?
    /// nil: the arrival time counts.
    package private(set) var eventTime: EventTime?
    package private(set) var eventTimePlace: IngestRule.Place?
    /// Why the message would be quarantined; nil: it would be stored.
    package private(set) var reason: QuarantineReason?

    /// - Parameters:
    ///   - properties: MQTT 5 user properties, in order.
    ///   - client: the publisher's client identifier.
    package init(
        _ configuration: HubConfiguration, topic: String, payload: [UInt8],
        properties: [(name: String, value: String)], client: String
    ) {
        let table = configuration.ingestTable
        var block = Properties()
        block.userProperties = properties.map { UserProperty($0.name, $0.value) }
        var encoded: [UInt8] = []
        encodeProperties(block, into: &encoded)
        var copy = topic
        copy.withUTF8 { topic in
            encoded.withUnsafeBytes { properties in
                payload.withUnsafeBytes { payload in
                    let topic = UnsafeRawBufferPointer(topic)
                    guard let match = table.match(topic) else { return }
                    let input = IngestInput(
                        topic: topic, rest: match.rest, properties: properties, payload: payload)
                    examine(table, match.rule, input, client: client)
                }
            }
        }
    }

    private mutating func examine(_ table: IngestTable, _ index: Int, _ input: IngestInput, client: String) {
        let rule = table.rules[index]
        self.rule = rule
        DeviceName.withName(table, rule: index, input, client: client) { name in
            if let name, DeviceName.isAllowed(name) { device = String(decoding: name, as: UTF8.self) }
        }
        var message = StagedMessage(
            device: 0, client: 0, packetIdentifier: 0, flags: 0, topic: input.topic,
            properties: input.properties, payload: input.payload)
        if device == nil { message.setDevice(.refused(.badDevice)) }
        message.read(table.plans[index], rest: input.rest)
        reason = message.reason
        messageID = message.messageID.map { String(decoding: $0, as: UTF8.self) }
        if messageID != nil, Int(message.idRank) < rule.ids.count {
            messageIDPlace = rule.ids[Int(message.idRank)]
        }
        eventTime = message.eventTicks.map { EventTime(ticks: $0) }
        if Int(message.timeRank) < rule.times.count { eventTimePlace = rule.times[Int(message.timeRank)] }
    }
}
