package import Access

/// Who may connect, and what he may do: `users:`, `acl:` and `anonymous:` of the configuration.
package struct AccessSettings: Sendable {
    /// nil: there is no `users:`, and user names and passwords are not looked at.
    package var users: UserTable?
    /// nil: there is no `acl:`.
    package var rules: [AccessRule]?
    /// Whether clients without a user are let in by listeners that do not say; nil: only on loopback, and only as
    /// long as there are no users.
    package var anonymous: Bool?

    package init() {}

    /// Nobody said who may do what: then a listener on loopback is open to all.
    package var isUnset: Bool { users == nil && rules == nil }

    /// All rules in the order in which they are tried, the hub's own last.
    ///
    /// - Parameter ingest: what the hub's own are made of.
    package func accessRules(ingest: [IngestRule]) -> AccessRules {
        AccessRules((rules ?? []) + DeviceRights.rules(for: ingest))
    }
}

/// What access control knows of a listener.
package struct ListenerAccess: Sendable, Equatable {
    /// Its address is one of this machine's own.
    package var isLoopback: Bool
    /// As `AccessSettings.anonymous`, for this listener; nil where it does not say.
    package var anonymous: Bool?

    package init(isLoopback: Bool, anonymous: Bool? = nil) {
        self.isLoopback = isLoopback
        self.anonymous = anonymous
    }

    /// Everybody may do everything here.
    func isOpen(_ settings: AccessSettings) -> Bool {
        isLoopback && settings.isUnset && (anonymous ?? settings.anonymous) != false
    }

    func takesAnonymous(_ settings: AccessSettings) -> Bool {
        anonymous ?? settings.anonymous ?? (isLoopback && settings.users == nil)
    }
}

extension HubConfiguration {
    /// What access control knows of the listeners, in their order.
    var listenerAccess: [ListenerAccess] {
        allListeners.map { ListenerAccess(isLoopback: $0.address.isLoopback, anonymous: $0.anonymous) }
    }

    /// Whether the first plain listener takes clients without a user, as the fleet of `headend run` is.
    package var takesFleet: Bool {
        zip(allListeners, listenerAccess).first { $0.0.kind == .mqtt }?.1.takesAnonymous(access) ?? true
    }

    /// What may surprise about who is let in: told once at the start.
    package var accessNotes: [String] {
        var notes: [String] = []
        for (settings, listener) in zip(allListeners, listenerAccess)
        where access.users == nil && settings.clientCertificate == .none && !listener.takesAnonymous(access) {
            notes.append(
                "\(settings.kind.rawValue) \(settings.address): takes no client: give users: (see headend user "
                    + "--help), or anonymous: true")
        }
        let hasNames = access.users != nil || allListeners.contains { $0.clientCertificate != .none }
        if !hasNames, let rule = access.rules?.first(where: { $0.subject.users != nil }) {
            notes.append(
                "\(rule.place): is about users, and there are none: give users: or client certificates")
        }
        if !http.isLoopback {
            notes.append("http \(http): has no users: whoever reaches it reads all that is stored")
        }
        return notes
    }
}

extension HostPort {
    /// Only this machine reaches it.
    package var isLoopback: Bool {
        host == "localhost" || host == "::1"
            || (host.hasPrefix("127.") && host.utf8.allSatisfy { $0 == 0x2E || (0x30...0x39).contains($0) })
    }
}
