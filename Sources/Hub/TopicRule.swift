/// How a topic names a device, and where the message id may stand: the ingest rules of the hub.
///
/// | topic filter | device | property bag |
/// |---|---|---|
/// | `devices/{device}/telemetry` | second level | none |
/// | `devices/{device}/messages/events/#` | second level | behind `events/` (Azure IoT Hub) |
package enum TopicRule {
    /// What a telemetry topic is made of; ranges are bytes of the topic.
    package struct Match: Equatable {
        package var device: Range<Int>
        /// The part that is the same for every message of this device: what a cache may be keyed by.
        package var fixedBytes: Int
        /// `name=value&…`, percent-encoded; empty where the rule has none.
        package var propertyBag: Range<Int>
    }

    /// The longest device name taken, in bytes.
    package static let deviceBytesMax = 128

    /// - Returns: nil for a topic that no rule claims: it is ordinary broker traffic.
    package static func match(_ topic: UnsafeRawBufferPointer) -> Match? {
        guard startsWith(topic, "devices/", at: 0) else { return nil }
        let deviceStart = 8
        var deviceEnd = deviceStart
        while deviceEnd < topic.count, topic[deviceEnd] != 0x2F { deviceEnd += 1 }
        let device = deviceStart..<deviceEnd
        if startsWith(topic, "/telemetry", at: deviceEnd), topic.count == deviceEnd + 10 {
            return Match(device: device, fixedBytes: topic.count, propertyBag: topic.count..<topic.count)
        }
        guard startsWith(topic, "/messages/events", at: deviceEnd) else { return nil }
        let eventsEnd = deviceEnd + 16
        if topic.count == eventsEnd {
            return Match(device: device, fixedBytes: eventsEnd, propertyBag: eventsEnd..<eventsEnd)
        }
        guard topic[eventsEnd] == 0x2F else { return nil }
        return Match(device: device, fixedBytes: eventsEnd + 1, propertyBag: (eventsEnd + 1)..<topic.count)
    }

    private static func startsWith(_ topic: UnsafeRawBufferPointer, _ text: StaticString, at: Int) -> Bool {
        let count = text.utf8CodeUnitCount
        guard topic.count >= at + count else { return false }
        for index in 0..<count where topic[at + index] != text.utf8Start[index] { return false }
        return true
    }
}
