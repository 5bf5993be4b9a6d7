/// One rule of the access list: who may, or may not, publish to or get some topics.
package struct AccessRule: Sendable, Equatable {
    package enum Effect: String, Sendable { case allow, deny }

    package enum Action: String, Sendable, CaseIterable {
        case publish
        case subscribe
        case both

        func includes(_ other: Action) -> Bool { self == .both || self == other }
    }

    /// Whom a rule is about; every condition that is set must hold.
    package struct Subject: Sendable, Equatable {
        /// User names, `*` in them standing for any text; nil: any client, also one without a user.
        package var users: [String]?
        /// Client identifiers, likewise.
        package var clients: [String]?
        /// Only those without a user, or only those with one.
        package var isAnonymous: Bool?
        /// Only those that have their name from a certificate, or only the others.
        package var hasCertificate: Bool?

        package init() {}

        func holds(for identity: ClientIdentity) -> Bool {
            if let isAnonymous, isAnonymous != (identity.user == nil) { return false }
            if let hasCertificate, hasCertificate != identity.hasCertificate { return false }
            if let users {
                guard let user = identity.user, users.contains(where: { Glob.matches($0, user) }) else {
                    return false
                }
            }
            if let clients { return clients.contains { Glob.matches($0, identity.client) } }
            return true
        }

        /// The users when they are named one by one: such rules are found by name.
        var exactUsers: [String]? {
            guard let users, !users.contains(where: { $0.utf8.contains(0x2A) }) else { return nil }
            return users
        }
    }

    /// The device that a telemetry topic is about, made of the topic's levels; the rule holds when it is the client.
    package enum DevicePart: Sendable, Equatable {
        case text(String)
        case level(Int)
        case client
    }

    package var effect: Effect
    package var action: Action
    package var subject: Subject
    package var patterns: [AccessPattern]
    /// Where it was written: `hub.yaml:7`, or that it is one of the hub's own.
    package var place: String
    /// Set in rules of the hub's own for devices that are named by more than one level of the topic.
    package var device: [DevicePart]?

    package init(
        _ effect: Effect, _ action: Action, _ subject: Subject = Subject(), patterns: [AccessPattern],
        place: String, device: [DevicePart]? = nil
    ) {
        self.effect = effect
        self.action = action
        self.subject = subject
        self.patterns = patterns
        self.place = place
        self.device = device
    }

    /// Whether a topic is the rule's business.
    func matches(_ topic: UnsafeRawBufferPointer, _ identity: ClientIdentity) -> Bool {
        for pattern in patterns where pattern.matches(topic, identity, isDenying: effect == .deny) {
            guard let device else { return true }
            if isOwn(device, topic, identity) { return true }
        }
        return false
    }

    /// How the topics of a filter stand to the rule's.
    func relation(to filter: UnsafeRawBufferPointer, _ identity: ClientIdentity) -> AccessPattern.Relation {
        var relation = AccessPattern.Relation.disjoint
        for pattern in patterns {
            switch pattern.relation(to: filter, identity, isDenying: effect == .deny) {
            case .covers: return device == nil ? .covers : .overlaps
            case .overlaps: relation = .overlaps
            case .disjoint: continue
            }
        }
        return relation
    }

    /// Whether the device that the topic names is the client itself: its certificate's name, else its identifier.
    private func isOwn(
        _ device: [DevicePart], _ topic: UnsafeRawBufferPointer, _ identity: ClientIdentity
    ) -> Bool {
        var name: [UInt8] = []
        for part in device {
            switch part {
            case .text(let text): name += Array(text.utf8)
            case .client: name += identity.clientName.bytes
            case .level(let index):
                var levels = TopicLevels(topic)
                for _ in 0..<index { _ = levels.next() }
                if let level = levels.next() { name += Array(level) }
            }
        }
        let own = identity.hasCertificate ? identity.userName?.bytes : identity.clientName.bytes
        return name == own
    }

    /// The rule in one line, without its place.
    package var text: String {
        var words = ["\(effect.rawValue) \(action.rawValue)"]
        if let users = subject.users { words.append("user \(users.joined(separator: ", "))") }
        if let clients = subject.clients { words.append("client \(clients.joined(separator: ", "))") }
        if let isAnonymous = subject.isAnonymous { words.append(isAnonymous ? "anonymous" : "with a user") }
        if let hasCertificate = subject.hasCertificate {
            words.append(hasCertificate ? "with a certificate" : "without a certificate")
        }
        words.append("topic \(patterns.map(\.description).joined(separator: ", "))")
        return words.joined(separator: " ")
    }
}

/// Names with `*` for any text.
enum Glob {
    static func matches(_ pattern: String, _ text: String) -> Bool {
        let pattern = Array(pattern.utf8)
        let text = Array(text.utf8)
        var (at, place) = (0, 0)
        // Where to go on after the last star, should what follows it not match.
        var star: (at: Int, place: Int)?
        while place < text.count {
            if at < pattern.count, pattern[at] == 0x2A {
                star = (at + 1, place)
                at += 1
            } else if at < pattern.count, pattern[at] == text[place] {
                at += 1
                place += 1
            } else if let last = star {
                at = last.at
                place = last.place + 1
                star = (last.at, place)
            } else {
                return false
            }
        }
        while at < pattern.count, pattern[at] == 0x2A { at += 1 }
        return at == pattern.count
    }
}
