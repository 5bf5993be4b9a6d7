package import DeviceQueue
import MQTTBroker

/// What goes from an event loop to the storage thread and back: staged frames, and for each what to answer to
/// whom once it is durable.
///
/// `@unchecked Sendable`: exactly one thread holds it at a time; handing over is the guard.
package final class IngestBatch: @unchecked Sendable {
    /// What the publisher is owed: the packet type.
    enum Answer: UInt8 {
        case nothing = 0
        case puback = 4
        case pubrec = 5
        case pubcomp = 7
    }

    /// One entry a frame, or a fence: an answer without a frame that must wait for all before it.
    struct Entry {
        static let noFrame = UInt32.max
        static let noRoute = UInt32.max
        /// Offset of the frame in the staging buffer, or `noFrame`.
        var frame: UInt32
        var route: UInt32
        var connectionSlot: UInt32
        /// The slot's use count: an answer for a connection that is gone must not reach its successor.
        var connectionGeneration: UInt32
        var packetIdentifier: UInt16
        var answer: Answer
        /// The frame is a retained message, which concerns the broker even without a subscriber.
        var isRetained = false
    }

    package let staging: StagingBuffer
    private(set) var entries: UnsafeMutableBufferPointer<Entry>
    private(set) var entryCount = 0
    /// Whether any entry is a retained message.
    private(set) var hasRetained = false
    /// Changes of the broker's state that become durable with the batch, behind its frames.
    var journal: JournalGroup?
    /// Bytes that the loop counts as staged for it.
    var stagedBytes = 0
    /// Where the log ended when the batch and those before it had become durable; 0 but for the last of a commit.
    var logEnd: UInt64 = 0
    /// The table whose numbers the entries' routes are.
    var routeGeneration: UInt32 = 0
    /// Called once, on the event loop, when the batch is durable and its outcomes are final; for who stages without
    /// a connection.
    var whenDurable: (@Sendable (StagingBuffer) -> Void)?

    init(byteCapacity: Int) {
        staging = StagingBuffer(byteCapacity: byteCapacity)
        entries = .allocate(capacity: 1_024)
    }

    deinit { entries.deallocate() }

    @inline(__always)
    func add(_ entry: Entry) {
        if entryCount == entries.count { grow() }
        entries.initializeElement(at: entryCount, to: entry)
        entryCount += 1
        if entry.isRetained { hasRetained = true }
    }

    /// Adds an entry of a frame at an offset of the staging buffer.
    @inline(__always)
    func add(_ entry: Entry, frame: Int) {
        var entry = entry
        entry.frame = UInt32(frame)
        add(entry)
    }

    private func grow() {
        let larger = UnsafeMutableBufferPointer<Entry>.allocate(capacity: entries.count * 2)
        _ = larger.moveInitialize(
            fromContentsOf: UnsafeMutableBufferPointer(rebasing: entries[..<entryCount]))
        entries.deallocate()
        entries = larger
    }

    func reset() {
        staging.reset()
        entryCount = 0
        hasRetained = false
        whenDurable = nil
        journal = nil
        stagedBytes = 0
        logEnd = 0
    }
}
