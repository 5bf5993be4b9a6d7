/// Objects on their way from one thread to another and back: one thread fills free ones, the other takes them in that
/// order and gives them back empty. As many as there are bound what is on the way.
///
/// A thread that found nothing waits until half of the objects are there for it, so that two threads of unequal speed
/// wake each other once for several objects.
package final class Lane<Item: Sendable>: Sendable {
    private struct State {
        var full: [Item] = []
        var free: [Item]
        /// The receiver, or the sender, found nothing and waits for half of the objects.
        var isReceiverDry = false
        var isSenderDry = false
        var isEnded = false
        var isCancelled = false
    }

    private let state: Monitor<State>
    private let half: Int

    package init(_ items: [Item]) {
        state = Monitor(State(free: items))
        half = max(items.count / 2, 1)
    }

    // MARK: The sender

    /// An empty object; nil when the receiver wants no more.
    package func takeFree() -> Item? {
        let half = half
        return state.wait(
            until: { state in
                if state.free.isEmpty { state.isSenderDry = true }
                return state.isCancelled || state.free.count >= (state.isSenderDry ? half : 1)
            },
            then: { state in
                state.isSenderDry = false
                return state.isCancelled ? nil : state.free.removeLast()
            })
    }

    /// - Parameter isUrgent: the receiver takes it at once, and does not wait for half of the objects.
    package func send(_ item: Item, isUrgent: Bool = false) {
        let wakes = state.withLock { state in
            state.full.append(item)
            if isUrgent {
                state.isReceiverDry = false
                return true
            }
            return state.isReceiverDry && state.full.count >= half
        }
        if wakes { state.update { _ in } }
    }

    /// Nothing more comes.
    package func end() { state.update { $0.isEnded = true } }

    // MARK: The receiver

    /// The next object; nil when the last one was taken.
    package func receive() -> Item? {
        let half = half
        return state.wait(
            until: { state in
                if state.full.isEmpty { state.isReceiverDry = true }
                return state.isEnded || state.full.count >= (state.isReceiverDry ? half : 1)
            },
            then: { state in
                state.isReceiverDry = false
                return state.full.isEmpty ? nil : state.full.removeFirst()
            })
    }

    package func giveBack(_ item: Item) {
        let wakes = state.withLock { state in
            state.free.append(item)
            return state.isSenderDry && state.free.count >= half
        }
        if wakes { state.update { _ in } }
    }

    /// The receiver wants no more.
    package func cancel() { state.update { $0.isCancelled = true } }
}
