import Telemetry

/// Values as bytes whose order, byte by byte, is the order of the values, so that one comparison of memory
/// sorts and finds groups: NULL, then bits, numbers, times, texts, records, arrays.
///
/// A float that is a whole number has the form of the bigint: the two are one group.
enum GroupKey {
    /// Bytes that any value but a text, record or array takes.
    static let fixedBytesMax = 17

    /// Appends one value.
    @inline(__always)
    static func append(_ datum: Datum, to key: inout KeyBuffer) {
        switch datum.kind {
        case .null: key.append(0)
        case .bit:
            key.append(1)
            key.append(UInt8(truncatingIfNeeded: datum.bits))
        case .bigint:
            appendNumber(Double(datum.integer), exact: datum.integer, to: &key)
        case .float:
            let value = datum.double
            if value == value.rounded(.towardZero), value >= -0x1p63, value < 0x1p63 {
                appendNumber(value, exact: Int64(value), to: &key)
            } else {
                appendNumber(value, exact: nil, to: &key)
            }
        case .datetime:
            key.append(3)
            key.append(bigEndian: datum.bits ^ (1 << 63))
        case .text: appendBytes(4, datum.bytes, to: &key)
        case .record: appendBytes(5, datum.bytes, to: &key)
        case .array: appendBytes(6, datum.bytes, to: &key)
        }
    }

    /// Appends a value in a form that all values have in common that compare as equal: a text that is read as
    /// a number or a time beside one has the form of that, a bit that of 0 or 1. Two texts with the same form
    /// may still differ, which who looks up by it has to see for itself.
    static func appendForJoin(_ datum: Datum, to key: inout KeyBuffer) {
        switch datum.kind {
        case .bit: append(Datum(Int64(datum.bits)), to: &key)
        case .text:
            // Numbers and times begin with a digit, a sign, a point or a blank.
            if let first = datum.bytes.first, first >= 0x3A {
                append(datum, to: &key)
            } else if let number = Conversion.number(of: datum.bytes) {
                append(number, to: &key)
            } else if let time = EventTime.parse(iso8601: datum.bytes) {
                append(Datum(ticks: time.ticks), to: &key)
            } else {
                append(datum, to: &key)
            }
        default: append(datum, to: &key)
        }
    }

    private static func appendNumber(_ value: Double, exact: Int64?, to key: inout KeyBuffer) {
        key.append(2)
        // A negative double's order is turned by flipping all its bits, a positive one's by its sign.
        let pattern = (value == 0 ? 0.0 : value).bitPattern
        key.append(bigEndian: pattern >> 63 == 1 ? ~pattern : pattern | 1 << 63)
        // Below: a float of its own. Above: the bigint itself, which also orders those that share a double.
        key.append(bigEndian: exact.map { UInt64(bitPattern: $0) ^ (1 << 63) } ?? UInt64.max)
        key.append(exact == nil ? 1 : 0)
    }

    /// Bytes end with 0; a 0 inside is followed by 255.
    private static func appendBytes(_ tag: UInt8, _ bytes: UnsafeRawBufferPointer, to key: inout KeyBuffer) {
        key.append(tag)
        key.append(bytes)
        key.append(0)
    }

