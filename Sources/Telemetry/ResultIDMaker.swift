import Crypto

/// Makes the ids of one output's rows: the text that is hashed is put together in memory that is used again.
///
/// Single-owner.
package struct ResultIDMaker: Sendable {
    /// The parts that all ids share, and behind them those of the row in hand.
    private var text: [UInt8] = []
    private let sharedCount: Int

    package init(query: String, version: Int, output: String) {
        Self.part(query.utf8, &text)
        Self.part(String(version).utf8, &text)
        Self.part(output.utf8, &text)
        sharedCount = text.count
    }

    /// - Parameters:
    ///   - windowKind: `tumbling`, `hopping` …
    ///   - revision: 0 for a final row.
    ///   - appendKey: appends the canonical group key: the grouping values as a JSON array.
    package mutating func id(
        windowKind: String, start: EventTime, end: EventTime, revision: Int = 0,
        appendKey: (inout [UInt8]) -> Void
    ) -> ResultID {
        text.removeLast(text.count - sharedCount)
        Self.part(&text, appendKey)
        Self.part(windowKind.utf8, &text)
        Self.part(&text) { JSONText.append(start.ticks, to: &$0) }
        Self.part(&text) { JSONText.append(end.ticks, to: &$0) }
        Self.part(&text) { JSONText.append(Int64(revision), to: &$0) }
        var hash = SHA256()
        text.withUnsafeBytes { hash.update(bufferPointer: $0) }
        return hash.finalize().withUnsafeBytes { digest in
            ResultID(
                high: UInt64(bigEndian: digest.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
                low: UInt64(bigEndian: digest.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
        }
    }

    // Each part is length-prefixed, so no two lists of parts share their bytes.
    private static func part(_ bytes: some Collection<UInt8>, _ text: inout [UInt8]) {
        part(&text) { $0.append(contentsOf: bytes) }
    }

    @inline(__always)
    private static func part(_ text: inout [UInt8], _ append: (inout [UInt8]) -> Void) {
        let start = text.count
        withUnsafeBytes(of: UInt32(0)) { text.append(contentsOf: $0) }
        append(&text)
        let count = UInt32(text.count - start - 4).littleEndian
        text.withUnsafeMutableBytes { $0.storeBytes(of: count, toByteOffset: start, as: UInt32.self) }
    }
}
