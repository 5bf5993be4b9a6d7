import Access
package import MQTTBroker
import MQTTWire

/// Who is let in, and what each client may do, on one event loop: the rules in force and the rights made of them.
///
/// Confined to its event loop.
package final class AccessControl {
    private(set) var settings: AccessSettings
    private(set) var rules: AccessRules
    /// By `ConnectionOrigin.listener`.
    private let listeners: [ListenerAccess]
    private let ingest: [IngestRule]
    private var cache: CredentialCache
    /// Changes with users and rules; rights that were made before are made anew, and so are checks of passwords.
    private(set) var generation: UInt32 = 0

    /// - Parameter secret: random bytes of this start.
    package init(
        _ settings: AccessSettings, listeners: [ListenerAccess], ingest: [IngestRule], secret: [UInt8]
    ) {
        self.settings = settings
        self.listeners = listeners
        self.ingest = ingest
        rules = settings.accessRules(ingest: ingest)
        cache = CredentialCache(secret: secret)
    }

    /// Puts other users and rules in force.
    func replace(_ settings: AccessSettings) {
        self.settings = settings
        rules = settings.accessRules(ingest: ingest)
        cache.removeAll()
        generation &+= 1
    }

    /// What becomes of a CONNECT.
    enum Admission {
        /// Nobody's rights are limited on this listener.
        case open
        case accepted(ClientIdentity)
        case refused(ReasonCode, Refusal)
        /// The password is to be checked first; `user` is empty where there is none of that name.
        case undecided(user: String, hash: PasswordHash?)
    }

    /// Why a client was not let in.
    enum Refusal: Int, CaseIterable {
        case password, anonymous, clientIdentifier, will, busy

        var name: String {
            switch self {
            case .password: "connectPassword"
            case .anonymous: "connectAnonymous"
            case .clientIdentifier: "connectClientIdentifier"
            case .will: "connectWill"
            case .busy: "connectBusy"
            }
        }
    }

    /// - Parameter client: the client identifier, or the one it is assigned.
    func admission(
        _ packet: Connect, client: String, from origin: ConnectionOrigin, now: UInt64
    ) -> Admission {
        if isOpen(origin) { return .open }
        guard let users = settings.users, let name = packet.userName, !name.isEmpty else {
            return admission(packet, client: client, user: nil, from: origin)
        }
        let password = packet.password ?? []
        if password.isEmpty || password.count > PasswordHash.passwordBytesMax {
            return .refused(.badUserNameOrPassword, .password)
        }
        switch cache.outcome(user: name, password: password, now: now) {
        case true?: return admission(packet, client: client, user: name, from: origin)
        case false?: return .refused(.badUserNameOrPassword, .password)
        case nil:
            let hash = users[name]
            return .undecided(user: hash == nil ? "" : name, hash: hash)
        }
    }

    /// Goes on when the password was checked.
    ///
    /// - Parameter asked: `generation` when the check was asked for. If the users are other ones by now, the result
    ///   says nothing of them: it is not remembered, and the client is judged anew, as one that has just come.
    func admission(
        _ packet: Connect, client: String, from origin: ConnectionOrigin, isRight: Bool, asked: UInt32,
        now: UInt64
    ) -> Admission {
        guard asked == generation else {
            return admission(packet, client: client, from: origin, now: now)
        }
        guard let name = packet.userName else { return .refused(.badUserNameOrPassword, .password) }
        cache.note(user: name, password: packet.password ?? [], isRight: isRight, now: now)
        guard isRight else { return .refused(.badUserNameOrPassword, .password) }
        return admission(packet, client: client, user: name, from: origin)
    }

    /// The rest, once it is known whose password it was; nil for nobody's.
    private func admission(
        _ packet: Connect, client: String, user: String?, from origin: ConnectionOrigin
    ) -> Admission {
        let listener = listener(of: origin)
        let name = origin.certificateName ?? user
        guard name != nil || listener.takesAnonymous(settings) else {
            return .refused(.notAuthorized, .anonymous)
        }
        // A client identifier is a name too, and its session somebody's: that of a user is for this user only.
        if client != name, settings.users?[client] != nil {
            return .refused(.clientIdentifierNotValid, .clientIdentifier)
        }
        let identity = ClientIdentity(
            client: client, user: name, hasCertificate: origin.certificateName != nil)
        if let will = packet.will, !rules.rights(of: identity).decisionToPublish(will.topic).isAllowed {
            return .refused(.notAuthorized, .will)
        }
        return .accepted(identity)
    }

    private func listener(of origin: ConnectionOrigin) -> ListenerAccess {
        let index = Int(origin.listener)
        return listeners.indices.contains(index)
            ? listeners[index] : ListenerAccess(isLoopback: origin.isLoopback)
    }

    /// Whether nobody's rights are limited where the connection came in.
    func isOpen(_ origin: ConnectionOrigin) -> Bool {
        origin.isInternal || listener(of: origin).isOpen(settings)
    }

    func rights(of identity: ClientIdentity) -> HeldRights { HeldRights(identity, self) }
}

/// The rights of a connection and its session, as of the rules in force.
///
/// Confined to the event loop.
final class HeldRights {
    let identity: ClientIdentity
    private unowned let control: AccessControl
    private var rights: ClientRights
    private var generation: UInt32

    init(_ identity: ClientIdentity, _ control: AccessControl) {
        self.identity = identity
        self.control = control
        rights = control.rules.rights(of: identity)
        generation = control.generation
    }

    /// Of the rules in force.
    var generationNow: UInt32 { control.generation }

    var current: ClientRights {
        if generation != control.generation {
            rights = control.rules.rights(of: identity)
            generation = control.generation
        }
        return rights
    }
}

extension AccessControl: AccessGuard {
    package func verdict(onFilter filter: String, of session: Session) -> FilterVerdict {
        guard let held = session.rights as? HeldRights else { return .allowed }
        let decision = held.current.decisionToSubscribe(filter)
        return !decision.isAllowed ? .denied : decision.isPartial ? .partial : .allowed
    }

    package func mayReceive(_ topic: String, _ session: Session) -> Bool {
        guard let held = session.rights as? HeldRights else { return true }
        var topic = topic
        return topic.withUTF8 { held.current.mayReceive(UnsafeRawBufferPointer($0)) }
    }

    package func mayPublish(_ topic: String, _ session: Session) -> Bool {
        guard let held = session.rights as? HeldRights else { return true }
        var topic = topic
        return topic.withUTF8 { held.current.mayPublish(UnsafeRawBufferPointer($0)) }
    }

    package func identity(of session: Session) -> KeptIdentity? {
        (session.rights as? HeldRights).map {
            KeptIdentity(user: $0.identity.user, hasCertificate: $0.identity.hasCertificate)
        }
    }

    package func rights(of identity: KeptIdentity, client: String) -> AnyObject? {
        rights(
            of: ClientIdentity(
                client: client, user: identity.user, hasCertificate: identity.hasCertificate))
    }
}
