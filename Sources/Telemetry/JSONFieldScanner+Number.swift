#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

extension JSONFieldScanner {
    /// A JSON number at `at`: an integer that fits stays one; everything else is the nearest double.
    mutating func number() -> JSONScalar? {
        let begin = at
        var negative = false
        if at < end, at.pointee == 0x2D {
            negative = true
            at += 1
        }
        guard at < end, isDigit(at.pointee) else { return nil }
        var mantissa: UInt64 = 0
        var digits = 0
        if at.pointee == 0x30 {
            at += 1
            if at < end, isDigit(at.pointee) { return nil }
        } else {
            digits = accumulateDigits(into: &mantissa)
        }
        let integerDigits = digits
        var exponent = 0
        var isInteger = true
        if at < end, at.pointee == 0x2E {
            isInteger = false
            at += 1
            guard at < end, isDigit(at.pointee) else { return nil }
            let count = accumulateDigits(into: &mantissa)
            exponent = -count
            // Leading zeros of 0.00x are no significant digits, but counting them only costs a slow path.
            digits += count
        }
        if at < end, at.pointee | 0x20 == 0x65 {
            isInteger = false
            guard let written = exponentPart() else { return nil }
            exponent += written
        }
        if isInteger, integerDigits <= 18 {
            return .bigint(negative ? -Int64(mantissa) : Int64(mantissa))
        }
        if isInteger, integerDigits <= 19, let exact = exactInteger(mantissa, negative) {
            return .bigint(exact)
        }
        // Both factors are exact doubles, so one rounding gives the nearest (Clinger's fast path).
        if digits <= 19, mantissa < 1 << 53, exponent >= -22, exponent <= 22 {
            let whole = Double(mantissa)
            let value =
                exponent < 0 ? whole / Self.powersOfTen[-exponent] : whole * Self.powersOfTen[exponent]
            return .float(negative ? -value : value)
        }
        return slowNumber(from: begin)
    }

    @inline(__always)
    private func isDigit(_ byte: UInt8) -> Bool { byte &- 48 < 10 }

    /// Reads digits; past 19 of them the mantissa is meaningless and the slow path decides.
    @inline(__always)
    private mutating func accumulateDigits(into mantissa: inout UInt64) -> Int {
        let begin = at
        // Eight digits at a time, as epoch times have them.
        while end - at >= 8 {
            let word = UInt64(littleEndian: UnsafeRawPointer(at).loadUnaligned(as: UInt64.self))
            let tens: UInt64 = 0xF0F0_F0F0_F0F0_F0F0
            let zeros: UInt64 = 0x3030_3030_3030_3030
            guard word & tens == zeros, (word &+ 0x0606_0606_0606_0606) & tens == zeros else { break }
            // Pairs, then fours, then all eight.
            let pairs = ((word ^ zeros) &* 10 &+ (word ^ zeros) >> 8) & 0x00FF_00FF_00FF_00FF
            let fours = (pairs &* 100 &+ pairs >> 16) & 0x0000_FFFF_0000_FFFF
            let eight = (fours &* 10_000 &+ fours >> 32) & 0xFFFF_FFFF
            mantissa = mantissa &* 100_000_000 &+ eight
            at += 8
        }
        while at < end, isDigit(at.pointee) {
            mantissa = mantissa &* 10 &+ UInt64(at.pointee &- 48)
            at += 1
        }
        return at - begin
    }

    private mutating func exponentPart() -> Int? {
        at += 1
        var negative = false
        if at < end, at.pointee == 0x2B || at.pointee == 0x2D {
            negative = at.pointee == 0x2D
            at += 1
        }
        guard at < end, isDigit(at.pointee) else { return nil }
        var value = 0
        while at < end, isDigit(at.pointee) {
            if value < 100_000 { value = value * 10 + Int(at.pointee - 48) }
            at += 1
        }
        return negative ? -value : value
    }

    private func exactInteger(_ magnitude: UInt64, _ negative: Bool) -> Int64? {
        // 19 digits always fit in 64 bits without a sign.
        if negative, magnitude == 1 << 63 { return Int64.min }
        guard magnitude < 1 << 63 else { return nil }
        return negative ? -Int64(magnitude) : Int64(magnitude)
    }

    /// The C library's correctly rounded conversion, for the rare number that needs it.
    private func slowNumber(from begin: UnsafePointer<UInt8>) -> JSONScalar? {
        let count = at - begin
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: count + 1) { text in
            for index in 0..<count { text[index] = CChar(bitPattern: begin[index]) }
            text[count] = 0
            guard let base = text.baseAddress else { return nil }
            let value = strtod(base, nil)
            return value.isFinite ? .float(value) : nil
        }
    }

    private static let powersOfTen: [Double] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
        1e18, 1e19, 1e20, 1e21, 1e22,
    ]
}
