import Access
import Platform

/// The thread that checks passwords: each check takes tens of milliseconds and megabytes on purpose, so none is made
/// on an event loop.
final class LoginThread: Sendable {
    /// A password to check, and who wants to know.
    struct Login: Sendable {
        /// nil: there is no such user; the check takes as long as another, and fails.
        var hash: PasswordHash?
        var password: [UInt8]
        /// Called on this thread.
        var finish: @Sendable (Bool) -> Void
    }

    private struct State {
        var queue = LoginQueue<Login>()
        var isStopping = false
        var thread: NamedThread?
    }

    private let state = Monitor(State())
    /// Nobody's: its salt and hash are zeros.
    private let nobody = PasswordHash(
        "$scrypt$ln=\(PasswordHash.costDefault),r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA==$"
            + "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")

    /// Puts a login in the queue; the thread starts with the first.
    ///
    /// - Parameter user: the name of a user that there is, an empty one for all others.
    /// - Returns: false when there is no room.
    func submit(_ login: Login, of user: String) -> Bool {
        state.update { state in
            guard !state.isStopping, state.queue.add(login, of: user) else { return false }
            if state.thread == nil { state.thread = NamedThread("headend-login") { [self] in run() } }
            return true
        }
    }

    var waitingCount: Int { state.withLock { $0.queue.count } }

    /// Ends the thread; logins that wait are not answered.
    func stop() {
        let thread = state.update { state in
            state.isStopping = true
            return state.thread
        }
        thread?.join()
    }

    private func run() {
        while true {
            let login = state.wait(until: { $0.isStopping || $0.queue.count > 0 }) { state in
                state.isStopping ? nil : state.queue.next()
            }
            guard let login else { return }
            let isRight = (login.hash ?? nobody)?.matches(login.password) ?? false
            login.finish(isRight && login.hash != nil)
        }
    }
}
