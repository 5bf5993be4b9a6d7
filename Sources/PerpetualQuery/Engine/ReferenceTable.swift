import QueryLanguage
import Telemetry

/// Reference data as a plan needs it: the columns that are used, and rows by key.
///
/// Values are equal as `=` says: a text that is a number finds the number, one that is a time the time.
///
/// `@unchecked Sendable`: nothing is written after init, whatever thread reads. Raw pointers: values point into the
/// data, which the table keeps, or to bytes that it owns and frees in deinit.
package final class ReferenceTable: @unchecked Sendable {
    private let plan: ReferencePlan
    private let data: ReferenceData
    private let columnCount: Int
    private var values: [Datum] = []
    private var memory: [UnsafeMutableRawBufferPointer] = []
    private var indexes: [Index] = []
    package let rowCount: Int

    /// Rows by the values of some columns. Rows of one key hang together, in the order of the file.
    private struct Index {
        var columns: [Int]
        var keys: KeyTable
        /// By number of the key.
        var first: [Int32] = []
        var last: [Int32] = []
        /// By row; −1 behind the last.
        var next: [Int32]
    }

    /// Reference data as each of a plan's references needs it.
    ///
    /// - Parameter find: the data of a name.
    /// - Throws: when some is missing, too long, no JSON, or of other types than CREATE TABLE says, with its place.
    package static func all(
        of plan: StreamPlan, limits: StreamLimits = StreamLimits(), _ find: (String) -> ReferenceData?
    ) throws(QueryFailure) -> [ReferenceTable] {
        var tables: [ReferenceTable] = []
        for reference in plan.references {
            guard let data = find(reference.name) else {
                throw QueryFailure(
                    text: "the reference data \(reference.name) is missing", hint: "name its file")
            }
            tables.append(try ReferenceTable(reference, data, limits: limits))
        }
        return tables
    }

    package init(
        _ plan: ReferencePlan, _ data: ReferenceData, limits: StreamLimits = StreamLimits()
    ) throws(QueryFailure) {
        self.plan = plan
        self.data = data
        columnCount = plan.columns.count
        rowCount = data.rowCount
        guard rowCount <= limits.referenceRowsMax else {
            throw QueryFailure(
                text: "\(data.place): \(rowCount) rows, and the limit is \(limits.referenceRowsMax)",
                hint: "join with fewer rows")
        }
        for columns in plan.indexes {
            indexes.append(
                Index(
                    columns: columns, keys: KeyTable(hashKey: limits.hashKey),
                    next: Array(repeating: -1, count: rowCount)))
        }
        let arena = ByteArena()
        let decoder = InputDecoder(
            fields: plan.columns, namesMax: limits.fieldNamesMax, hashKey: limits.hashKey, arena: arena)
        values.reserveCapacity(rowCount * columnCount)
        let mark = arena.mark
        for row in 0..<rowCount {
            guard decoder.decode(data.row(row)) else {
                throw QueryFailure(
                    text: "\(data.place(of: row)): not a JSON object", hint: "write one object a line")
            }
            for column in 0..<columnCount {
                values.append(kept(try typed(decoder.slots[column], row, column, arena)))
            }
            arena.release(to: mark)
        }
        var key = KeyBuffer()
        defer { key.deallocate() }
        for index in indexes.indices { fill(&indexes[index], &key) }
    }

    deinit { for memory in memory { memory.deallocate() } }

    /// What CREATE TABLE makes of a value.
    private func typed(
        _ value: Datum, _ row: Int, _ column: Int, _ arena: ByteArena
    ) throws(QueryFailure) -> Datum {
        guard let type = plan.types[column] else { return value }
        if let made = Cast.conform(value, to: type, isText: data.isText, arena) { return made }
        var shown: [UInt8] = []
        value.appendJSON(to: &shown)
        let text = String(decoding: shown.prefix(64), as: UTF8.self)
        throw QueryFailure(
            text: "\(data.place(of: row)): \(plan.columns[column]) is \(text), which is no \(type.rawValue)",
            hint: "CREATE TABLE \(plan.name) says so; correct the row, or declare another type")
    }

    /// The value with its bytes in the data or in memory of the table's own: what had escapes lies in the arena of
    /// the call.
    private func kept(_ value: Datum) -> Datum {
        guard value.hasBytes, value.count > 0, let from = value.bytes.baseAddress,
            let start = data.bytes.baseAddress
        else { return value }
        if from >= start, from < start + data.bytes.count { return value }
        let own = UnsafeMutableRawBufferPointer.allocate(byteCount: value.bytes.count, alignment: 8)
        own.copyMemory(from: value.bytes)
        memory.append(own)
        var copy = value
        copy.bits = UInt64(UInt(bitPattern: own.baseAddress))
        return copy
    }

    private func fill(_ index: inout Index, _ key: inout KeyBuffer) {
        for row in 0..<rowCount {
            key.removeAll()
            var hasNull = false
            for column in index.columns {
                let value = value(row, column)
                hasNull = hasNull || value.isNull
                Self.append(value, to: &key)
            }
            // NULL is equal to nothing.
            if hasNull { continue }
            let number = index.keys.number(of: key.bytes).number
            if number == index.first.count {
                index.first.append(Int32(row))
                index.last.append(Int32(row))
            } else {
                index.next[Int(index.last[number])] = Int32(row)
                index.last[number] = Int32(row)
            }
        }
    }

    /// What `=` takes for equal has the same bytes.
    ///
    /// - Returns: whether the contrary does not hold: '1' and '01' are both equal to 1, and not to each other. Whoever
    ///   looks for such a text compares what is found.
    @discardableResult
    static func append(_ value: Datum, to key: inout KeyBuffer) -> Bool {
        switch value.kind {
        case .bit: GroupKey.append(Datum(Int64(value.bits)), to: &key)
        case .text:
            let resolved = resolved(value)
            GroupKey.append(resolved, to: &key)
            return resolved.kind != .text
        default: GroupKey.append(value, to: &key)
        }
        return false
    }

    private static func resolved(_ text: Datum) -> Datum {
        // Numbers and times begin with a digit, a sign, a point or a blank.
        guard let first = text.bytes.first, first < 0x3A else { return text }
        if let number = Conversion.number(of: text.bytes) { return number }
        if let time = EventTime.parse(iso8601: text.bytes) { return Datum(ticks: time.ticks) }
        return text
    }

    // MARK: Lookup

    /// The first row whose key may be this one; −1 when there is none.
    func first(_ index: Int, _ key: UnsafeRawBufferPointer) -> Int {
        let keys = indexes[index].keys
        guard let number = keys.find(key, hash: keys.hash(key)) else { return -1 }
        return Int(indexes[index].first[number])
    }

    /// The row behind a row, of the same key; −1 when there is none.
    func next(_ index: Int, after row: Int) -> Int { Int(indexes[index].next[row]) }

    /// The columns of an index.
    func columns(_ index: Int) -> [Int] { indexes[index].columns }

    func value(_ row: Int, _ column: Int) -> Datum { values[row * columnCount + column] }

    func row(_ row: Int) -> Datum { Datum(.record, data.row(row)) }
}
