import Crypto

/// What became of user names and passwords a short time ago, by a keyed hash of both, so that a fleet that comes
/// back, or a client that repeats a wrong password for ever, costs no second check.
///
/// Neither names nor passwords are in it.
package struct CredentialCache {
    /// Nanoseconds a right password is remembered: devices that reconnect after a network's outage.
    package static let rightNanoseconds: UInt64 = 600_000_000_000
    /// Nanoseconds a wrong one is.
    package static let wrongNanoseconds: UInt64 = 60_000_000_000
    /// Passwords remembered at most, of each kind; 64 bytes each. Full, it starts anew.
    package static let entriesMax = 100_000

    private struct Key: Hashable {
        let high: UInt64
        let low: UInt64
    }

    private let secret: SymmetricKey
    private var right: [Key: UInt64] = [:]
    private var wrong: [Key: UInt64] = [:]

    /// - Parameter secret: random bytes of this start.
    package init(secret: [UInt8]) { self.secret = SymmetricKey(data: secret) }

    /// - Returns: whether the password was right, nil when that is not known.
    package func outcome(user: String, password: [UInt8], now: UInt64) -> Bool? {
        let key = key(user, password)
        if let until = right[key], until > now { return true }
        if let until = wrong[key], until > now { return false }
        return nil
    }

    package mutating func note(user: String, password: [UInt8], isRight: Bool, now: UInt64) {
        let key = key(user, password)
        if isRight {
            if right.count >= Self.entriesMax { right.removeAll(keepingCapacity: true) }
            right[key] = now + Self.rightNanoseconds
        } else {
            if wrong.count >= Self.entriesMax { wrong.removeAll(keepingCapacity: true) }
            wrong[key] = now + Self.wrongNanoseconds
        }
    }

    /// The users are other ones now.
    package mutating func removeAll() {
        right = [:]
        wrong = [:]
    }

    private func key(_ user: String, _ password: [UInt8]) -> Key {
        var hash = HMAC<SHA256>(key: secret)
        hash.update(data: Array(user.utf8))
        // No user name has a NUL.
        hash.update(data: [0])
        hash.update(data: password)
        return hash.finalize().withUnsafeBytes { bytes in
            Key(
                high: bytes.loadUnaligned(as: UInt64.self),
                low: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        }
    }
}
