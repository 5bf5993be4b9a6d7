import Bridge
import MQTTWire
import MosquittoClient
import Telemetry
import Yams

/// Reads `upstream:` of the configuration file: a list of brokers.
///
/// ```yaml
/// upstream:
///   - name: plant
///     url: mqtt://headend@10.0.0.7:1883
///     password_file: /etc/headend/plant.password
///     subscribe: [{ filter: tele/#, qos: 1 }]
///     mirror: [{ direction: both, filter: cmd/#, qos: 1, local_prefix: plant/ }]
/// ```
struct UpstreamReader {
    private static let keys = [
        "name", "url", "password_file", "ca", "certificate", "key", "client_id", "version", "keep_alive",
        "subscribe", "mirror", "buffer", "notification_topic",
    ]
    private static let subscribeKeys = ["filter", "qos", "local_prefix", "remote_prefix"]
    private static let mirrorKeys = ["direction"] + subscribeKeys
    /// A bridge has a thread and a folder; who needs more of them needs another design.
    private static let upstreamsMax = 64
    private static let rulesMax = 1_000

    let path: String
    /// What is wrong, each with its place.
    private(set) var problems: [String] = []
    /// What may surprise, each with its place.
    private(set) var notes: [String] = []

    init(path: String) { self.path = path }

    mutating func read(_ node: Node) -> [UpstreamSettings] {
        guard let entries = node.sequence, !entries.isEmpty else {
            problem(node, "upstream: is a list of brokers, each with name:, url:, and subscribe: or mirror:")
            return []
        }
        if entries.count > Self.upstreamsMax {
            problem(node, "upstream: has \(entries.count) brokers, at most \(Self.upstreamsMax) are allowed")
        }
        var found: [UpstreamSettings] = []
        for entry in entries {
            guard let upstream = readUpstream(entry) else { continue }
            if found.contains(where: { $0.name == upstream.name }) {
                problem(entry, "the name \"\(upstream.name)\" is taken by another broker above")
            }
            found.append(upstream)
        }
        return found
    }

    private mutating func readUpstream(_ node: Node) -> UpstreamSettings? {
        guard let settings = settings(of: node, Self.keys, "a broker is a map with name: and url:") else {
            return nil
        }
        guard let name = readName(node, settings["name"]), let url = readURL(node, settings["url"]) else {
            return nil
        }
        var upstream = UpstreamSettings(name: name, url: url)
        upstream.passwordFile = text(settings["password_file"], "password_file")
        upstream.authorityFile = text(settings["ca"], "ca")
        upstream.certificateFile = text(settings["certificate"], "certificate")
        upstream.keyFile = text(settings["key"], "key")
        upstream.clientIdentifier = text(settings["client_id"], "client_id")
        checkSecurity(upstream, node, settings)
        readVersion(settings["version"], &upstream)
        readNumbers(settings, &upstream)
        if let topic = text(settings["notification_topic"], "notification_topic") {
            if topic.contains("+") || topic.contains("#") {
                problem(
                    settings["notification_topic"] ?? node,
                    "notification_topic: is a topic name, without wildcards")
            }
            upstream.notificationTopic = topic
        }
        upstream.rules =
            readRules(settings["subscribe"], "subscribe", isMirror: false)
            + readRules(settings["mirror"], "mirror", isMirror: true)
        if settings["subscribe"] == nil, settings["mirror"] == nil {
            problem(node, "\"\(name)\" has nothing to do: give it subscribe: or mirror:")
        }
        checkTwins(upstream, node)
        return upstream
    }

    private mutating func readName(_ node: Node, _ value: Node?) -> String? {
        guard let value else {
            problem(node, "name: is missing: a short name for status, metrics and the folder of its buffer")
            return nil
        }
        let name = value.scalar?.string ?? ""
        let isGood =
            !name.isEmpty && name.utf8.count <= 64
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
        guard isGood else {
            problem(value, "name: is 1 to 64 letters, digits, - and _")
            return nil
        }
        return name
    }

