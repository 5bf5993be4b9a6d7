/// Logins that wait for their password to be checked, user by user in turn: whoever guesses at one user's password
/// delays that user and nobody else. Full, it takes no more.
package struct LoginQueue<Login> {
    /// Logins that wait at most. 1,024: some 40 s of one thread at the default cost.
    package static var loginsMax: Int { 1_024 }
    /// Of one user, or of all names that no user has.
    package static var loginsPerUserMax: Int { 16 }

    private var byUser: [String: [Login]] = [:]
    /// Users that wait, the next one first.
    private var turns: [String] = []
    private var head = 0
    package private(set) var count = 0

    package init() {}

    /// - Parameter user: the name for a user that there is, an empty one for all others.
    /// - Returns: false when there is no room: the client should come back later.
    package mutating func add(_ login: Login, of user: String) -> Bool {
        let waiting = byUser[user]?.count ?? 0
        guard count < Self.loginsMax, waiting < Self.loginsPerUserMax else { return false }
        if waiting == 0 { turns.append(user) }
        byUser[user, default: []].append(login)
        count += 1
        return true
    }

    /// The next login, of the user who waits longest for his turn.
    package mutating func next() -> Login? {
        guard head < turns.count else { return nil }
        let user = turns[head]
        head += 1
        if head > 64, head * 2 > turns.count {
            turns.removeFirst(head)
            head = 0
        }
        guard var logins = byUser.removeValue(forKey: user), !logins.isEmpty else { return nil }
        let login = logins.removeFirst()
        count -= 1
        if !logins.isEmpty {
            byUser[user] = logins
            turns.append(user)
        }
        return login
    }
}
