import Telemetry

/// Reference data as it was read: one JSON object a row.
package struct ReferenceData: Sendable {
    package var name: String
    /// JSON objects, without newlines between.
    package var rows: [[UInt8]]

    package init(name: String, rows: [[UInt8]]) {
        self.name = name
        self.rows = rows
    }
}

/// Reference data as a plan needs it: the columns that are used, and rows by key.
///
/// Raw pointers: the table owns the bytes that its values point to and frees them in deinit.
final class ReferenceTable {
    private let plan: ReferencePlan
    private let columnCount: Int
    private var values: [Datum] = []
    private var rows: [Datum] = []
    private var memory: [UnsafeMutableRawBufferPointer] = []
    /// By index of the plan: keys, and by key the rows.
    private var keys: [KeyTable] = []
    private var rowsOfKey: [[[Int32]]] = []
    private(set) var rowCount = 0

    init(_ plan: ReferencePlan, _ data: ReferenceData, limits: StreamLimits) throws(QueryFailure) {
        self.plan = plan
        columnCount = plan.columns.count
        guard data.rows.count <= limits.referenceRowsMax else {
            throw QueryFailure(
                text: "\(data.name): \(data.rows.count) rows, and the limit is \(limits.referenceRowsMax)",
                hint: "join with fewer rows")
        }
        let arena = ByteArena()
        for index in plan.indexes.indices {
            keys.append(KeyTable(hashKey: limits.hashKey))
            rowsOfKey.append([])
            _ = index
        }
        var key = KeyBuffer()
        defer { key.deallocate() }
        let decoder = InputDecoder(
            fields: plan.columns, namesMax: limits.fieldNamesMax, hashKey: limits.hashKey, arena: arena)
        for (number, row) in data.rows.enumerated() {
            let mark = arena.mark
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(row.count, 1), alignment: 8)
            copy.copyBytes(from: row)
            memory.append(copy)
            let bytes = UnsafeRawBufferPointer(rebasing: copy[..<row.count])
            guard decoder.decode(bytes) else {
                throw QueryFailure(
                    text: "\(data.name): row \(number + 1) is not a JSON object",
                    hint: "write one object a line")
            }
            rows.append(Datum(.record, bytes))
            add(decoder, bytes, &key)
            arena.release(to: mark)
        }
    }

    deinit { for memory in memory { memory.deallocate() } }

    private func add(_ decoder: InputDecoder, _ row: UnsafeRawBufferPointer, _ key: inout KeyBuffer) {
        for column in 0..<columnCount {
            var value = decoder.slots[column]
            if value.hasBytes {
                // What had escapes lies in the arena of the call.
                let own = UnsafeMutableRawBufferPointer.allocate(
                    byteCount: max(value.bytes.count, 1), alignment: 8)
                own.copyMemory(from: value.bytes)
                memory.append(own)
                value.bits = UInt64(UInt(bitPattern: own.baseAddress))
            }
            values.append(value)
        }
        for (index, columns) in plan.indexes.enumerated() {
            key.removeAll()
            var hasNull = false
            for column in columns {
                let value = values[rowCount * columnCount + column]
                hasNull = hasNull || value.isNull
                GroupKey.append(value, to: &key)
            }
            if hasNull { continue }
            let number = keys[index].number(of: key.bytes).number
            while rowsOfKey[index].count <= number { rowsOfKey[index].append([]) }
            rowsOfKey[index][number].append(Int32(rowCount))
        }
        rowCount += 1
    }

    /// The rows with a key; none when a value of it is NULL.
    func matches(_ index: Int, _ key: UnsafeRawBufferPointer) -> [Int32] {
        keys[index].find(key, hash: keys[index].hash(key)).map { rowsOfKey[index][$0] } ?? []
    }

    func value(_ row: Int, _ column: Int) -> Datum { values[row * columnCount + column] }

    func row(_ row: Int) -> Datum { rows[row] }
}
