import Telemetry

/// What a row is about, beside its values: its time, its timeline, and what names it in results.
struct RowContext {
    enum Kind: UInt8 {
        case event = 0
        case tumbling, hopping, sliding, session, snapshot, join

        /// The window kind as it stands in result ids.
        var name: String {
            switch self {
            case .event: "passthrough"
            case .tumbling: "tumbling"
            case .hopping: "hopping"
            case .sliding: "sliding"
            case .session: "session"
            case .snapshot: "snapshot"
            case .join: "join"
            }
        }
    }

    /// Ticks of 100 ns.
    var time: Int64
    var timeline: Int32 = 0
    var kind = Kind.event
    /// Rows that this row gave to outputs so far, so that each has its own name.
    var ordinal: UInt32 = 0
    /// Of the event, or of the one that came last.
    var device: UInt32 = 0
    var sequence: UInt64 = 0
    /// Of the window.
    var start: Int64 = 0
    var end: Int64 = 0
    /// The group's key; of a join the names of both rows.
    var key = UnsafeRawBufferPointer(start: nil, count: 0)

    init(time: Int64) { self.time = time }
}

/// A row in memory of its own: its context, and values with the bytes they point to, in one block.
///
/// Raw pointer: whoever holds the row frees it once. The values' pointers lead into the same block.
struct StoredRow {
    private struct Header {
        var context: RowContext
        var valueCount: Int
        var byteCount: Int
    }

    let block: UnsafeMutableRawPointer

    private static let valuesOffset = (MemoryLayout<Header>.size + 15) & ~15

    /// Copies slots of a frame.
    init(_ context: RowContext, _ frame: UnsafeMutablePointer<Datum>, slots: [Int]) {
        var byteCount = context.key.count
        for slot in slots where frame[slot].hasBytes { byteCount += Int(frame[slot].count) }
        let valuesBytes = slots.count * MemoryLayout<Datum>.stride
        block = .allocate(byteCount: Self.valuesOffset + valuesBytes + byteCount, alignment: 16)
        var at = block + Self.valuesOffset + valuesBytes
        var owned = context
        owned.key = Self.copy(context.key, &at)
        block.initializeMemory(
            as: Header.self, repeating: Header(context: owned, valueCount: slots.count, byteCount: byteCount),
            count: 1)
        let values = (block + Self.valuesOffset).bindMemory(to: Datum.self, capacity: max(slots.count, 1))
        for (index, slot) in slots.enumerated() {
            var value = frame[slot]
            if value.hasBytes {
                let bytes = Self.copy(value.bytes, &at)
                value.bits = UInt64(UInt(bitPattern: bytes.baseAddress))
            }
            values[index] = value
        }
    }

    private static func copy(
        _ bytes: UnsafeRawBufferPointer, _ at: inout UnsafeMutableRawPointer
    ) -> UnsafeRawBufferPointer {
        if let base = bytes.baseAddress { at.copyMemory(from: base, byteCount: bytes.count) }
        defer { at += bytes.count }
        return UnsafeRawBufferPointer(start: at, count: bytes.count)
    }

    func free() { block.deallocate() }

    private var header: UnsafeMutablePointer<Header> { block.assumingMemoryBound(to: Header.self) }

    var context: RowContext { header.pointee.context }
    var time: Int64 { header.pointee.context.time }
    var valueCount: Int { header.pointee.valueCount }
    var values: UnsafeMutablePointer<Datum> {
        (block + Self.valuesOffset).assumingMemoryBound(to: Datum.self)
    }

    /// Puts the values back into slots.
    func load(into frame: UnsafeMutablePointer<Datum>, slots: [Int]) {
        for (index, slot) in slots.enumerated() { frame[slot] = values[index] }
    }

    func write(to writer: inout StateWriter) {
        let context = context
        writer.put(context.time)
        writer.put(UInt32(bitPattern: context.timeline))
        writer.put(context.kind.rawValue)
        writer.put(context.ordinal)
        writer.put(context.device)
        writer.put(context.sequence)
        writer.put(context.start)
        writer.put(context.end)
        writer.put(context.key)
        writer.put(UInt32(valueCount))
        for index in 0..<valueCount { writer.put(values[index]) }
    }

    static func read(_ reader: inout StateReader) throws(CheckpointError) -> StoredRow {
        var context = RowContext(time: try reader.take(Int64.self))
        context.timeline = Int32(bitPattern: try reader.take(UInt32.self))
        guard let kind = RowContext.Kind(rawValue: try reader.take(UInt8.self)) else {
            throw .damaged(at: reader.at)
        }
        context.kind = kind
        context.ordinal = try reader.take(UInt32.self)
        context.device = try reader.take(UInt32.self)
        context.sequence = try reader.take(UInt64.self)
        context.start = try reader.take(Int64.self)
        context.end = try reader.take(Int64.self)
        context.key = try reader.takeBytes()
        let count = Int(try reader.take(UInt32.self))
        guard count <= 1 << 20 else { throw .damaged(at: reader.at) }
        var values: [Datum] = []
        for _ in 0..<count { values.append(try reader.takeDatum()) }
        let frame = UnsafeMutablePointer<Datum>.allocate(capacity: max(count, 1))
        defer { frame.deallocate() }
        for (index, value) in values.enumerated() { frame[index] = value }
        return StoredRow(context, frame, slots: Array(0..<count))
    }
}

// Values in checkpoints: kind, and what the kind has.
extension StateWriter {
    mutating func put(_ value: Datum) {
        put(value.kind.rawValue | (value.isCast ? 0x80 : 0))
        switch value.kind {
        case .null: break
        case .bit: put(UInt8(truncatingIfNeeded: value.bits))
        case .bigint, .float, .datetime: put(value.bits)
        case .text, .record, .array: put(value.bytes)
        }
    }
}

extension StateReader {
    /// The value's bytes stay those of the state.
    mutating func takeDatum() throws(CheckpointError) -> Datum {
        let tag = try take(UInt8.self)
        guard let kind = Datum.Kind(rawValue: tag & 0x7F) else { throw .damaged(at: at - 1) }
        var value: Datum
        switch kind {
        case .null: value = .null
        case .bit: value = Datum(try take(UInt8.self) != 0)
        case .bigint, .float, .datetime: value = Datum(bits: try take(UInt64.self), count: 0, kind: kind)
        case .text, .record, .array: value = Datum(kind, try takeBytes())
        }
        value.isCast = tag & 0x80 != 0
        return value
    }
}
