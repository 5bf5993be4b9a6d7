import Telemetry
import Yams

/// Reads `ingest:` of the configuration file: a list of rules, each of its own or from a preset.
///
/// ```yaml
/// ingest:
///   - topic: plant/{line}/{device}/telemetry
///     device: "{line}-{device}"
///     id: [{ json: header.id }, { property: message-id }]
///     time: { json: header.time }
///     payload_max: 64KiB
///   - preset: azure
/// ```
struct IngestReader {
    private static let keys = ["preset", "topic", "device", "id", "time", "format", "payload_max"]
    private static let places = ["json", "property", "bag", "segment"]
    /// As large as a broker's usual packet: 16 MiB.
    private static let payloadBytesMax = 16 << 20

    let path: String
    /// What is wrong, each with its place.
    private(set) var problems: [String] = []
    /// What may surprise, each with its place.
    private(set) var notes: [String] = []

    init(path: String) { self.path = path }

    mutating func read(_ node: Node) -> [IngestRule] {
        let entries = node.sequence.map { Array($0) } ?? (node.mapping == nil ? [] : [node])
        guard !entries.isEmpty else {
            problem(node, "ingest: is a list of rules; without it the presets plain and azure hold")
            return []
        }
        var rules: [IngestRule] = []
        var nodes: [Node] = []
        for entry in entries {
            for rule in readRule(entry) {
                rules.append(rule)
                nodes.append(entry)
            }
        }
        if rules.count > IngestTable.rulesMax {
            problem(node, "ingest: has \(rules.count) rules, at most \(IngestTable.rulesMax) are allowed")
        }
        for (first, second, shadowed) in IngestRule.overlaps(in: rules) {
            let taken = "\"\(rules[first].topic)\" (\(rules[first].name))"
            if shadowed {
                problem(
                    nodes[second],
                    "\"\(rules[second].topic)\" never gets a message: \(taken) takes every topic of it; put this "
                        + "rule before that one, or leave it out")
            } else {
                note(
                    nodes[second],
                    "\"\(rules[second].topic)\" overlaps \(taken): topics of both go to the rule that stands first"
                )
            }
        }
        return rules
    }

    private mutating func readRule(_ node: Node) -> [IngestRule] {
        guard let mapping = node.mapping else {
            problem(node, "a rule is a map, for example { preset: azure } or { topic: a/{device} }")
            return []
        }
        var settings: [String: Node] = [:]
        for (key, value) in mapping {
            let name = key.string ?? ""
            if Self.keys.contains(name) {
                settings[name] = value
            } else {
                unknown(key, name, Self.keys, "setting")
            }
        }
        // A mistyped `topic` is told already.
        guard mapping.isEmpty || !settings.isEmpty, let rules = start(node, settings) else { return [] }
        return rules.map { finish($0, settings) }
    }

    /// The rules of a preset, or one with its topic.
    private mutating func start(_ node: Node, _ settings: [String: Node]) -> [IngestRule]? {
        let place = path + (node.mark.map { ":\($0.line)" } ?? "")
        switch (settings["preset"], settings["topic"]) {
        case (let preset?, nil):
            let name = preset.scalar?.string ?? ""
            guard let found = IngestPreset(rawValue: name) else {
                unknown(preset, name, IngestPreset.allCases.map(\.rawValue), "preset")
                return nil
            }
            return found.rules.map { rule in
                var named = rule
                named.name = "\(place) preset \(name)"
                return named
            }
        case (nil, let topic?):
            do {
                guard let text = topic.scalar?.string else {
                    problem(topic, "topic: is a topic filter, in quotes when it begins with {")
                    return nil
                }
                let pattern = try TopicPattern(text)
                let ids = (pattern.hasRest ? [.bag("$.mid")] : []) + IngestRule.defaultIDs
                let times = (pattern.hasRest ? [.bag("$.ctime")] : []) + IngestRule.defaultTimes
                let isRaw = settings["format"]?.scalar?.string == IngestRule.Format.raw.rawValue
                return [
                    IngestRule(
                        name: place, topic: pattern, device: .template(try DeviceTemplate("{device}")),
                        ids: isRaw ? ids.filter { !$0.isJSON } : ids,
                        times: isRaw ? times.filter { !$0.isJSON } : times)
                ]
            } catch {
                problem(topic, "topic: \(error)")
                return nil
            }
        case (nil, nil):
            problem(node, "a rule needs topic: or preset:")
            return nil
        case (.some, .some(let topic)):
            problem(topic, "a preset has its topics: give topic: or preset:, not both")
            return nil
        }
    }

    /// Applies the settings of an entry to one of its rules.
    private mutating func finish(_ start: IngestRule, _ settings: [String: Node]) -> IngestRule {
        var rule = start
        if let node = settings["device"], let device = readDevice(node) { rule.device = device }
        if let node = settings["id"], let places = readPlaces(node, "id") {
            // Publishers that can say it in MQTT 5 always may.
            let common = IngestRule.Place.property("message-id")
            rule.ids = places.isEmpty || places.contains(common) ? places : places + [common]
        }
        if let node = settings["time"], let places = readPlaces(node, "time") { rule.times = places }
        if let node = settings["format"] {
            let name = node.scalar?.string ?? ""
            if let format = IngestRule.Format(rawValue: name) {
                rule.format = format
            } else {
                unknown(node, name, IngestRule.Format.allCases.map(\.rawValue), "format")
            }
        }
        if let node = settings["payload_max"] { rule.payloadBytesMax = readBytes(node) }
        check(rule, settings)
        return rule
    }

