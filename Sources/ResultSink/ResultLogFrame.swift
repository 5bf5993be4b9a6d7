import CChecksum
package import Telemetry

/// One committed entry of the result log.
package struct ResultLogEntry: Sendable, Equatable {
    package enum Kind: UInt8, Sendable {
        /// A result row.
        case row = 1
        /// A marker: no more rows of windows that end at or before `time` follow.
        case complete = 2
    }
    /// Where the entry begins: bytes of entries since the log began.
    package var position: UInt64
    /// Where the next one begins: a cursor that stands here is done with this entry.
    package var nextPosition: UInt64
    package var kind: Kind
    /// Rows in the log before this entry, since the log began.
    package var rowsBefore: UInt64
    /// The output's name; empty in a marker.
    package var output: String
    /// The row's id; zero in a marker.
    package var rid: ResultID
    /// The row's time, or what the marker completes.
    package var time: EventTime
    /// The topic the row is published to; empty when it has none.
    package var topic: String
    /// The row as one JSON object with `_rid`, no newline; empty in a marker.
    package var json: [UInt8]

    init(_ view: ResultEntryView) {
        position = view.position
        nextPosition = view.nextPosition
        kind = view.isRow ? .row : .complete
        rowsBefore = view.rowsBefore
        output = String(decoding: view.output, as: UTF8.self)
        rid = view.rid
        time = view.time
        topic = String(decoding: view.topic, as: UTF8.self)
        json = Array(view.json)
    }
}

/// An entry's bytes on disk; the layout is a table in ResultSink.docc/ResultLogFormat.md.
enum ResultLogFrame {
    static let headByteCount = 8
    static let fixedByteCount = 48

    /// Appends one frame that will stand at `position`.
    static func append(
        position: UInt64, kind: ResultLogEntry.Kind, rowsBefore: UInt64, output: [UInt8], rid: ResultID,
        time: EventTime, topic: [UInt8], json: [UInt8], to bytes: inout [UInt8]
    ) {
        precondition(output.count <= Int(UInt16.max), "an output name fits its length field")
        precondition(topic.count <= Int(UInt16.max), "a topic fits its length field")
        let start = bytes.count
        let bodyCount = fixedByteCount - headByteCount + output.count + topic.count + json.count
        withUnsafeTemporaryAllocation(byteCount: fixedByteCount, alignment: 8) { head in
            func put<Number: FixedWidthInteger>(_ value: Number, _ offset: Int) {
                head.storeBytes(of: value.littleEndian, toByteOffset: offset, as: Number.self)
            }
            put(UInt32(bodyCount), 0)
            put(UInt32(0), 4)
            put(UInt16(kind.rawValue), 8)
            put(UInt16(output.count), 10)
            put(UInt16(topic.count), 12)
            put(UInt16(0), 14)
            put(rowsBefore, 16)
            put(time.ticks, 24)
            put(rid.high, 32)
            put(rid.low, 40)
            bytes.append(contentsOf: head)
        }
        bytes.append(contentsOf: output)
        bytes.append(contentsOf: topic)
        bytes.append(contentsOf: json)
        bytes.withUnsafeMutableBytes {
            let frame = UnsafeMutableRawBufferPointer(rebasing: $0[start...])
            let crc = checksum(position: position, frame: UnsafeRawBufferPointer(frame))
            frame.storeBytes(of: crc.littleEndian, toByteOffset: 4, as: UInt32.self)
        }
    }

    enum Parsed {
        case frame(byteCount: Int)
        /// The buffer ends before the frame does; it needs this many bytes.
        case short(byteCount: Int)
        case damaged
    }

    /// Looks at the frame at the start of `bytes` and checks its CRC.
    static func check(_ bytes: UnsafeRawBufferPointer, position: UInt64, byteCountMax: Int) -> Parsed {
        guard bytes.count >= headByteCount else { return .short(byteCount: fixedByteCount) }
        let byteCount = Int(number(bytes, 0, UInt32.self)) + headByteCount
        guard byteCount >= fixedByteCount, byteCount <= byteCountMax else { return .damaged }
        guard bytes.count >= byteCount else { return .short(byteCount: byteCount) }
        let frame = UnsafeRawBufferPointer(rebasing: bytes[..<byteCount])
        guard checksum(position: position, frame: frame) == number(bytes, 4, UInt32.self) else {
            return .damaged
        }
        let names = Int(number(bytes, 10, UInt16.self)) + Int(number(bytes, 12, UInt16.self))
        guard ResultLogEntry.Kind(rawValue: bytes[8]) != nil, fixedByteCount + names <= byteCount else {
            return .damaged
        }
        return .frame(byteCount: byteCount)
    }

    /// The rows before the entry after this frame, which `check` has passed.
    static func rowsAfter(_ frame: UnsafeRawBufferPointer) -> UInt64 {
        number(frame, 16, UInt64.self) + (frame[8] == ResultLogEntry.Kind.row.rawValue ? 1 : 0)
    }

    /// The size of a frame that `check` has passed.
    static func byteCount(at offset: Int, in bytes: UnsafeRawBufferPointer) -> Int {
        Int(number(bytes, offset, UInt32.self)) + headByteCount
    }

    /// Whether a frame that `check` has passed is a row that is published.
    static func hasTopic(_ frame: UnsafeRawBufferPointer) -> Bool {
        number(frame, 12, UInt16.self) > 0 && frame[8] == ResultLogEntry.Kind.row.rawValue
    }

    /// The entry of a whole frame that `check` has passed, in place.
    static func view(_ frame: UnsafeRawBufferPointer, position: UInt64) -> ResultEntryView {
        let topicAt = fixedByteCount + Int(number(frame, 10, UInt16.self))
        let jsonAt = topicAt + Int(number(frame, 12, UInt16.self))
        return ResultEntryView(
            position: position, nextPosition: position + UInt64(frame.count),
            isRow: frame[8] == ResultLogEntry.Kind.row.rawValue, rowsBefore: number(frame, 16, UInt64.self),
            rid: ResultID(high: number(frame, 32, UInt64.self), low: number(frame, 40, UInt64.self)),
            time: EventTime(ticks: number(frame, 24, Int64.self)),
            output: UnsafeRawBufferPointer(rebasing: frame[fixedByteCount..<topicAt]),
            topic: UnsafeRawBufferPointer(rebasing: frame[topicAt..<jsonAt]),
            json: UnsafeRawBufferPointer(rebasing: frame[jsonAt...]))
    }

    /// CRC-32C over the position, the length and the body: a frame is valid in its own place only.
    private static func checksum(position: UInt64, frame: UnsafeRawBufferPointer) -> UInt32 {
        var crc = withUnsafeBytes(of: position.littleEndian) { headend_crc32c(0, $0.baseAddress, $0.count) }
        guard let base = frame.baseAddress else { return crc }
        crc = headend_crc32c(crc, base, 4)
        return headend_crc32c(crc, base + headByteCount, frame.count - headByteCount)
    }
}

/// Appends a little-endian number.
func put<Number: FixedWidthInteger>(_ value: Number, to bytes: inout [UInt8]) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
}

/// The little-endian number at an offset; the caller has checked the size.
func number<Number: FixedWidthInteger>(
    _ bytes: UnsafeRawBufferPointer, _ offset: Int, _ type: Number.Type
) -> Number {
    Number(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Number.self))
}
