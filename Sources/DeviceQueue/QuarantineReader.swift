package import Telemetry

/// Reads the quarantine in order, whole segments at a time, passing over those without quarantined messages. One
/// thread at a time.
package final class QuarantineReader {
    /// Which messages are wanted.
    package struct Filter: Sendable, Equatable {
        /// The first sequence.
        package var from: UInt64
        /// nil: every reason.
        package var reason: QuarantineReason?
        /// Those that a replay has settled too.
        package var includesSettled: Bool

        package init(from: UInt64 = 1, reason: QuarantineReason? = nil, includesSettled: Bool = false) {
            self.from = from
            self.reason = reason
            self.includesSettled = includesSettled
        }
    }

    private let queue: DeviceQueue
    private let filter: Filter
    /// Segments to look into, the next one last.
    private var segments: [Segment] = []
    private var reader: LogReader?
    private var segmentEnd: UInt64 = 0
    private var end: UInt64 = 0
    private var isOpen = false

    init(queue: DeviceQueue, filter: Filter) {
        self.queue = queue
        self.filter = filter
    }

    /// Delivers the wanted messages of the next block of the log, none perhaps; what was durable at the first call.
    ///
    /// - Parameter body: gets each message and why it waits, nil for a settled one; the bytes are valid during the
    ///   call only.
    /// - Returns: false at the end.
    package func next(_ body: (LogFrame, QuarantineReason?) -> Void) throws(QueueError) -> Bool {
        if !isOpen { try open() }
        while true {
            if reader == nil {
                guard let segment = segments.popLast(), segment.base < end else { return false }
                reader = queue.makeReader(from: QueueOffset(segment.base))
                segmentEnd = min(segment.end, end)
            }
            guard let current = reader, current.position.bytes < segmentEnd else {
                reader = nil
                continue
            }
            do throws(QueueError) {
                let hadBlock = try current.next { frame in
                    guard frame.offset.bytes < segmentEnd, frame.kind == .quarantined,
                        frame.sequence >= filter.from
                    else { return }
                    deliver(frame, body)
                }
                if hadBlock { return true }
            } catch {
                // Retention took the segment meanwhile: the next one is looked into.
                guard case .removed = error else { throw error }
            }
            reader = nil
        }
    }

    private func deliver(_ frame: LogFrame, _ body: (LogFrame, QuarantineReason?) -> Void) {
        switch queue.quarantineState(frame.sequence) {
        case .waiting(let reason): if filter.reason == nil || filter.reason == reason { body(frame, reason) }
        case .settled, .unknown: if filter.includesSettled, filter.reason == nil { body(frame, nil) }
        }
    }

    private func open() throws(QueueError) {
        isOpen = true
        end = queue.durableEnd.bytes
        let all = queue.catalog.segments
        for segment in all.dropLast() {
            do throws(QueueError) {
                guard let entry = try queue.catalog.index(segment, mayWrite: false).entry(0),
                    entry.lastSequence >= filter.from
                else { continue }
                segments.append(segment)
            } catch {
                guard case .removed = error else { throw error }
            }
        }
        if let newest = all.last, queue.lastQuarantinedSequence >= filter.from { segments.append(newest) }
        segments.reverse()
    }
}