    private mutating func readDevice(_ node: Node) -> IngestRule.Device? {
        if let text = node.scalar?.string {
            do {
                return .template(try DeviceTemplate(text))
            } catch {
                problem(node, "device: \(error)")
                return nil
            }
        }
        if let mapping = node.mapping, mapping.count == 1, let entry = mapping.first,
            !Self.places.contains(entry.key.string ?? ""), entry.value.null != nil
        {
            problem(node, "device: put the template in quotes: \"{\(entry.key.string ?? "device")}\"")
            return nil
        }
        return readPlace(node, "device").map { .field($0) }
    }

    private mutating func readPlaces(_ node: Node, _ name: String) -> [IngestRule.Place]? {
        if node.scalar?.string == "none" { return [] }
        let entries = node.sequence.map { Array($0) } ?? [node]
        guard entries.count <= IngestRule.placesMax else {
            problem(node, "\(name): has at most \(IngestRule.placesMax) places")
            return nil
        }
        return entries.compactMap { readPlace($0, name) }
    }

    private mutating func readPlace(_ node: Node, _ name: String) -> IngestRule.Place? {
        guard let mapping = node.mapping, mapping.count == 1, let (key, value) = mapping.first else {
            let none = name == "device" ? "" : ", or none"
            problem(
                node,
                "\(name): is a place such as { json: a.b }, { property: name }, { bag: name } or "
                    + "{ segment: name }\(none)")
            return nil
        }
        let kind = key.string ?? ""
        guard Self.places.contains(kind) else {
            unknown(key, kind, Self.places, "place")
            return nil
        }
        if kind == "json" { return readPath(value, name).map { .json($0) } }
        guard let text = value.scalar?.string, !text.isEmpty, text.utf8.count <= 256 else {
            problem(value, "\(kind): is a name of at most 256 bytes")
            return nil
        }
        return kind == "property" ? .property(text) : kind == "bag" ? .bag(text) : .segment(text)
    }

    /// `a.b.c`, or a list of names where a name has a dot in it.
    private mutating func readPath(_ node: Node, _ name: String) -> [String]? {
        let path =
            node.sequence.map { $0.map { $0.scalar?.string ?? "" } }
            ?? (node.scalar?.string ?? "").split(separator: ".", omittingEmptySubsequences: false).map(
                String.init)
        guard path.count <= IngestRule.pathMax, path.allSatisfy({ !$0.isEmpty && $0.utf8.count <= 256 })
        else {
            problem(
                node,
                "json: is a path of 1 to \(IngestRule.pathMax) names, such as header.id or [header, \"my.id\"]"
            )
            return nil
        }
        if let bracket = path.first(where: { $0.hasSuffix("]") }) {
            problem(node, "json: \"\(bracket)\": \(name) is looked for in objects only, not in arrays")
            return nil
        }
        return path
    }

    private mutating func readBytes(_ node: Node) -> Int? {
        let text = node.scalar?.string ?? ""
        let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("KB", 1_000), ("MB", 1_000_000), ("B", 1), ("", 1)]
        let unit = units.first { text.hasSuffix($0.0) } ?? ("", 1)
        let digits = text.dropLast(unit.0.count)
        guard let number = Int(digits), number > 0, number <= Self.payloadBytesMax / unit.1 else {
            problem(node, "payload_max: is a number of bytes up to 16MiB, for example 65536 or 64KiB")
            return nil
        }
        return number * unit.1
    }
}

// What a rule's parts must agree on, and how problems are told.
extension IngestReader {
    private mutating func check(_ rule: IngestRule, _ settings: [String: Node]) {
        let names = rule.topic.names
        if case .template(let template) = rule.device {
            for name in template.names where !names.contains(name) {
                let node = settings["device"] ?? settings["topic"] ?? settings["preset"]
                missing(node, "device", name, names)
            }
        }
        var places = rule.ids.map { ("id", $0) } + rule.times.map { ("time", $0) }
        if case .field(let place) = rule.device { places.append(("device", place)) }
        for (setting, place) in places {
            let node = settings[setting] ?? settings["format"]
            switch place {
            case .segment(let name): if !names.contains(name) { missing(node, setting, name, names) }
            case .bag:
                if !rule.topic.hasRest {
                    problem(node, "\(setting): a property bag needs a topic filter that ends with #")
                }
            case .json:
                if rule.format == .raw {
                    problem(node, "\(setting): \(place) cannot be read where format: raw is promised")
                }
            case .property: break
            }
        }
    }

    private mutating func missing(_ node: Node?, _ setting: String, _ name: String, _ names: [String]) {
        let known = names.isEmpty ? "none" : names.map { "{\($0)}" }.joined(separator: ", ")
        problem(
            node, "\(setting): the topic has no level {\(name)}\(Self.hint(name, names)); it has: \(known)")
    }

    private mutating func unknown(_ node: Node, _ name: String, _ known: [String], _ noun: String) {
        problem(
            node,
            "unknown \(noun) \"\(name)\"\(Self.hint(name, known)); there are: \(known.joined(separator: ", "))"
        )
    }

    private static func hint(_ name: String, _ known: [String]) -> String {
        Suggestion.nearest(to: name, in: known).map { " (did you mean \"\($0)\"?)" } ?? ""
    }

    private mutating func problem(_ node: Node?, _ text: String) { problems.append(place(node) + text) }
    private mutating func note(_ node: Node?, _ text: String) { notes.append(place(node) + text) }

    private func place(_ node: Node?) -> String {
        path + (node?.mark.map { ":\($0.line):\($0.column)" } ?? "") + ": "
    }
}

extension IngestRule.Place {
    fileprivate var isJSON: Bool { if case .json = self { true } else { false } }
}
