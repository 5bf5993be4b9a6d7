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
        query: String, version: Int, output: String, groupKey: [UInt8], windowKind: String,
        start: EventTime, end: EventTime, revision: Int
    ) {
        var maker = ResultIDMaker(query: query, version: version, output: output)
        self = maker.id(windowKind: windowKind, start: start, end: end, revision: revision) {
            $0.append(contentsOf: groupKey)
        }
    }

    /// 32 lower-case hex digits.
    package var description: String {
        var bytes: [UInt8] = []
        append(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Appends the 32 digits.
    package func append(to bytes: inout [UInt8]) {
        withUnsafeTemporaryAllocation(byteCount: Self.digitCount, alignment: 1) { digits in
            write(to: digits)
            bytes.append(contentsOf: digits)
        }
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