    private mutating func readURL(_ node: Node, _ value: Node?) -> MosquittoURL? {
        guard let value else {
            problem(
                node, "url: is missing: mqtt://host:port or mqtts://host:port, with user@ before the host")
            return nil
        }
        do {
            let url = try MosquittoURL(value.scalar?.string ?? "")
            guard url.prefix == nil else {
                problem(value, "url: has a path; topics are renamed by local_prefix: and remote_prefix:")
                return nil
            }
            return url
        } catch {
            problem(value, "url: \(error)")
            return nil
        }
    }

    private mutating func checkSecurity(
        _ upstream: UpstreamSettings, _ node: Node, _ settings: [String: Node]
    ) {
        for name in ["ca", "certificate", "key"] {
            if let value = settings[name], !upstream.url.isSecure {
                problem(value, "\(name): needs TLS: write the url as mqtts://")
            }
        }
        if (upstream.certificateFile == nil) != (upstream.keyFile == nil) {
            problem(settings["certificate"] ?? settings["key"] ?? node, "certificate: and key: go together")
        }
        if let value = settings["password_file"], upstream.url.user == nil {
            problem(value, "password_file: needs a user: write the url as mqtt://user@host:port")
        }
        if let value = settings["password_file"], upstream.url.password != nil {
            problem(value, "password_file: and a password in url: are one too many; keep the file")
        }
    }

    private mutating func readVersion(_ value: Node?, _ upstream: inout UpstreamSettings) {
        guard let value else { return }
        switch value.scalar?.string {
        case "5", "5.0": upstream.version = .v5
        case "3.1.1": upstream.version = .v311
        default: problem(value, "version: is 5 or 3.1.1")
        }
    }

    private mutating func readNumbers(_ settings: [String: Node], _ upstream: inout UpstreamSettings) {
        if let value = settings["keep_alive"] {
            if let ticks = RetentionSettings.ticks(value.scalar?.string ?? ""),
                (5...65_535).contains(ticks / 10_000_000)
            {
                upstream.keepAliveSeconds = UInt16(ticks / 10_000_000)
            } else {
                problem(value, "keep_alive: is a duration from 5s to 65535s, for example 60s")
            }
        }
        if let value = settings["buffer"] {
            if let bytes = RetentionSettings.bytes(value.scalar?.string ?? ""), bytes >= 1 << 20 {
                upstream.bufferBytesMax = bytes
            } else {
                problem(value, "buffer: is a size from 1MiB, for example 1GB")
            }
        }
    }

    // MARK: Rules

    private mutating func readRules(_ node: Node?, _ name: String, isMirror: Bool) -> [BridgeRule] {
        guard let node else { return [] }
        guard let entries = node.sequence, !entries.isEmpty else {
            problem(node, "\(name): is a list, for example [{ filter: sensors/#, qos: 1 }]")
            return []
        }
        if entries.count > Self.rulesMax {
            problem(node, "\(name): has \(entries.count) rules, at most \(Self.rulesMax) are allowed")
        }
        return entries.compactMap { readRule($0, isMirror: isMirror) }
    }

    private mutating func readRule(_ node: Node, isMirror: Bool) -> BridgeRule? {
        let keys = isMirror ? Self.mirrorKeys : Self.subscribeKeys
        guard
            let settings = settings(
                of: node, keys, "a rule is a map, for example { filter: sensors/#, qos: 1 }")
        else { return nil }
        var rule = BridgeRule(direction: isMirror ? .both : .in, filter: "")
        rule.localPrefix = settings["local_prefix"]?.scalar?.string ?? ""
        rule.remotePrefix = settings["remote_prefix"]?.scalar?.string ?? ""
        if isMirror {
            guard let value = settings["direction"],
                let direction = BridgeRule.Direction(rawValue: value.scalar?.string ?? "")
            else {
                problem(settings["direction"] ?? node, "direction: is in (from there to here), out or both")
                return nil
            }
            rule.direction = direction
        }
        rule.filter = settings["filter"]?.scalar?.string ?? ""
        readShare(&rule, settings["filter"] ?? node)
        readQoS(settings["qos"], &rule)
        guard check(rule, node, settings) else { return nil }
        return rule
    }

