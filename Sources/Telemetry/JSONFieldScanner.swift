/// A top-level value of a JSON object, as the scanner hands it out: borrowed bytes, valid during the
/// callback.
package enum JSONScalar {
    case bigint(Int64)
    case float(Double)
    /// The bytes between the quotes; when `hasEscapes`, `JSONString.decode` gives the text.
    case text(UnsafeRawBufferPointer, hasEscapes: Bool)
    case boolean(Bool)
    case null
    /// An object or array, its brackets included.
    case nested(UnsafeRawBufferPointer)
}

/// A strict, validating JSON scanner (RFC 8259) that allocates nothing and builds no tree: it walks the bytes
/// once and hands out the top-level fields of an object.
///
/// Strict means: UTF-8 only, no comments, no trailing commas, no leading zeros, no raw control characters,
/// one value and nothing behind it. Nesting is limited to `depthMax`. The tests hold it against
/// Foundation's parser.
package struct JSONFieldScanner {
    /// Objects and arrays in each other; deeper input counts as not JSON, so that the stack is bounded.
    package static let depthMax = 128

    @usableFromInline let start: UnsafePointer<UInt8>
    @usableFromInline let end: UnsafePointer<UInt8>
    @usableFromInline var at: UnsafePointer<UInt8>

    /// Calls `body` for each field of the payload's top-level object, in order; a name may come twice.
    ///
    /// - Returns: false when the payload is not JSON (fields already handed out are then void). A payload
    ///   that is JSON but not an object is true without fields.
    package static func forEachTopLevelField(
        _ payload: UnsafeRawBufferPointer,
        _ body: (_ name: UnsafeRawBufferPointer, _ value: JSONScalar) -> Void
    ) -> Bool {
        guard let base = payload.baseAddress, payload.count > 0 else { return false }
        let start = base.assumingMemoryBound(to: UInt8.self)
        var scanner = JSONFieldScanner(start: start, end: start + payload.count, at: start)
        scanner.skipSpace()
        guard scanner.at < scanner.end else { return false }
        if scanner.at.pointee == 0x7B {
            guard scanner.topLevelObject(body) else { return false }
        } else {
            guard scanner.skipValue(depth: 0) else { return false }
        }
        scanner.skipSpace()
        return scanner.at == scanner.end
    }

    /// Calls `body` for each element of a JSON array, in order, until it returns false.
    ///
    /// - Returns: false when the bytes are not a JSON array (elements already handed out are then void).
    package static func forEachElement(
        _ array: UnsafeRawBufferPointer, _ body: (_ index: Int, _ value: JSONScalar) -> Bool
    ) -> Bool {
        guard let base = array.baseAddress, array.count > 0 else { return false }
        let start = base.assumingMemoryBound(to: UInt8.self)
        var scanner = JSONFieldScanner(start: start, end: start + array.count, at: start)
        scanner.skipSpace()
        guard scanner.at < scanner.end, scanner.at.pointee == 0x5B else { return false }
        scanner.at += 1
        scanner.skipSpace()
        var index = 0
        guard scanner.at < scanner.end else { return false }
        if scanner.at.pointee == 0x5D { return true }
        while let value = scanner.topLevelValue() {
            guard body(index, value) else { return true }
            index += 1
            scanner.skipSpace()
            guard scanner.at < scanner.end else { return false }
            if scanner.at.pointee == 0x5D { return true }
            guard scanner.at.pointee == 0x2C else { return false }
            scanner.at += 1
            scanner.skipSpace()
        }
        return false
    }

    /// The one value that a text is; nil when it is not JSON.
    package static func value(of text: UnsafeRawBufferPointer) -> JSONScalar? {
        guard let base = text.baseAddress, text.count > 0 else { return nil }
        let start = base.assumingMemoryBound(to: UInt8.self)
        var scanner = JSONFieldScanner(start: start, end: start + text.count, at: start)
        scanner.skipSpace()
        guard let value = scanner.topLevelValue() else { return nil }
        scanner.skipSpace()
        return scanner.at == scanner.end ? value : nil
    }

    private init(start: UnsafePointer<UInt8>, end: UnsafePointer<UInt8>, at: UnsafePointer<UInt8>) {
        self.start = start
        self.end = end
        self.at = at
    }

    private mutating func topLevelObject(
        _ body: (_ name: UnsafeRawBufferPointer, _ value: JSONScalar) -> Void
    ) -> Bool {
        at += 1
        skipSpace()
        if at < end, at.pointee == 0x7D {
            at += 1
            return true
        }
        while true {
            guard at < end, at.pointee == 0x22 else { return false }
            let nameStart = at + 1
            var escaped = false
            guard skipString(escaped: &escaped) else { return false }
            let name = UnsafeRawBufferPointer(start: nameStart, count: at - nameStart - 1)
            skipSpace()
            guard at < end, at.pointee == 0x3A else { return false }
            at += 1
            skipSpace()
            guard let value = topLevelValue() else { return false }
            body(name, value)
            skipSpace()
            guard at < end else { return false }
            if at.pointee == 0x2C {
                at += 1
                skipSpace()
                continue
            }
            guard at.pointee == 0x7D else { return false }
            at += 1
            return true
        }
    }

    private mutating func topLevelValue() -> JSONScalar? {
        guard at < end else { return nil }
        switch at.pointee {
        case 0x22:
            let textStart = at + 1
            var escaped = false
            guard skipString(escaped: &escaped) else { return nil }
            return .text(
                UnsafeRawBufferPointer(start: textStart, count: at - textStart - 1), hasEscapes: escaped)
        case 0x7B, 0x5B:
            let nestedStart = at
            guard skipValue(depth: 1) else { return nil }
            return .nested(UnsafeRawBufferPointer(start: nestedStart, count: at - nestedStart))
        case 0x74: return skipWord("true") ? .boolean(true) : nil
        case 0x66: return skipWord("false") ? .boolean(false) : nil
        case 0x6E: return skipWord("null") ? .null : nil
        default: return number()
        }
    }

    @inline(__always)
    private mutating func skipSpace() {
        while at < end {
            let byte = at.pointee
            guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return }
            at += 1
        }
    }

    private mutating func skipWord(_ word: StaticString) -> Bool {
        let count = word.utf8CodeUnitCount
        guard end - at >= count else { return false }
        for index in 0..<count where at[index] != word.utf8Start[index] { return false }
        at += count
        return true
    }

    /// `at` stands on the opening quote; afterwards behind the closing one.
    @inline(__always)
    private mutating func skipString(escaped: inout Bool) -> Bool {
        at += 1
        while true {
            // Eight bytes at a time while none is a quote, a backslash, a control character or above ASCII.
            while end - at >= 8 {
                let word = UnsafeRawPointer(at).loadUnaligned(as: UInt64.self)
                let ones: UInt64 = 0x0101_0101_0101_0101
                let tops: UInt64 = 0x8080_8080_8080_8080
                let quote = word ^ (ones &* 0x22)
                let slash = word ^ (ones &* 0x5C)
                let stop =
                    ((quote &- ones) & ~quote) | ((slash &- ones) & ~slash)
                    | ((word &- ones &* 0x20) & ~word) | word
                let hits = stop & tops
                if hits == 0 {
                    at += 8
                    continue
                }
                at += hits.trailingZeroBitCount >> 3
                break
            }
            guard at < end else { return false }
            let byte = at.pointee
            switch byte {
            case 0x22:
                at += 1
                return true
            case 0x5C:
                escaped = true
                guard skipEscape() else { return false }
            case 0..<0x20: return false
            case 0x80...: guard skipUTF8Sequence() else { return false }
            default: at += 1
            }
        }
    }

    private mutating func skipEscape() -> Bool {
        guard end - at >= 2 else { return false }
        switch at[1] {
        case 0x22, 0x5C, 0x2F, 0x62, 0x66, 0x6E, 0x72, 0x74:
            at += 2
            return true
        case 0x75:
            guard let unit = hexUnit(at + 2) else { return false }
            at += 6
            if unit & 0xFC00 == 0xD800 {
                // A high surrogate needs its low one, or the string is no Unicode text.
                guard end - at >= 2, at[0] == 0x5C, at[1] == 0x75, let low = hexUnit(at + 2),
                    low & 0xFC00 == 0xDC00
                else { return false }
                at += 6
                return true
            }
            return unit & 0xFC00 != 0xDC00
        default: return false
        }
    }

    private func hexUnit(_ digits: UnsafePointer<UInt8>) -> UInt16? {
        guard end - digits >= 4 else { return nil }
        var unit: UInt16 = 0
        for index in 0..<4 {
            guard let digit = JSONString.hexDigit(digits[index]) else { return nil }
            unit = unit << 4 | UInt16(digit)
        }
        return unit
    }

    /// One multi-byte UTF-8 sequence (RFC 3629): no overlong forms, no surrogates, up to U+10FFFF.
    private mutating func skipUTF8Sequence() -> Bool {
        let lead = at[0]
        let left = end - at
        func continues(_ index: Int) -> Bool { at[index] & 0xC0 == 0x80 }
        switch lead {
        case 0xC2...0xDF:
            guard left >= 2, continues(1) else { return false }
            at += 2
        case 0xE0...0xEF:
            guard left >= 3, continues(1), continues(2) else { return false }
            if lead == 0xE0, at[1] < 0xA0 { return false }
            if lead == 0xED, at[1] > 0x9F { return false }
            at += 3
        case 0xF0...0xF4:
            guard left >= 4, continues(1), continues(2), continues(3) else { return false }
            if lead == 0xF0, at[1] < 0x90 { return false }
            if lead == 0xF4, at[1] > 0x8F { return false }
            at += 4
        default: return false
        }
        return true
    }

    /// Skips any value, validating it.
    private mutating func skipValue(depth: Int) -> Bool {
        guard at < end, depth < Self.depthMax else { return false }
        switch at.pointee {
        case 0x22:
            var escaped = false
            return skipString(escaped: &escaped)
        case 0x7B: return skipContainer(close: 0x7D, named: true, depth: depth)
        case 0x5B: return skipContainer(close: 0x5D, named: false, depth: depth)
        case 0x74: return skipWord("true")
        case 0x66: return skipWord("false")
        case 0x6E: return skipWord("null")
        default: return number() != nil
        }
    }

    private mutating func skipContainer(close: UInt8, named: Bool, depth: Int) -> Bool {
        at += 1
        skipSpace()
        if at < end, at.pointee == close {
            at += 1
            return true
        }
        while true {
            if named {
                var escaped = false
                guard at < end, at.pointee == 0x22, skipString(escaped: &escaped) else { return false }
                skipSpace()
                guard at < end, at.pointee == 0x3A else { return false }
                at += 1
                skipSpace()
            }
            guard skipValue(depth: depth + 1) else { return false }
            skipSpace()
            guard at < end else { return false }
            if at.pointee == close {
                at += 1
                return true
            }
            guard at.pointee == 0x2C else { return false }
            at += 1
            skipSpace()
        }
    }
}
