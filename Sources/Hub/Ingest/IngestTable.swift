/// Which device names the hub takes readings of.
package enum Registration: String, Sendable, CaseIterable {
    /// A device is registered by its first message.
    case open
    /// Only devices that the queue knows; messages of all others are quarantined as `unregistered`.
    case closed
}

/// All ingest rules, compiled once: topic → rule, and what the publish path needs of each rule.
///
/// `@unchecked Sendable`: nothing in it changes after `init` (that is the guard of the raw tables).
package final class IngestTable: @unchecked Sendable {
    /// What a telemetry topic is made of.
    package struct Match: Equatable {
        /// Index of the rule.
        package var rule: Int
        /// What the `#` of the rule's topic filter took: bytes of the topic, empty where it has none.
        package var rest: Range<Int>
    }

    package let rules: [IngestRule]
    package let registration: Registration
    let plans: UnsafeMutableBufferPointer<IngestPlan>
    /// Whether a topic before a `#` can be another rule's whole topic: then it does not name a route.
    let sharesPrefixes: Bool
    private var memory: [UnsafeMutableRawPointer] = []

    /// Rules of a hub at most. 64: each costs an unknown topic some ten nanoseconds.
    package static let rulesMax = 64
    /// The longest device name taken, in bytes.
    package static let deviceBytesMax = 128

    /// - Parameters:
    ///   - rules: in the order in which they are tried, at most `rulesMax`; checked by whoever read them.
    ///   - payloadBytesMax: for rules that do not say.
    package init(
        rules: [IngestRule] = IngestPreset.standard, registration: Registration = .open,
        payloadBytesMax: Int = HubLimits().ingestPayloadBytesMax
    ) {
        precondition(rules.count <= Self.rulesMax)
        self.rules = rules
        self.registration = registration
        sharesPrefixes = IngestRule.overlaps(in: rules).contains {
            rules[$0.first].topic.hasRest || rules[$0.second].topic.hasRest
        }
        plans = .allocate(capacity: rules.count)
        for (index, rule) in rules.enumerated() {
            plans.initializeElement(at: index, to: plan(of: rule, payloadBytesMax: payloadBytesMax))
        }
    }

    deinit {
        plans.deallocate()
        for block in memory { block.deallocate() }
    }

    /// The rule that takes a topic: the first that matches.
    ///
    /// - Returns: nil for a topic that no rule claims: it is ordinary broker traffic.
    package func match(_ topic: UnsafeRawBufferPointer) -> Match? {
        for index in 0..<plans.count {
            if let rest = plans[index].match(topic) { return Match(rule: index, rest: rest..<topic.count) }
        }
        return nil
    }

    // Compiling.

    private func plan(of rule: IngestRule, payloadBytesMax: Int) -> IngestPlan {
        var sources: [IngestPlan.Source] = []
        var fields: [IngestPlan.Field] = []
        for (role, places) in [(IngestPlan.Role.id, rule.ids), (.time, rule.times)] {
            for (rank, place) in places.enumerated() {
                add(place, role, UInt8(rank), rule, &sources, &fields)
            }
        }
        let levels = rule.topic.levels.map { level in
            switch level {
            case .literal(let text): IngestPlan.Level(literal: bytes(text), isLiteral: true)
            case .any: IngestPlan.Level(literal: .init(start: nil, count: 0), isLiteral: false)
            }
        }
        // An id or a time in the topic makes every topic a new one; a rule that is all wildcard has no prefix.
        let isCacheable =
            !sources.contains { $0.kind == .segment }
            && !(rule.topic.hasRest && (sharesPrefixes || levels.isEmpty))
        return IngestPlan(
            levels: table(levels), hasRest: rule.topic.hasRest, device: device(of: rule),
            sources: table(sources), fields: table(fields),
            fieldLengths: fields.reduce(0) { $0 | IngestPlan.lengthBit($1.name.count) },
            isJSON: rule.format == .json, payloadBytesMax: rule.payloadBytesMax ?? payloadBytesMax,
            isCacheable: isCacheable)
    }

    private func add(
        _ place: IngestRule.Place, _ role: IngestPlan.Role, _ rank: UInt8, _ rule: IngestRule,
        _ sources: inout [IngestPlan.Source], _ fields: inout [IngestPlan.Field]
    ) {
        let none = UnsafeRawBufferPointer(start: nil, count: 0)
        switch place {
        case .json(let path):
            let names = path.map(bytes)
            fields.append(
                IngestPlan.Field(
                    role: role, rank: rank, name: names.first ?? none, path: table(Array(names.dropFirst()))))
        case .property(let name):
            sources.append(.init(kind: .property, role: role, rank: rank, level: 0, name: bytes(name)))
        case .bag(let name):
            sources.append(.init(kind: .bag, role: role, rank: rank, level: 0, name: bytes(name)))
        case .segment(let name):
            let level = rule.topic.index(of: name) ?? 0
            sources.append(.init(kind: .segment, role: role, rank: rank, level: level, name: none))
        }
    }

    private func device(of rule: IngestRule) -> IngestPlan.Device {
        switch rule.device {
        case .field(.json(let path)): return .json(table(path.map(bytes)))
        case .field(.property(let name)): return .property(bytes(name))
        case .field(.bag(let name)): return .bag(bytes(name))
        case .field(.segment(let name)): return .level(rule.topic.index(of: name) ?? 0)
        case .template(let template):
            if case .segment(let name)? = template.parts.first, template.parts.count == 1 {
                return .level(rule.topic.index(of: name) ?? 0)
            }
            let parts = template.parts.map { part -> IngestPlan.DevicePart in
                switch part {
                case .text(let text): .text(bytes(text))
                case .segment(let name): .level(rule.topic.index(of: name) ?? 0)
                case .client: .client
                }
            }
            return .parts(table(parts), usesClient: template.parts.contains(.client))
        }
    }

    /// A copy of a text's bytes that lives as long as the table.
    private func bytes(_ text: String) -> UnsafeRawBufferPointer {
        let bytes = Array(text.utf8)
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(bytes.count, 1), alignment: 8)
        copy.copyBytes(from: bytes)
        if let base = copy.baseAddress { memory.append(base) }
        return UnsafeRawBufferPointer(rebasing: copy[..<bytes.count])
    }

    private func table<Element: BitwiseCopyable>(_ elements: [Element]) -> UnsafeBufferPointer<Element> {
        let copy = UnsafeMutableBufferPointer<Element>.allocate(capacity: max(elements.count, 1))
        _ = copy.initialize(from: elements)
        if let base = copy.baseAddress { memory.append(UnsafeMutableRawPointer(base)) }
        return UnsafeBufferPointer(rebasing: copy[..<elements.count])
    }
}

extension IngestPlan {
    /// The bit of `fieldLengths` for a name of so many bytes.
    @inline(__always)
    static func lengthBit(_ byteCount: Int) -> UInt64 { 1 << UInt64(min(byteCount, 63)) }
}
