import Crypto

/// The name of a result row: the first 128 bits of SHA-256 over what the row is about, so that the same input
/// gives the same name after any restart or replay. A receiver that knows it has the row already drops it.
package struct ResultID: Hashable, Sendable, CustomStringConvertible {
    package var high: UInt64
    package var low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// - Parameters:
    ///   - groupKey: the canonical group key: the grouping values as a JSON array.
    ///   - windowKind: `tumbling`, `hopping` …
    ///   - revision: 0 for a final row.
    package init(
        query: String, version: Int, output: String, groupKey: [UInt8], windowKind: String, start: EventTime,
        end: EventTime, revision: Int
    ) {
        var hash = SHA256()
        // Each part is length-prefixed, so no two lists of parts share their bytes.
        func part(_ bytes: some Collection<UInt8>) {
            var count = UInt32(bytes.count).littleEndian
            withUnsafeBytes(of: &count) { hash.update(bufferPointer: $0) }
            hash.update(data: Array(bytes))
        }
        part(query.utf8)
        part(String(version).utf8)
        part(output.utf8)
        part(groupKey)
        part(windowKind.utf8)
        part(String(start.ticks).utf8)
        part(String(end.ticks).utf8)
        part(String(revision).utf8)
        let digest = Array(hash.finalize())
        high = digest[0..<8].reduce(0) { $0 << 8 | UInt64($1) }
        low = digest[8..<16].reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// 32 lower-case hex digits.
    package var description: String {
        func hex(_ value: UInt64) -> String {
            let text = String(value, radix: 16)
            return String(repeating: "0", count: 16 - text.count) + text
        }
        return hex(high) + hex(low)
    }
}

/// One row of a perpetual query's output.
package struct ResultRow: Hashable, Sendable {
    /// The output's name (`INTO minute` → `minute`; late rows go to `_late`).
    package var output: String
    package var id: ResultID
    /// The result time: the window's end, or a pass-through row's event time.
    package var time: EventTime
    /// The SELECT list in order, without `_rid`.
    package var columns: [Column]

    package init(output: String, id: ResultID, time: EventTime, columns: [Column]) {
        self.output = output
        self.id = id
        self.time = time
        self.columns = columns
    }

    /// The row as one JSON object, `_rid` last, no newline.
    package func json() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(256)
        Column.appendJSON(columns + [Column("_rid", .text(id.description))], to: &bytes)
        return bytes
    }

    /// The value of a column, nil when there is none of that name.
    package subscript(column: String) -> Value? { columns.first { $0.name == column }?.value }
}
