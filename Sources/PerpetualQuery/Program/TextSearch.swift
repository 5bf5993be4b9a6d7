import Telemetry

/// LIKE, PATINDEX, CHARINDEX, REGEXMATCH, REPLACE and TRANSLATE.
enum TextSearch {
    static func call(
        _ function: ScalarFunction, _ subject: UnsafeRawBufferPointer, _ arguments: Arguments,
        _ context: FunctionContext
    ) -> Datum {
        guard let second = TextFunctions.text(arguments[1], context) else { return .null }
        switch function {
        case .charIndex:
            // The text that is sought comes first.
            let characters = TextFunctions.Characters(second)
            let start = arguments.count > 2 ? Conversion.integer(of: arguments[2]) ?? 0 : 0
            let from = characters.offset(of: Int(min(max(start, 1) - 1, Int64(second.count))))
            guard !subject.isEmpty, let found = find(subject, in: second, from: from) else {
                return Datum(Int64(0))
            }
            return Datum(Int64(characters.character(at: found) + 1))
        case .patternIndex:
            guard let pattern = context.patterns.like(subject) else { return context.fail(.limit) }
            guard let place = pattern.firstPlace(in: second) else { return Datum(Int64(0)) }
            return Datum(Int64(place))
        case .regexMatch:
            guard let regex = context.patterns.regex(second) else { return Datum(Int64(0)) }
            guard let place = regex.firstPlace(in: subject) else { return context.fail(.limit) }
            return Datum(Int64(place))
        case .replace:
            guard let third = TextFunctions.text(arguments[2], context) else { return .null }
            return replace(subject, second, third, context)
        case .translate:
            guard let third = TextFunctions.text(arguments[2], context) else { return .null }
            return translate(subject, second, third, context)
        default: return context.fail(.argument)
        }
    }

    static func find(_ needle: UnsafeRawBufferPointer, in text: UnsafeRawBufferPointer, from: Int) -> Int? {
        guard let first = needle.first, text.count - from >= needle.count else { return nil }
        var at = from
        while at + needle.count <= text.count {
            if text[at] == first,
                Datum.order(UnsafeRawBufferPointer(rebasing: text[at..<(at + needle.count)]), needle) == 0
            {
                return at
            }
            at += 1
        }
        return nil
    }

    private static func replace(
        _ subject: UnsafeRawBufferPointer, _ needle: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer,
        _ context: FunctionContext
    ) -> Datum {
        var bytes: [UInt8] = []
        var from = 0
        while let found = find(needle, in: subject, from: from) {
            bytes.append(contentsOf: subject[from..<found])
            bytes.append(contentsOf: other)
            from = found + needle.count
            guard bytes.count <= context.textBytesMax else { return context.fail(.limit) }
        }
        if from == 0 { return Datum(.text, subject) }
        bytes.append(contentsOf: subject[from...])
        return context.arena.text(bytes)
    }

    private static func translate(
        _ subject: UnsafeRawBufferPointer, _ from: UnsafeRawBufferPointer, _ to: UnsafeRawBufferPointer,
        _ context: FunctionContext
    ) -> Datum {
        let sought = Array(String(decoding: from, as: UTF8.self).unicodeScalars)
        let given = Array(String(decoding: to, as: UTF8.self).unicodeScalars)
        guard sought.count == given.count else { return context.fail(.argument) }
        var result = String.UnicodeScalarView()
        for scalar in String(decoding: subject, as: UTF8.self).unicodeScalars {
            result.append(sought.firstIndex(of: scalar).map { given[$0] } ?? scalar)
        }
        return context.arena.text(Array(String(result).utf8))
    }
}

/// A LIKE pattern: `%` any characters, `_` one, `[a-z]` one of a set, `[^…]` one not of it.
struct LikePattern {
    private enum Piece {
        case one(Unicode.Scalar)
        case any
        case many
        case set([ClosedRange<UInt32>], isNegated: Bool)

        func matches(_ scalar: Unicode.Scalar) -> Bool {
            switch self {
            case .one(let other): scalar == other
            case .any: true
            case .many: false
            case .set(let ranges, let isNegated): ranges.contains { $0.contains(scalar.value) } != isNegated
            }
        }
    }

    private var pieces: [Piece] = []

