/// Reads `faults:`, a list of one-key maps.
enum FaultReader {
    static let known = ["duplicate", "lose", "out_of_order", "delay", "malformed", "offline"]
    static let later = [
        "truncate", "oversize", "wrong_topic", "id_reused", "id_missing", "stuck", "spike", "drift", "bias",
        "noise", "null", "saturate", "unit_swap", "flap", "reboot", "clock", "dead", "half_open",
        "slow_consumer", "bad_credentials",
    ]

    /// `offline` may stand here or in `connection`, not in both.
    static func read(_ value: YAMLValue, connection: inout ConnectionModel) -> FaultModel {
        var model = FaultModel()
        guard let items = value.list else {
            value.report("faults is a list: write \"- duplicate: 1%\"")
            return model
        }
        var seen: [String] = []
        for item in items {
            guard let map = item.mapping("a fault such as duplicate: 1%") else { continue }
            map.checkKeys(known: known, later: later, noun: "fault")
            if map.entries.count != 1 { map.report("one fault an item: start a new line with \"- \"") }
            for entry in map.entries where known.contains(entry.key) {
                if seen.contains(entry.key) {
                    map.file.report("the fault \"\(entry.key)\" is there twice", at: entry.mark)
                }
                seen.append(entry.key)
                read(entry, into: &model, connection: &connection)
            }
        }
        return model
    }

    private static func read(
        _ entry: YAMLMapping.Entry, into model: inout FaultModel, connection: inout ConnectionModel
    ) {
        switch entry.key {
        case "duplicate": model.duplicate = rate(entry.value)
        case "lose": model.lose = rate(entry.value)
        case "malformed": model.malformed = rate(entry.value)
        case "out_of_order": model.outOfOrder = hold(entry.value)
        case "delay": model.delay = hold(entry.value)
        default:
            if connection.offline != nil {
                entry.value.file.report("offline is set in connection already", at: entry.mark)
            }
            connection.offline = ConnectionReader.offline(entry.value)
        }
    }

    /// `1%`, or `{ rate: 1% }`.
    private static func rate(_ value: YAMLValue) -> Double {
        if value.isScalar { return value.quantity("a proportion", Quantity.proportion) ?? 0 }
        guard let map = value.mapping("a proportion such as 1%") else { return 0 }
        map.checkKeys(known: ["rate"], later: ["devices", "from", "for", "where"])
        guard let rate = map["rate"] else {
            map.report("\"rate\" is missing")
            return 0
        }
        return rate.quantity("a proportion", Quantity.proportion) ?? 0
    }

    private static func hold(_ value: YAMLValue) -> FaultModel.Hold? {
        guard let map = value.mapping("a map such as { rate: 2%, by: 1s..15s }") else { return nil }
        map.checkKeys(known: ["rate", "by"], later: ["devices", "from", "for", "where"])
        let by = map.durationRange("by")
        guard let rate = map["rate"] else {
            map.report("\"rate\" is missing")
            return nil
        }
        guard let share = rate.quantity("a proportion", Quantity.proportion), let by else { return nil }
        return FaultModel.Hold(rate: share, byMilliseconds: by)
    }
}