    /// Reads the values of a key back.
    ///
    /// - Parameters:
    ///   - arena: gets texts that hold a 0 byte; all others stay where they are.
    ///   - body: gets each value, in order.
    static func forEach(
        in key: UnsafeRawBufferPointer, arena: ByteArena, _ body: (Int, Datum) -> Void
    ) {
        var at = 0
        var index = 0
        func word(_ offset: Int) -> UInt64 {
            UInt64(bigEndian: key.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        }
        while at < key.count {
            let tag = key[at]
            at += 1
            switch tag {
            case 1:
                body(index, Datum(key[at] != 0))
                at += 1
            case 2:
                if key[at + 16] == 0 {
                    body(index, Datum(Int64(bitPattern: word(at + 8) ^ (1 << 63))))
                } else {
                    let stored = word(at)
                    body(index, Datum(Double(bitPattern: stored >> 63 == 1 ? stored & ~(1 << 63) : ~stored)))
                }
                at += 17
            case 3:
                body(index, Datum(ticks: Int64(bitPattern: word(at) ^ (1 << 63))))
                at += 8
            case 4, 5, 6:
                let kind: Datum.Kind = tag == 4 ? .text : tag == 5 ? .record : .array
                body(index, Datum(kind, takeBytes(key, &at, arena)))
            default: body(index, .null)
            }
            index += 1
        }
    }

    private static func takeBytes(
        _ key: UnsafeRawBufferPointer, _ at: inout Int, _ arena: ByteArena
    ) -> UnsafeRawBufferPointer {
        let from = at
        var zeros = 0
        while at < key.count {
            if key[at] == 0 {
                if at + 1 < key.count, key[at + 1] == 255 {
                    zeros += 1
                    at += 2
                    continue
                }
                break
            }
            at += 1
        }
        let raw = UnsafeRawBufferPointer(rebasing: key[from..<at])
        at += 1
        if zeros == 0 { return raw }
        let text = arena.allocate(raw.count - zeros)
        var to = 0
        var index = 0
        while index < raw.count {
            text[to] = raw[index]
            index += raw[index] == 0 ? 2 : 1
            to += 1
        }
        return UnsafeRawBufferPointer(text)
    }

    /// Whether two keys, or other short bytes, are the same.
    @inline(__always)
    static func areEqual(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        guard left.count == right.count else { return false }
        guard let a = left.baseAddress, let b = right.baseAddress else { return true }
        let count = right.count
        var at = 0
        while at + 8 <= count {
            if a.loadUnaligned(fromByteOffset: at, as: UInt64.self)
                != b.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            {
                return false
            }
            at += 8
        }
        if at == count { return true }
        if count >= 8 {
            // The last eight, of which some were seen.
            return a.loadUnaligned(fromByteOffset: count - 8, as: UInt64.self)
                == b.loadUnaligned(fromByteOffset: count - 8, as: UInt64.self)
        }
        if count >= 4 {
            return a.loadUnaligned(as: UInt32.self) == b.loadUnaligned(as: UInt32.self)
                && a.loadUnaligned(fromByteOffset: count - 4, as: UInt32.self)
                    == b.loadUnaligned(fromByteOffset: count - 4, as: UInt32.self)
        }
        while at < count {
            if a.load(fromByteOffset: at, as: UInt8.self) != b.load(fromByteOffset: at, as: UInt8.self) {
                return false
            }
            at += 1
        }
        return true
    }

    /// Eight bytes a step, multiplied by a secret factor to 128 bits and folded, so that who does not know the key
    /// cannot choose bytes that collide (the construction of wyhash and foldhash).
    @inline(__always)
    static func hash(_ bytes: UnsafeRawBufferPointer, _ hashKey: UInt64) -> UInt64 {
        let factor = hashKey | 1
        var hash = UInt64(truncatingIfNeeded: bytes.count) ^ hashKey.byteSwapped
        guard let base = bytes.baseAddress else { return hash }
        var at = 0
        while at + 8 <= bytes.count {
            hash = fold(hash ^ base.loadUnaligned(fromByteOffset: at, as: UInt64.self), factor)
            at += 8
        }
        var tail: UInt64 = 0
        while at < bytes.count {
            tail = tail << 8 | UInt64(base.load(fromByteOffset: at, as: UInt8.self))
            at += 1
        }
        return fold(fold(hash ^ tail, factor), 0xD6E8_FEB8_6659_FD93)
    }

    @inline(__always)
    private static func fold(_ value: UInt64, _ factor: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: factor)
        return product.high ^ product.low
    }
}

/// A growing buffer for the key in hand, used again for every row.
///
/// Raw pointer: the struct's owner calls `deallocate` once; nothing else keeps the pointer.
struct KeyBuffer {
    private var memory: UnsafeMutableRawPointer
    private var capacity: Int
    private(set) var count = 0

    init() {
        capacity = 256
        memory = .allocate(byteCount: capacity, alignment: 8)
    }

    func deallocate() { memory.deallocate() }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: memory, count: count) }

    @inline(__always) mutating func removeAll() { count = 0 }

    @inline(__always)
    mutating func append(_ byte: UInt8) {
        if count == capacity { grow(1) }
        memory.storeBytes(of: byte, toByteOffset: count, as: UInt8.self)
        count += 1
    }

    @inline(__always)
    mutating func append(bigEndian word: UInt64) {
        if capacity - count < 8 { grow(8) }
        memory.storeBytes(of: word.bigEndian, toByteOffset: count, as: UInt64.self)
        count += 8
    }

    /// Appends bytes with each 0 followed by 255.
    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        if capacity - count < bytes.count { grow(bytes.count) }
        guard let base = bytes.baseAddress, bytes.count > 0 else { return }
        var hasZero = false
        var at = 0
        while at + 8 <= bytes.count {
            let word = base.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            (memory + count).storeBytes(of: word, toByteOffset: at, as: UInt64.self)
            hasZero = hasZero || (word &- 0x0101_0101_0101_0101) & ~word & 0x8080_8080_8080_8080 != 0
            at += 8
        }
        while at < bytes.count {
            let byte = base.load(fromByteOffset: at, as: UInt8.self)
            (memory + count).storeBytes(of: byte, toByteOffset: at, as: UInt8.self)
            hasZero = hasZero || byte == 0
            at += 1
        }
        if !hasZero {
            count += bytes.count
            return
        }
        for byte in bytes {
            append(byte)
            if byte == 0 { append(255) }
        }
    }

    @inline(never)
    private mutating func grow(_ more: Int) {
        var larger = capacity * 2
        while larger < count + more { larger *= 2 }
        let copy = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 8)
        copy.copyMemory(from: memory, byteCount: count)
        memory.deallocate()
        memory = copy
        capacity = larger
    }
}
