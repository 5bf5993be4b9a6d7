import PerpetualQuery
import Platform
import Synchronization

/// Runs one perpetual query over the durable log on a thread of its own (`QueryTurns` is its work). It reads
/// what is durable and nothing else, so a slow query or sink delays only its own results.
final class QueryRunner: Sendable {
    private struct Mailbox {
        var hasNews = true
        var isStopping = false
    }

    private let mailbox = Monitor(Mailbox())
    private let published = Mutex(QueryStatus())

    var status: QueryStatus { published.withLock { $0 } }

    /// The durable end has moved.
    func wake() { mailbox.update { $0.hasNews = true } }

    /// Ends `run` after everything durable is consumed and checkpointed.
    func stop() { mailbox.update { $0.isStopping = true } }

    /// The thread's body. A failure is in `status` until a later turn goes well.
    func run(_ first: QueryTurns) {
        var turns = first
        var isStopping = false
        while !isStopping {
            let isGivenUp = turns.isGivenUp
            isStopping = mailbox.wait(
                timeoutNanoseconds: isGivenUp ? Self.retryNanoseconds : Self.pauseNanoseconds
            ) {
                (!isGivenUp && $0.hasNews) || $0.isStopping
            } then: { mailbox in
                mailbox.hasNews = false
                return mailbox.isStopping
            }
            do {
                let status = try turns.turn(isStopping: isStopping)
                published.withLock { $0 = status }
            } catch {
                published.withLock { $0.failure = String(describing: error) }
            }
        }
    }

    private static let retryNanoseconds: UInt64 = 1_000_000_000

    /// How long the thread sleeps when nothing arrives: bounds how late a tick or a delivery can be.
    private static let pauseNanoseconds: UInt64 = 200_000_000
}
