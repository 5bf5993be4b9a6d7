/// The access list: the rules of the configuration in their order, then the hub's own. The first rule that is
/// about what is asked decides; where there is none the answer is no.
package final class AccessRules: Sendable {
    /// Rules at most. Those that name their users are found by name, so a list with a rule for each of thousands
    /// of users costs a check no more than a short one.
    package static let rulesMax = 20_000
    /// Rules whose users are not named one by one, each of which is looked at for every client.
    package static let generalRulesMax = 256

    package let rules: [AccessRule]
    /// Rules for anybody, or for names with a `*`, by their place.
    private let general: [UInt32]
    private let byUser: [String: [UInt32]]

    /// - Parameter rules: at most `rulesMax`; checked by whoever read them.
    package init(_ rules: [AccessRule]) {
        precondition(rules.count <= Self.rulesMax)
        self.rules = rules
        var general: [UInt32] = []
        var byUser: [String: [UInt32]] = [:]
        for (index, rule) in rules.enumerated() {
            guard let users = rule.subject.exactUsers else {
                general.append(UInt32(index))
                continue
            }
            for user in Set(users).sorted() { byUser[user, default: []].append(UInt32(index)) }
        }
        self.general = general
        self.byUser = byUser
    }

    /// What the rules say to one client.
    package func rights(of identity: ClientIdentity) -> ClientRights {
        var places = general
        if let user = identity.user, let named = byUser[user] {
            places += named
            places.sort()
        }
        return ClientRights(
            identity: identity, rules: self,
            places: places.filter { rules[Int($0)].subject.holds(for: identity) })
    }
}

/// The rights of one client: the rules that are about it.
package final class ClientRights: Sendable {
    package let identity: ClientIdentity
    private let rules: AccessRules
    private let places: [UInt32]

    /// What was decided, and the rule that did.
    package struct Decision: Sendable, Equatable {
        package var isAllowed: Bool
        /// nil: no rule is about it, which means no.
        package var rule: AccessRule?
        /// A rule before it takes some topics of the filter away: the subscription stands, and messages on those
        /// topics are not delivered.
        package var isPartial = false
    }

    init(identity: ClientIdentity, rules: AccessRules, places: [UInt32]) {
        self.identity = identity
        self.rules = rules
        self.places = places
    }

    /// Whether the client may publish to a topic. No memory is taken, and the cost is that of the client's rules.
    package func mayPublish(_ topic: UnsafeRawBufferPointer) -> Bool { isAllowed(.publish, topic) }

    /// Whether the client may have a message of a topic, whatever it subscribed to.
    package func mayReceive(_ topic: UnsafeRawBufferPointer) -> Bool { isAllowed(.subscribe, topic) }

    private func isAllowed(_ action: AccessRule.Action, _ topic: UnsafeRawBufferPointer) -> Bool {
        for place in places {
            let isAllowing: Bool? = rules.rules.withUnsafeBufferPointer { all in
                guard all[Int(place)].action.includes(action), all[Int(place)].matches(topic, identity) else {
                    return nil
                }
                return all[Int(place)].effect == .allow
            }
            if let isAllowing { return isAllowing }
        }
        return false
    }

    /// Whether the client may publish to a topic, and why.
    package func decisionToPublish(_ topic: String) -> Decision {
        var topic = topic
        return topic.withUTF8 { bytes in
            for place in places {
                let rule = rules.rules[Int(place)]
                if rule.action.includes(.publish), rule.matches(UnsafeRawBufferPointer(bytes), identity) {
                    return Decision(isAllowed: rule.effect == .allow, rule: rule)
                }
            }
            return Decision(isAllowed: false)
        }
    }

    /// Whether the client may subscribe to a filter, and why.
    ///
    /// The first rule that takes every topic of the filter decides. One that takes some of them does not: what it
    /// denies is kept back when it is published.
    package func decisionToSubscribe(_ filter: String) -> Decision {
        var inner = Self.withoutShare(filter)
        return inner.withUTF8 { bytes in
            var isPartial = false
            for place in places {
                let rule = rules.rules[Int(place)]
                guard rule.action.includes(.subscribe) else { continue }
                switch rule.relation(to: UnsafeRawBufferPointer(bytes), identity) {
                case .covers:
                    let isAllowed = rule.effect == .allow
                    return Decision(isAllowed: isAllowed, rule: rule, isPartial: isAllowed && isPartial)
                case .overlaps: if rule.effect == .deny { isPartial = true }
                case .disjoint: continue
                }
            }
            return Decision(isAllowed: false)
        }
    }

    /// `$share/{group}/{filter}` is about what `{filter}` is about.
    static func withoutShare(_ filter: String) -> String {
        guard filter.hasPrefix("$share/") else { return filter }
        let parts = filter.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: false)
        return parts.count == 3 ? String(parts[2]) : filter
    }
}
