/// One ingest rule as people write it: which topics are telemetry, and where device, message id and event time
/// stand. Compiled by `IngestRules`.
package struct IngestRule: Sendable, Equatable {
    /// Where a text stands in a message.
    package enum Place: Sendable, Hashable, CustomStringConvertible {
        /// A field of a JSON payload, by the names on the way to it.
        case json([String])
        /// An MQTT 5 user property.
        case property(String)
        /// A value of the property bag (`name=value&…`) that the `#` of the topic filter took.
        case bag(String)
        /// A named level of the topic.
        case segment(String)

        package var description: String {
            switch self {
            case .json(let path): "JSON \(path.joined(separator: "."))"
            case .property(let name): "user property \(name)"
            case .bag(let name): "property bag \(name)"
            case .segment(let name): "topic level {\(name)}"
            }
        }
    }

    package enum Device: Sendable, Equatable {
        case template(DeviceTemplate)
        case field(Place)
    }

    package enum Format: String, Sendable, CaseIterable {
        /// The payload is one JSON text (RFC 8259); anything else is quarantined as `not_json`.
        case json
        /// Any bytes, never looked into.
        case raw
    }

    /// Where the rule was written: `hub.yaml:7`, or the name of its preset.
    package var name: String
    package var topic: TopicPattern
    package var device: Device
    /// The first that is there and not empty is the message id.
    package var ids: [Place]
    /// The first that is there decides the event time; none: the arrival time.
    package var times: [Place]
    package var format = Format.json
    /// Bytes; nil for `HubLimits.ingestPayloadBytesMax`.
    package var payloadBytesMax: Int?

    package init(
        name: String, topic: TopicPattern, device: Device, ids: [Place], times: [Place],
        format: Format = .json, payloadBytesMax: Int? = nil
    ) {
        self.name = name
        self.topic = topic
        self.device = device
        self.ids = ids
        self.times = times
        self.format = format
        self.payloadBytesMax = payloadBytesMax
    }

    /// Where an id is looked for when the rule does not say.
    package static let defaultIDs: [Place] = [.property("message-id"), .json(["messageId"]), .json(["id"])]
    package static let defaultTimes: [Place] = [.json(["ts"]), .json(["timestamp"])]

    /// Places for ids, or for times, of one rule at most.
    package static let placesMax = 8
    /// Names on the way to a JSON field at most.
    package static let pathMax = 8

    /// Pairs of rules that take the same topics.
    ///
    /// - Returns: `shadowed`: the second never gets a message. Else: some topics could go to either, and go to
    ///   the first.
    package static func overlaps(in rules: [IngestRule]) -> [(first: Int, second: Int, shadowed: Bool)] {
        var found: [(first: Int, second: Int, shadowed: Bool)] = []
        for second in rules.indices {
            for first in 0..<second where rules[first].topic.overlaps(rules[second].topic) {
                found.append((first, second, rules[first].topic.contains(rules[second].topic)))
            }
        }
        return found
    }
}
