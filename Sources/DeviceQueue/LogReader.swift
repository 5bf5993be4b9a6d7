import Platform
package import Telemetry

/// Reads the durable log in order from any place, as far as it is durable, again and again. One thread at a
/// time; each reader has its own buffer and its own place.
package final class LogReader {
    /// Where the next frame begins, or the end of a segment.
    package private(set) var position: QueueOffset
    private let catalog: SegmentCatalog
    private let progress: LogProgress
    private var scanner: SegmentScanner?

    init(catalog: SegmentCatalog, progress: LogProgress, from start: QueueOffset) {
        self.catalog = catalog
        self.progress = progress
        position = start
    }

    /// Delivers the next block of durable frames, about `QueueLimits.readBytes` of them, all of one segment.
    ///
    /// - Parameter body: gets each frame; its bytes are valid during the call only.
    /// - Returns: false when there is nothing new (then `body` was not called): ask again after a commit.
    /// - Throws: `.corrupt` with the place, `.removed` when retention overtook this reader, `.offsetOutOfRange`,
    ///   `.file`.
    package func next(_ body: (LogFrame) -> Void) throws(QueueError) -> Bool {
        let end = progress.durableEnd
        while position.bytes < end {
            if scanner == nil { try openSegment(end: end) }
            guard var current = scanner.take() else { return false }
            let segment = current.segment
            current.limit = Int(min(segment.byteCount, end - segment.base))
            let result = Result { () throws(QueueError) in
                try Self.deliver(&current, budget: catalog.limits.readBytes, body)
            }
            position = QueueOffset(segment.base + UInt64(current.position))
            let stop = current.stop
            let delivered: (count: Int, atEnd: Bool)
            switch result {
            case .success(let value): delivered = value
            case .failure(let error):
                scanner = consume current
                throw error
            }
            if !delivered.atEnd || end < segment.end {
                let isTorn = delivered.atEnd && stop != .limit
                let place = UInt64(current.position)
                scanner = consume current
                if isTorn { throw Self.damaged(segment, place) }
                if delivered.count > 0 { return true }
                if delivered.atEnd { return false }
            } else {
                if stop == .bad { throw Self.damaged(segment, UInt64(current.position)) }
                position = QueueOffset(segment.end)
                if delivered.count > 0 { return true }
            }
        }
        return false
    }

    private static func damaged(_ segment: Segment, _ position: UInt64) -> QueueError {
        .corrupt(
            path: segment.path, offset: position,
            explanation: "not a frame; check the disk, and restore the file from a backup")
    }

    private static func deliver(
        _ scanner: inout SegmentScanner, budget: Int, _ body: (LogFrame) -> Void
    ) throws(QueueError) -> (count: Int, atEnd: Bool) {
        let start = scanner.position
        var count = 0
        while scanner.position - start < budget {
            guard let frame = try scanner.next() else { return (count, true) }
            body(LogFrame(base: frame, offset: QueueOffset(scanner.frameOffset)))
            count += 1
        }
        return (count, false)
    }

    private func openSegment(end: UInt64) throws(QueueError) {
        let segments = catalog.segments
        // From the very beginning means from what is left of it.
        let wanted = max(position.bytes, segments.first?.base ?? 0)
        guard let segment = catalog.segment(containing: wanted), wanted & 7 == 0,
            position.bytes == 0 || wanted == position.bytes
        else {
            let first = segments.first?.base ?? 0
            if position.bytes < first { throw .removed(offset: position.bytes, first: first) }
            throw .offsetOutOfRange(offset: position.bytes, first: first, end: end)
        }
        let start = max(Int(wanted - segment.base), LogFormat.segmentHeaderBytes)
        scanner = SegmentScanner(
            segment: segment, file: try catalog.file(segment), position: start, limit: start,
            bufferBytes: catalog.limits.readBytes)
        position = QueueOffset(segment.base + UInt64(start))
    }
}
