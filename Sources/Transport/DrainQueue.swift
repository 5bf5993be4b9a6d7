/// The sockets that wait for their peer's end, in the order they began to: a list through the sockets.
///
/// Confined to its thread.
struct DrainQueue {
    private(set) var first: StreamSocket?
    private var last: StreamSocket?
    private(set) var count = 0

    mutating func append(_ socket: StreamSocket) {
        socket.previousDraining = last
        if let last { last.nextDraining = socket } else { first = socket }
        last = socket
        count += 1
    }

    /// Does nothing when the socket is not in the list.
    mutating func remove(_ socket: StreamSocket) {
        guard socket.isDraining else { return }
        if let before = socket.previousDraining {
            before.nextDraining = socket.nextDraining
        } else {
            first = socket.nextDraining
        }
        if let after = socket.nextDraining {
            after.previousDraining = socket.previousDraining
        } else {
            last = socket.previousDraining
        }
        socket.previousDraining = nil
        socket.nextDraining = nil
        socket.drainDeadline = 0
        count -= 1
    }
}
