/// A text that is not the quantity it should be. The message follows a place, and says what would be right.
package struct QuantityError: Error, Equatable, Sendable {
    package var message: String
}

/// Numbers that carry units: `5s`, `2%`, `50/s`, `40ppm`, `±15`, `1s..15s`, `1s ± 10%`.
///
/// Durations are whole milliseconds, proportions are 0 to 1, rates are per second. `+/-` is read as `±`.
/// Source: the format of the `devices/` folder.
package enum Quantity {
    /// The longest duration accepted: 3,650 days, so that sums of a few never overflow.
    package static let durationMillisecondsMax: Int64 = 3_650 * 86_400_000

    /// A plain decimal number: `21`, `-1.5`, `+0.8`, `1e3`. Never NaN or infinite.
    package static func number(_ text: String) throws(QuantityError) -> Double {
        guard let value = plainNumber(text) else {
            throw QuantityError(message: "\"\(text)\" is not a number")
        }
        return value
    }

    /// A proportion: `2%`, `40ppm`, or a plain number from 0 to 1.
    package static func proportion(_ text: String) throws(QuantityError) -> Double {
        let value: Double?
        if let digits = text.dropping(suffix: "%") {
            value = plainNumber(digits).map { $0 / 100 }
        } else if let digits = text.dropping(suffix: "ppm") {
            value = plainNumber(digits).map { $0 / 1_000_000 }
        } else {
            value = plainNumber(text)
        }
        guard let value, value >= 0, value <= 1 else {
            throw QuantityError(
                message: "\"\(text)\" is not a proportion from 0% to 100% (write 2%, 40ppm or 0.02)")
        }
        return value
    }

    /// A duration of zero or more: `250ms`, `5s`, `1.5m`, `2h`, `1d`, and sums such as `1m30s`.
    package static func duration(_ text: String) throws(QuantityError) -> Int64 {
        var total = 0.0
        var rest = Substring(trimmed(text))
        if rest.isEmpty { throw notADuration(text) }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            rest = rest.dropFirst(digits.count)
            let unit = rest.prefix { $0.isLetter }
            rest = rest.dropFirst(unit.count).drop { $0 == " " }
            guard let value = plainNumber(String(digits)) else { throw notADuration(text) }
            switch unit {
            case "ms": total += value
            case "s": total += value * 1_000
            case "m", "min": total += value * 60_000
            case "h": total += value * 3_600_000
            case "d": total += value * 86_400_000
            case "": throw QuantityError(message: "\"\(text)\" needs a unit: ms, s, m, h or d (such as 5s)")
            default: throw notADuration(text)
            }
        }
        guard total <= Double(durationMillisecondsMax) else {
            throw QuantityError(message: "\"\(text)\" is too long: at most 3650d")
        }
        return Int64(total.rounded())
    }

    /// One duration, `1s..15s`, `1s ± 10%` or `1s ± 100ms`, as its shortest and longest value in
    /// milliseconds.
    package static func durationRange(_ text: String) throws(QuantityError) -> ClosedRange<Int64> {
        let plain = unified(text)
        if let (low, high) = split(plain, at: "..") {
            return try ordered(try duration(low), try duration(high), text)
        }
        guard let (middle, width) = split(plain, at: "±") else {
            let single = try duration(plain)
            return single...single
        }
        if middle.isEmpty {
            throw QuantityError(message: "\"\(text)\" has no middle: write 1s ± 10% or 1s..15s")
        }
        let center = try duration(middle)
        let half: Int64
        if width.hasSuffix("%") {
            half = Int64((Double(center) * (try proportion(width))).rounded())
        } else {
            half = try duration(width)
        }
        guard half <= center else {
            throw QuantityError(message: "\"\(text)\" reaches below zero")
        }
        return (center - half)...(center + half)
    }

    /// One number, `10..20`, `20 ± 10%`, `20 ± 2` or `±15`, as its smallest and largest value.
    package static func numberRange(_ text: String) throws(QuantityError) -> ClosedRange<Double> {
        let plain = unified(text)
        if let (low, high) = split(plain, at: "..") {
            return try ordered(try number(low), try number(high), text)
        }
        guard let (middle, width) = split(plain, at: "±") else {
            let single = try number(plain)
            return single...single
        }
        let center = middle.isEmpty ? 0 : try number(middle)
        let half: Double
        if width.hasSuffix("%") {
            half = abs(center) * (try proportion(width))
        } else {
            half = try number(width)
        }
        guard half >= 0 else { throw QuantityError(message: "\"\(text)\" has a negative width after ±") }
        return (center - half)...(center + half)
    }

    /// A rate above zero: `50/s`, `3/m`, `100/h`, as a number per second.
    package static func rate(_ text: String) throws(QuantityError) -> Double {
        let seconds: [(String, Double)] = [("/s", 1), ("/m", 60), ("/min", 60), ("/h", 3_600)]
        for (suffix, length) in seconds {
            guard let digits = text.dropping(suffix: suffix) else { continue }
            if let value = plainNumber(digits), value > 0 { return value / length }
        }
        throw QuantityError(message: "\"\(text)\" is not a rate (write 50/s, 3/m or 100/h)")
    }

    /// A time of day, `15:00` or `15:00:30`, in milliseconds after midnight (UTC).
    package static func timeOfDay(_ text: String) throws(QuantityError) -> Int64 {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        var numbers: [Int64] = []
        for part in parts where part.count == 2 && part.allSatisfy({ $0.isASCII && $0.isNumber }) {
            numbers.append(Int64(part) ?? 99)
        }
        guard numbers.count == parts.count, numbers.count == 2 || numbers.count == 3, numbers[0] < 24,
            numbers[1] < 60, numbers.count == 2 || numbers[2] < 60
        else {
            throw QuantityError(message: "\"\(text)\" is not a time of day (write 15:00)")
        }
        return (numbers[0] * 3_600 + numbers[1] * 60 + (numbers.count == 3 ? numbers[2] : 0)) * 1_000
    }

    // MARK: the parts

    private static func plainNumber(_ text: String) -> Double? {
        let digits = trimmed(text)
        // `Double` also reads "nan", "inf" and hexadecimal; the format does not.
        guard digits.utf8.contains(where: { (0x30...0x39).contains($0) }),
            digits.utf8.allSatisfy({ (0x30...0x39).contains($0) || "+-.eE".utf8.contains($0) }),
            let value = Double(digits), value.isFinite
        else { return nil }
        return value
    }

    private static func notADuration(_ text: String) -> QuantityError {
        QuantityError(message: "\"\(text)\" is not a duration (write 250ms, 5s, 10m, 1h or 1d)")
    }

    private static func ordered<Bound: Comparable>(
        _ low: Bound, _ high: Bound, _ text: String
    ) throws(QuantityError) -> ClosedRange<Bound> {
        guard low <= high else {
            throw QuantityError(message: "\"\(text)\" is upside down: the smaller value comes first")
        }
        return low...high
    }

    private static func trimmed(_ text: String) -> String {
        var part = Substring(text)
        while part.first == " " { part.removeFirst() }
        while part.last == " " { part.removeLast() }
        return String(part)
    }

    private static func unified(_ text: String) -> String {
        guard let (left, right) = split(text, at: "+/-") else { return text }
        return left + "±" + right
    }

    /// The two sides of the first `separator`, trimmed.
    private static func split(_ text: String, at separator: String) -> (String, String)? {
        var index = text.startIndex
        while index < text.endIndex {
            if text[index...].hasPrefix(separator) {
                let after = text.index(index, offsetBy: separator.count)
                return (trimmed(String(text[..<index])), trimmed(String(text[after...])))
            }
            index = text.index(after: index)
        }
        return nil
    }
}

extension String {
    /// The text before `suffix`, or nil when it does not end so.
    fileprivate func dropping(suffix: String) -> String? {
        hasSuffix(suffix) ? String(dropLast(suffix.count)) : nil
    }
}
