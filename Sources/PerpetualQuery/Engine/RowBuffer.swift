package import Telemetry

/// Result rows as an engine makes them, in order, without a String or an array a row. The receiver reads
/// them after the call and empties the buffer.
///
/// Raw pointers: this class owns values and their bytes, keeps the memory when it is emptied, and frees it
/// in deinit.
///
/// `@unchecked Sendable`: one thread fills it, hands it over, and does not touch it until it is handed back.
package final class RowBuffer: @unchecked Sendable {
    struct Header {
        var emit: Int32
        var time: Int64
        var kind: RowContext.Kind
        var start: Int64
        var end: Int64
        var key: UnsafeRawBufferPointer
        var firstValue: Int
        var ordinal: UInt32
        var device: UInt32
        var sequence: UInt64
    }

    let plan: StreamPlan
    /// By emit, how many before it have the same output: part of the name of their rows.
    private let branches: [Int]
    private let outputs: [Int]
    private let hasStar: [Bool]
    @exclusivity(unchecked) private var ids: [ResultIDMaker]
    /// By emit and column, `"name":`.
    private let names: [[[UInt8]]]
    @exclusivity(unchecked) private(set) var headers: ContiguousArray<Header> = []
    @exclusivity(unchecked) private var values: UnsafeMutablePointer<Datum>
    @exclusivity(unchecked) private var valueCapacity = 1_024
    @exclusivity(unchecked) private var valueCount = 0
    @exclusivity(unchecked) private var arena = ByteArena()
    private let start: ByteArena.Mark
    /// Rows of `_late` and `_errors`, in the order they came.
    @exclusivity(unchecked) package private(set) var systemRows: [ResultRow] = []
    /// Names of devices, for row names.
    var deviceName: (UInt32) -> DeviceID = { _ in DeviceID("") }

    package init(plan: StreamPlan) {
        self.plan = plan
        branches = plan.emits.enumerated().map { number, emit in
            plan.emits[..<number].count { $0.output == emit.output }
        }
        outputs = plan.emits.map(\.output)
        hasStar = plan.emits.map(\.hasStar)
        ids = plan.emits.map {
            ResultIDMaker(query: plan.name, version: plan.version, output: plan.outputs[$0.output])
        }
        names = plan.emits.map { emit in
            emit.columns.map { column in
                guard case .named(let name, _) = column else { return [] }
                var bytes: [UInt8] = []
                JSONText.append(name, to: &bytes)
                bytes.append(0x3A)
                return bytes
            }
        }
        values = .allocate(capacity: valueCapacity)
        start = arena.mark
    }

    deinit { values.deallocate() }

    package var count: Int { headers.count }
    package var isEmpty: Bool { headers.isEmpty && systemRows.isEmpty }

    package func removeAll() {
        headers.removeAll(keepingCapacity: true)
        systemRows.removeAll(keepingCapacity: true)
        valueCount = 0
        arena.release(to: start)
    }

    /// Swaps its rows with those of another buffer of the same plan, without copying them.
    package func exchange(with other: RowBuffer) {
        swap(&headers, &other.headers)
        swap(&values, &other.values)
        swap(&valueCapacity, &other.valueCapacity)
        swap(&valueCount, &other.valueCount)
        swap(&arena, &other.arena)
        swap(&systemRows, &other.systemRows)
    }

    func append(_ row: ResultRow) { systemRows.append(row) }

    func append(_ emit: Int, _ context: RowContext, _ frame: UnsafeMutablePointer<Datum>) {
        let columns = plan.emits[emit].columns
        if valueCount + columns.count > valueCapacity { grow(columns.count) }
        headers.append(
            Header(
                emit: Int32(emit), time: context.time, kind: context.kind, start: context.start,
                end: context.end, key: arena.copy(context.key), firstValue: valueCount,
                ordinal: context.ordinal,
                device: context.device, sequence: context.sequence))
        for column in columns {
            var value = frame[column.slot]
            if value.hasBytes {
                value.bits = UInt64(UInt(bitPattern: arena.copy(value.bytes).baseAddress))
            }
            values[valueCount] = value
            valueCount += 1
        }
    }

    private func grow(_ more: Int) {
        var capacity = valueCapacity * 2
        while capacity < valueCount + more { capacity *= 2 }
        let larger = UnsafeMutablePointer<Datum>.allocate(capacity: capacity)
        larger.update(from: values, count: valueCount)
        values.deallocate()
        values = larger
        valueCapacity = capacity
    }

    // MARK: Reading

    /// The number of a row's output in `StreamPlan.outputs`.
    package func output(of row: Int) -> Int { outputs[Int(headers[row].emit)] }

    /// Which SELECT gave the row: its number in `StreamPlan.columnsByEmit`.
    package func emit(of row: Int) -> Int { Int(headers[row].emit) }

    package func time(of row: Int) -> EventTime { EventTime(ticks: headers[row].time) }

    /// Appends a row as one JSON object, no newline.
    ///
    /// - Parameter id: stands last, as `_rid`.
    package func appendJSON(of row: Int, id: ResultID? = nil, to bytes: inout [UInt8]) {
        let emit = Int(headers[row].emit)
        let first = headers[row].firstValue
        bytes.append(0x7B)
        var isFirst = true
        if hasStar[emit] {
            appendStarred(plan.emits[emit], first, &isFirst, &bytes)
        } else {
            for index in 0..<names[emit].count {
                if !isFirst { bytes.append(0x2C) }
                isFirst = false
                bytes.append(contentsOf: names[emit][index])
                append(values[first + index], to: &bytes)
            }
        }
        if let id {
            bytes.append(contentsOf: (isFirst ? "\"_rid\":\"" : ",\"_rid\":\"").utf8)
            id.append(to: &bytes)
            bytes.append(0x22)
        }
        bytes.append(0x7D)
    }

    /// Appends a column of a row as it stands in a topic: a text as it is, a time in ISO 8601, all else as JSON.
    ///
    /// - Parameter column: its number in the SELECT list, which has no `*`.
    package func appendText(of row: Int, column: Int, to bytes: inout [UInt8]) {
        let value = values[headers[row].firstValue + column]
        switch value.kind {
        case .text: bytes.append(contentsOf: value.bytes)
        case .datetime: EventTime(ticks: value.integer).appendISO8601(to: &bytes)
        default: append(value, to: &bytes)
        }
    }

    /// A record stands in a row as it came, but a row is one line.
    private func append(_ value: Datum, to bytes: inout [UInt8]) {
        if value.kind == .record || value.kind == .array {
            JSONBytes.appendCompact(value.bytes, to: &bytes)
        } else {
            value.appendJSON(to: &bytes)
        }
    }

    private static func appendName(_ name: String, _ isFirst: inout Bool, _ bytes: inout [UInt8]) {
        if !isFirst { bytes.append(0x2C) }
        isFirst = false
        JSONText.append(name, to: &bytes)
        bytes.append(0x3A)
    }

    /// Of two columns with one name the left one stands.
    private func appendStarred(_ emit: EmitPlan, _ first: Int, _ isFirst: inout Bool, _ bytes: inout [UInt8])
    {
        for column in columns(of: emit, first) {
            Self.appendName(column.name, &isFirst, &bytes)
            column.value.appendJSON(to: &bytes)
        }
    }

    private func columns(of emit: EmitPlan, _ first: Int) -> [Column] {
        var columns: [Column] = []
        var used: Set<[UInt8]> = []
        for (index, column) in emit.columns.enumerated() {
            switch column {
            case .named(let name, _):
                if used.insert(Array(name.utf8)).inserted {
                    columns.append(Column(name, values[first + index].value))
                }
            case .star:
                guard values[first + index].kind == .record else { continue }
                for field in JSONValue.columns(of: values[first + index].bytes)
                where used.insert(Array(field.name.utf8)).inserted {
                    columns.append(field)
                }
            }
        }
        return columns
    }

    /// A row that owns its values.
    package func resultRow(_ row: Int) -> ResultRow {
        let emit = plan.emits[Int(headers[row].emit)]
        let first = headers[row].firstValue
        return ResultRow(
            output: plan.outputs[emit.output], id: id(of: row), time: time(of: row),
            columns: columns(of: emit, first))
    }

    /// The name of a row: the same input gives the same name after any restart or replay.
    package func id(of row: Int) -> ResultID {
        let header = headers[row]
        let emit = Int(header.emit)
        let isEvent = header.kind == .event
        return ids[emit].id(
            windowKind: header.kind.name,
            start: EventTime(ticks: isEvent ? header.time : header.start),
            end: EventTime(ticks: isEvent ? header.time : header.end)
        ) { appendKey(of: header, branch: branches[emit], to: &$0) }
    }

    private func appendKey(of header: Header, branch: Int, to key: inout [UInt8]) {
        key.append(0x5B)
        let start = key.count
        func separate() { if key.count > start { key.append(0x2C) } }
        if header.kind == .event {
            JSONText.append(deviceName(header.device).text, to: &key)
            separate()
            JSONText.append(Int64(truncatingIfNeeded: header.sequence), to: &key)
        }
        // Of an event: the way that it came, if there are several.
        GroupKey.forEach(in: header.key, arena: arena) { _, value in
            separate()
            value.appendJSON(to: &key)
        }
        if header.ordinal > 0 {
            separate()
            JSONText.append(Int64(header.ordinal), to: &key)
        }
        if branch > 0 {
            separate()
            JSONText.append(Int64(-branch), to: &key)
        }
        key.append(0x5D)
    }
}
