import Synchronization

/// Blocking work in pieces on some threads at once: syncs of many files that wait together share the disk's commits,
/// while one after the other each waits for a commit of its own.
package enum SideBySide {
    /// Does all pieces and returns when they are done; on the caller's thread when one thread is enough.
    ///
    /// - Parameters:
    ///   - count: how many pieces there are; `body` gets their numbers, in no order.
    ///   - threads: at most so many at once.
    package static func run(_ count: Int, threads: Int, _ body: @escaping @Sendable (Int) -> Void) {
        guard threads > 1, count > 1 else {
            for piece in 0..<count { body(piece) }
            return
        }
        let next = Mutex(0)
        let helpers = (0..<min(threads, count)).map { _ in
            NamedThread("headend-side") {
                while true {
                    let piece = next.withLock { next in
                        defer { next += 1 }
                        return next
                    }
                    if piece >= count { return }
                    body(piece)
                }
            }
        }
        for helper in helpers { helper.join() }
    }
}
