import Telemetry

/// Reads `connection:`.
enum ConnectionReader {
    static func read(_ value: YAMLValue) -> ConnectionModel {
        var model = ConnectionModel()
        guard let map = value.mapping("a map such as { qos: 1, keepalive: 30s }") else { return model }
        map.checkKeys(
            known: ["qos", "keepalive", "session_expiry", "version", "offline"],
            later: ["clean_start", "client_id", "username", "password", "tls", "ca", "websocket"])
        if let qos = map["qos"] { model.qos = qos.whole(0...2, "qos") ?? 1 }
        if let seconds = seconds(map, "keepalive", 5...65_535) { model.keepAliveSeconds = seconds }
        if let seconds = seconds(map, "session_expiry", 0...4_294_967_294) {
            model.sessionExpirySeconds = seconds
        }
        if let version = map["version"], let text = version.text("5 or 3.1.1") {
            switch text {
            case "5", "5.0": model.version = .v5
            case "3.1.1": model.version = .v311
            default: version.report("version must be 5 or 3.1.1")
            }
        }
        model.offline = map["offline"].flatMap(offline)
        return model
    }

    static func offline(_ value: YAMLValue) -> OfflineModel? {
        guard let map = value.mapping("a map such as { mtbf: 20m, for: 30s..8m }") else { return nil }
        map.checkKeys(known: ["mtbf", "for", "keep", "send", "rate"], later: ["where"])
        let between = map.duration("mtbf")
        let duration = map.durationRange("for")
        if let between, between < 1_000 { map["mtbf"]?.report("mtbf must be at least 1s") }
        if let duration, duration.lowerBound < 1 { map["for"]?.report("for must be at least 1ms") }
        var keep = 10_000
        if let value = map["keep"] { keep = value.whole(1...1_000_000, "keep") ?? keep }
        var order = OfflineModel.SendOrder.oldestFirst
        if let send = map["send"], let text = send.text("oldest_first or newest_first") {
            switch text {
            case "oldest_first": order = .oldestFirst
            case "newest_first": order = .newestFirst
            default:
                let near = Suggestion.nearest(to: text, in: ["oldest_first", "newest_first"])
                send.report(
                    "send must be oldest_first or newest_first"
                        + (near.map { " (did you mean \"\($0)\"?)" } ?? ""))
            }
        }
        let rate = map["rate"].flatMap { $0.quantity("a rate", Quantity.rate) }
        guard let between, let duration else { return nil }
        return OfflineModel(
            meanTimeBetweenMilliseconds: between, durationMilliseconds: duration, keep: keep, order: order,
            ratePerSecond: rate)
    }

    private static func seconds(_ map: YAMLMapping, _ key: String, _ range: ClosedRange<Int64>) -> Int? {
        guard let value = map[key], let duration = value.quantity("a duration", Quantity.duration) else {
            return nil
        }
        guard duration % 1_000 == 0, range.contains(duration / 1_000) else {
            value.report(
                "\(key) must be whole seconds from \(range.lowerBound)s to \(range.upperBound)s")
            return nil
        }
        return Int(duration / 1_000)
    }
}
