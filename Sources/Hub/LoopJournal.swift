package import MQTTBroker

/// Work on the journal's files that the event loop must not wait for.
package protocol JournalInbox: AnyObject, Sendable {
    /// Reads bodies; calls back on the loop.
    func read(_ request: BacklogRequest, _ completion: @escaping @Sendable (sending [Message?]) -> Void)
    /// Removes what no longer counts.
    func clean(_ cleaned: JournalCleaned)
}

/// What an event loop knows of the journal: how far it is durable, and what waits for that.
struct LoopJournal {
    /// A packet that must not leave before the change it speaks of is durable.
    struct Held {
        let position: UInt64
        let action: BrokerAction
        let connection: Connection?
    }

    var inbox: (any JournalInbox)?
    var isOpen: Bool { inbox != nil }
    /// In the order of their positions.
    var held = HeldQueue()
    /// What is to be done when the journal is durable up to a position.
    var callbacks: [(position: UInt64, body: @Sendable () -> Void)] = []
    /// Bodies to be read as soon as they are durable.
    var requests: [BacklogRequest] = []
    /// The journal's end as of the last look, and up to where it is durable.
    var noted: UInt64 = 0
    var durable: UInt64 = 0
    /// Durable batches are being given to the subscribers: what follows from them stays one group.
    var isForwarding = false
    /// Monotonic nanoseconds of the last note of the log's end.
    var lastNote: UInt64 = 0

    /// First in, first out; memory is given back when it runs empty.
    struct HeldQueue {
        private var items: [Held] = []
        private var head = 0

        var isEmpty: Bool { head == items.count }
        var first: Held? { isEmpty ? nil : items[head] }

        mutating func append(_ item: Held) { items.append(item) }

        mutating func popFirst() {
            head += 1
            guard head == items.count || head > 4_096 else { return }
            items.removeFirst(head)
            head = 0
        }
    }
}
