/// Ingest rules by name, for fleets that speak somebody else's topics.
///
/// | preset | topic filter | device |
/// |---|---|---|
/// | `plain` | `devices/{device}/telemetry` | `{device}` |
/// | `azure` | `devices/{device}/messages/events/#` | `{device}`; `$.mid` and `$.ctime` of the property bag |
/// | `thingsboard` | `v1/devices/me/telemetry` | the client identifier |
/// | `tasmota` | `tele/{device}/SENSOR` | `{device}`; event time is the arrival: its `Time` has no zone |
/// | `zigbee2mqtt` | `zigbee2mqtt/{device}` | `{device}`; event time `last_seen` |
/// | `esphome` | `{device}/sensor/{sensor}/state` | `{device}`; any bytes, ESPHome sends bare numbers |
/// | `hono` | `telemetry/{tenant}/{device}`, `event/{tenant}/{device}` | `{tenant}:{device}` |
package enum IngestPreset: String, Sendable, CaseIterable {
    case plain
    case azure
    case thingsboard
    case tasmota
    case zigbee2mqtt
    case esphome
    case hono

    /// What the hub takes in when its configuration has no `ingest:`.
    package static var standard: [IngestRule] { plain.rules + azure.rules }

    package var rules: [IngestRule] {
        switch self {
        case .plain: [rule("devices/{device}/telemetry")]
        case .azure:
            [
                rule(
                    "devices/{device}/messages/events/#", ids: [.bag("$.mid")] + IngestRule.defaultIDs,
                    times: [.bag("$.ctime")] + IngestRule.defaultTimes)
            ]
        case .thingsboard: [rule("v1/devices/me/telemetry", device: "{clientId}", times: [.json(["ts"])])]
        case .tasmota: [rule("tele/{device}/SENSOR", times: [])]
        case .zigbee2mqtt: [rule("zigbee2mqtt/{device}", times: [.json(["last_seen"])])]
        case .esphome:
            [
                rule(
                    "{device}/sensor/{sensor}/state", ids: [.property("message-id")], times: [], format: .raw)
            ]
        case .hono:
            ["telemetry/{tenant}/{device}", "event/{tenant}/{device}"].map {
                rule($0, device: "{tenant}:{device}")
            }
        }
    }

    private func rule(
        _ topic: String, device: String = "{device}", ids: [IngestRule.Place] = IngestRule.defaultIDs,
        times: [IngestRule.Place] = IngestRule.defaultTimes, format: IngestRule.Format = .json
    ) -> IngestRule {
        do {
            return IngestRule(
                name: rawValue, topic: try TopicPattern(topic), device: .template(try DeviceTemplate(device)),
                ids: ids, times: times, format: format)
        } catch {
            preconditionFailure("preset \(rawValue): \(error)")
        }
    }
}