    private mutating func readShare(_ rule: inout BridgeRule, _ place: Node) {
        let parts = rule.filter.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0] == "$share", !parts[1].isEmpty else { return }
        rule.shareGroup = String(parts[1])
        rule.filter = String(parts[2])
        if rule.direction != .in {
            problem(place, "a shared subscription has one direction: in")
        }
    }

    private mutating func readQoS(_ value: Node?, _ rule: inout BridgeRule) {
        guard let value else { return }
        switch value.scalar?.string {
        case "0": rule.qos = 0
        case "1": rule.qos = 1
        case "2":
            rule.qos = 1
            note(
                value,
                "qos: 2 crosses a bridge as 1: at least once; readings with a message id are still counted once"
            )
        default: problem(value, "qos: is 0, 1 or 2")
        }
    }

    private mutating func check(_ rule: BridgeRule, _ node: Node, _ settings: [String: Node]) -> Bool {
        let place = settings["filter"] ?? node
        for (name, prefix) in [("local_prefix", rule.localPrefix), ("remote_prefix", rule.remotePrefix)]
        where prefix.contains("+") || prefix.contains("#") {
            problem(settings[name] ?? node, "\(name): is the beginning of a topic, without + and #")
            return false
        }
        guard !rule.filter.isEmpty || (!rule.localPrefix.isEmpty && !rule.remotePrefix.isEmpty) else {
            problem(
                place,
                "filter: is missing; only with both prefixes, then two whole topic names, may it be \"\"")
            return false
        }
        guard validateTopicFilter(rule.localFilter), validateTopicFilter(rule.remoteFilter) else {
            problem(
                place,
                "\"\(rule.remoteFilter)\" is no topic filter: + and # stand for whole levels, # for the last")
            return false
        }
        if rule.isInward, rule.localFilter.hasPrefix("$") {
            problem(place, "topics that begin with $ are the hub's own: give them a local_prefix:")
            return false
        }
        if rule.isOutward, rule.localFilter.hasPrefix("$share/") || rule.localFilter.hasPrefix("$queue/") {
            problem(place, "\"\(rule.localFilter)\" is not for a bridge: it mirrors topics, not queues")
            return false
        }
        return true
    }

    /// Two rules for one filter and direction: the second would never be asked.
    private mutating func checkTwins(_ upstream: UpstreamSettings, _ node: Node) {
        var seen: Set<String> = []
        for rule in upstream.rules {
            let isTwin =
                (rule.isInward && !seen.insert("in \(rule.remoteSubscription)").inserted)
                || (rule.isOutward && !seen.insert("out \(rule.localFilter)").inserted)
            if isTwin {
                problem(node, "\"\(upstream.name)\" has two rules for \"\(rule.remoteFilter)\": keep one")
            }
        }
    }

    // MARK: Nodes

    private mutating func settings(of node: Node, _ known: [String], _ advice: String) -> [String: Node]? {
        guard let mapping = node.mapping else {
            problem(node, advice)
            return nil
        }
        var found: [String: Node] = [:]
        for (key, value) in mapping {
            let name = key.string ?? ""
            if known.contains(name) {
                found[name] = value
            } else {
                let hint = Suggestion.nearest(to: name, in: known).map { " (did you mean \"\($0)\"?)" } ?? ""
                problem(
                    key, "unknown setting \"\(name)\"\(hint); there are: \(known.joined(separator: ", "))")
            }
        }
        return found
    }

    private mutating func text(_ node: Node?, _ name: String) -> String? {
        guard let node else { return nil }
        if let text = node.scalar?.string, !text.isEmpty { return text }
        problem(node, "\(name): is a text")
        return nil
    }

    private mutating func problem(_ node: Node, _ text: String) { problems.append(place(node) + text) }
    private mutating func note(_ node: Node, _ text: String) { notes.append(place(node) + text) }

    private func place(_ node: Node) -> String {
        path + (node.mark.map { ":\($0.line):\($0.column)" } ?? "") + ": "
    }
}
