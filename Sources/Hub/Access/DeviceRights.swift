package import Access

/// The rules that stand behind those of the configuration: a device may publish and subscribe to its own topics.
///
/// Made of the ingest rules: where a level of the topic is the device's name, everything below the client's own name
/// is the client's. A client is named by its certificate where it has one, else by its client identifier. Topics
/// whose device stands in the message itself belong to nobody in particular: a gateway needs a rule of its own.
package enum DeviceRights {
    /// - Parameter ingest: in the order in which they are tried.
    package static func rules(for ingest: [IngestRule]) -> [AccessRule] {
        var rules: [AccessRule] = []
        for hasCertificate in [false, true] {
            var subject = AccessRule.Subject()
            subject.hasCertificate = hasCertificate
            let own = hasCertificate ? "%u" : "%c"
            func add(_ action: AccessRule.Action, _ topic: String, _ device: [AccessRule.DevicePart]? = nil) {
                // Every topic filter of an ingest rule is one of an access rule.
                guard let pattern = try? AccessPattern(topic) else { return }
                let rule = AccessRule(
                    .allow, action, subject, patterns: [pattern],
                    place: "built in: a device may use its own topics", device: device)
                if !rules.contains(rule) { rules.append(rule) }
            }
            for rule in ingest {
                for (action, topic, device) in topics(of: rule, own: own) { add(action, topic, device) }
            }
            add(.subscribe, "headend/minute/\(own)/#")
        }
        return rules
    }

    private static func topics(
        of rule: IngestRule, own: String
    ) -> [(AccessRule.Action, String, [AccessRule.DevicePart]?)] {
        guard case .template(let template) = rule.device else { return segmentTopics(of: rule, own: own) }
        if template.parts.count == 1, case .segment(let name) = template.parts[0] {
            return topics(of: rule, deviceLevel: rule.topic.index(of: name) ?? 0, own: own)
        }
        let device = template.parts.map { part -> AccessRule.DevicePart in
            switch part {
            case .text(let text): .text(text)
            case .segment(let name): .level(rule.topic.index(of: name) ?? 0)
            case .client: .client
            }
        }
        return [(.publish, filter(rule.topic, from: 0, own: nil, deviceLevel: nil), device)]
    }

    private static func segmentTopics(
        of rule: IngestRule, own: String
    ) -> [(AccessRule.Action, String, [AccessRule.DevicePart]?)] {
        guard case .field(.segment(let name)) = rule.device else { return [] }
        return topics(of: rule, deviceLevel: rule.topic.index(of: name) ?? 0, own: own)
    }

    private static func topics(
        of rule: IngestRule, deviceLevel: Int, own: String
    ) -> [(AccessRule.Action, String, [AccessRule.DevicePart]?)] {
        // A name in front must not open somebody else's topics: a client may be called `devices`.
        guard deviceLevel > 0 else {
            let telemetry = filter(rule.topic, from: 0, own: own, deviceLevel: 0)
            return [(.publish, telemetry, nil), (.subscribe, "\(own)/+/+/command", nil)]
        }
        var found: [(AccessRule.Action, String, [AccessRule.DevicePart]?)] = [
            (.both, prefix(rule.topic, upTo: deviceLevel) + own + "/#", nil)
        ]
        if rule.topic == tasmota {
            found += [(.both, "stat/\(own)/#", nil), (.subscribe, "cmnd/\(own)/#", nil)]
        }
        return found
    }

    private static let tasmota = IngestPreset.tasmota.rules.first?.topic

    /// The levels before the device's, with their slashes.
    private static func prefix(_ topic: TopicPattern, upTo index: Int) -> String {
        topic.levels[..<index].map { text(of: $0) + "/" }.joined()
    }

    private static func filter(_ topic: TopicPattern, from: Int, own: String?, deviceLevel: Int?) -> String {
        var levels = topic.levels.enumerated().map { index, level in
            index == deviceLevel ? own ?? "+" : text(of: level)
        }
        if topic.hasRest { levels.append("#") }
        return levels.joined(separator: "/")
    }

    private static func text(of level: TopicPattern.Level) -> String {
        switch level {
        case .literal(let text):
            text.split(separator: "%", omittingEmptySubsequences: false).joined(separator: "%%")
        case .any: "+"
        }
    }
}
