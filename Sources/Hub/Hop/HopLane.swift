import Synchronization

/// One direction between two threads: full batches there, empty ones back. A batch that comes back says that its
/// bytes are dealt with, but for those its receiver marked as held.
final class HopLane: Sendable {
    private struct State {
        var posted: [HopBatch] = []
        var returned: [HopBatch] = []
        /// The receiver will look.
        var isScheduled = false
        /// The sender waits for room.
        var areReturnsWanted = false
    }

    private let state = Mutex(State())

    /// - Returns: whether the receiver must be told.
    func post(_ batch: HopBatch) -> Bool {
        state.withLock { state in
            state.posted.append(batch)
            defer { state.isScheduled = true }
            return !state.isScheduled
        }
    }

    /// Moves what was posted into an empty array.
    func take(into batches: inout [HopBatch]) {
        state.withLock { state in
            state.isScheduled = false
            swap(&state.posted, &batches)
        }
    }

    /// Takes batches back and empties the array.
    ///
    /// - Returns: whether the sender must be told.
    func giveBack(_ batches: inout [HopBatch]) -> Bool {
        state.withLock { state in
            state.returned.append(contentsOf: batches)
            batches.removeAll(keepingCapacity: true)
            defer { state.areReturnsWanted = false }
            return state.areReturnsWanted
        }
    }

    /// Moves what came back into an empty array.
    func takeReturned(into batches: inout [HopBatch]) {
        state.withLock { swap(&$0.returned, &batches) }
    }

    /// The sender has no room and wants to be told of the next return.
    ///
    /// - Returns: whether something has come back already.
    func wantReturns() -> Bool {
        state.withLock { state in
            state.areReturnsWanted = state.returned.isEmpty
            return !state.returned.isEmpty
        }
    }
}

/// How much may be between two threads. Nothing is lost at a limit: the sender waits.
struct HopLimits: Sendable {
    /// Bytes of one connection on their way to the broker, or held there for it, before its socket is read no
    /// more: with the read that passes it, a connection has at most 320 KiB there.
    var receivedBytesMax = 64 << 10
    /// Bytes of one connection on their way to its socket, or waiting for its peer there. What is more waits at the
    /// broker (`HubLimits.outputBytesMax`).
    var sentBytesMax = 64 << 10
    /// Bytes of all connections of one thread on their way to the broker: some milliseconds of the fastest load.
    var transitBytesMax = 16 << 20
    /// Bytes that the broker holds for connections of one thread that it does not read. Above it nothing of the
    /// thread is read while the storage is behind; else who adds to them is closed with 0x97.
    var heldBytesMax = 64 << 20
    /// Empty batches kept for the next turn.
    var spareBatches = 4
}
