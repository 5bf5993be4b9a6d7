import Platform
import ResultSink

/// An outbox in memory that outlives the sinks that read it.
final class MemoryOutbox: OutboxReader {
    struct Unreadable: Error, CustomStringConvertible {
        var description: String { "the outbox is unreadable" }
    }

    private let contents = Monitor((entries: [OutboxEntry](), isBroken: false, reads: 0))

    var endPosition: UInt64 { contents.withLock { $0.entries.last?.nextPosition ?? 0 } }

    /// Reads that were asked for.
    var readCount: Int { contents.withLock { $0.reads } }

    func setBroken(_ isBroken: Bool) { contents.withLock { $0.isBroken = isBroken } }

    /// Adds rows `first..<last`, each with a mark behind it.
    func append(_ numbers: Range<Int>) {
        contents.withLock { contents in
            for number in numbers {
                for isRow in [true, false] {
                    let position = contents.entries.last?.nextPosition ?? 0
                    contents.entries.append(
                        OutboxEntry(
                            position: position, nextPosition: position + 10, isRow: isRow,
                            topic: isRow ? "headend/minute/d\(number)/t" : "",
                            rid: isRow ? Self.rid(number) : "",
                            json: isRow
                                ? Array("{\"n\":\(number),\"_rid\":\"\(Self.rid(number))\"}".utf8) : []))
                }
            }
        }
    }

    func read(from position: UInt64, limit: Int) throws -> [OutboxEntry] {
        try contents.withLock { contents in
            contents.reads += 1
            if contents.isBroken { throw Unreadable() }
            return Array(contents.entries.dropFirst(Int(position / 10)).prefix(limit))
        }
    }

    func countRows(from position: UInt64) throws -> (rows: Int, end: UInt64) {
        let entries = try read(from: position, limit: 100)
        return (entries.count { $0.isRow }, entries.last?.nextPosition ?? position)
    }

    static func rid(_ number: Int) -> String { "rid-\(number)" }
}