    init(_ pattern: UnsafeRawBufferPointer) {
        let scalars = Array(String(decoding: pattern, as: UTF8.self).unicodeScalars)
        var at = 0
        while at < scalars.count {
            switch scalars[at] {
            case "%": pieces.append(.many)
            case "_": pieces.append(.any)
            case "[":
                if let end = scalars[(at + 1)...].dropFirst().firstIndex(of: "]") {
                    pieces.append(Self.set(scalars[(at + 1)..<end]))
                    at = end
                } else {
                    pieces.append(.one("["))
                }
            default: pieces.append(.one(scalars[at]))
            }
            at += 1
        }
    }

    private static func set(_ text: ArraySlice<Unicode.Scalar>) -> Piece {
        var text = text
        let isNegated = text.first == "^"
        if isNegated { text.removeFirst() }
        var ranges: [ClosedRange<UInt32>] = []
        while let low = text.popFirst() {
            if text.first == "-", text.count > 1 {
                text.removeFirst()
                let high = text.removeFirst()
                if low.value <= high.value { ranges.append(low.value...high.value) }
            } else {
                ranges.append(low.value...low.value)
            }
        }
        return .set(ranges, isNegated: isNegated)
    }

    func matches(_ text: UnsafeRawBufferPointer) -> Bool {
        matches(Array(String(decoding: text, as: UTF8.self).unicodeScalars)[...], from: 0)
    }

    /// Greedy with one point to come back to: linear but for the last `%`.
    private func matches(_ scalars: ArraySlice<Unicode.Scalar>, from first: Int) -> Bool {
        var at = scalars.startIndex
        var piece = first
        var back: (piece: Int, at: Int)?
        while at < scalars.endIndex {
            if piece < pieces.count {
                if case .many = pieces[piece] {
                    back = (piece + 1, at)
                    piece += 1
                    continue
                }
                if pieces[piece].matches(scalars[at]) {
                    piece += 1
                    at += 1
                    continue
                }
            }
            guard let last = back else { return false }
            back = (last.piece, last.at + 1)
            piece = last.piece
            at = last.at + 1
        }
        while piece < pieces.count, case .many = pieces[piece] { piece += 1 }
        return piece == pieces.count
    }

    /// The place, from 1, at which the pattern without its leading `%` begins; nil when it matches nowhere.
    func firstPlace(in text: UnsafeRawBufferPointer) -> Int? {
        let scalars = Array(String(decoding: text, as: UTF8.self).unicodeScalars)[...]
        guard case .many? = pieces.first else { return matches(scalars, from: 0) ? 1 : nil }
        // What stands before the next % has as many characters as pieces. Where it matches first decides: what comes
        // behind that % finds nothing in a shorter rest that it does not find here.
        let segment = pieces[1...].prefix { if case .many = $0 { false } else { true } }
        let last = scalars.count - segment.count
        guard last >= 0 else { return nil }
        let isLast = segment.endIndex == pieces.count
        for start in (isLast ? last : 0)...last
        where zip(segment, scalars[start...]).allSatisfy({ $0.matches($1) }) {
            return matches(scalars[start...], from: 1) ? start + 1 : nil
        }
        return nil
    }
}

/// Patterns once compiled. A query whose patterns come from data must not fill the memory: past the limit
/// all are forgotten and compiled again.
final class PatternCache {
    private static let patternsMax = 1_024
    private static let patternBytesMax = 8_000
    private var likes: [[UInt8]: LikePattern] = [:]
    private var regexes: [[UInt8]: RegexPattern?] = [:]

    /// nil: the pattern is longer than 8,000 bytes.
    func like(_ pattern: UnsafeRawBufferPointer) -> LikePattern? {
        guard pattern.count <= Self.patternBytesMax else { return nil }
        let key = Array(pattern)
        if let known = likes[key] { return known }
        if likes.count >= Self.patternsMax { likes.removeAll() }
        let made = LikePattern(pattern)
        likes[key] = made
        return made
    }

    /// nil: no regular expression.
    func regex(_ pattern: UnsafeRawBufferPointer) -> RegexPattern? {
        guard pattern.count <= Self.patternBytesMax else { return nil }
        let key = Array(pattern)
        if let known = regexes[key] { return known }
        if regexes.count >= Self.patternsMax { regexes.removeAll() }
        let made = RegexPattern(pattern)
        regexes[key] = made
        return made
    }
}
