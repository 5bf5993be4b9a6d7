/// Where a `BrokerLoop` lives: a thread of a transport, or the turns of a simulator.
///
/// Everything of the loop happens in turns on that one place; no two turns overlap.
package protocol LoopExecutor: AnyObject, Sendable {
    /// Runs `body` in a turn of its own or a later part of this one, never at once. From any thread; bodies of
    /// one thread run in the order they were given.
    func execute(_ body: @escaping @Sendable () -> Void)

    /// Asks that `BrokerLoop.endTurn()` is called when the events of this turn are done. From the loop's own place
    /// only.
    func endTurnSoon()
}

extension LoopExecutor {
    /// As `execute`, and returns when `body` has run.
    func run(_ body: @escaping @Sendable () -> Void) async {
        await withCheckedContinuation { continuation in
            execute {
                body()
                continuation.resume()
            }
        }
    }
}
