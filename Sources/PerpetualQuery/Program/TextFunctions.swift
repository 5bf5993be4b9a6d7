import Telemetry

/// Functions of texts. A character is a Unicode scalar; positions count from 1.
enum TextFunctions {
    /// The scalars of UTF-8 as byte ranges, without decoding.
    struct Characters {
        let bytes: UnsafeRawBufferPointer
        let isASCII: Bool

        init(_ bytes: UnsafeRawBufferPointer) {
            self.bytes = bytes
            isASCII = bytes.allSatisfy { $0 < 0x80 }
        }

        var count: Int { isASCII ? bytes.count : bytes.reduce(0) { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) } }

        /// The byte at which a character stands; the end when there are fewer.
        func offset(of character: Int) -> Int {
            if character <= 0 { return 0 }
            if isASCII { return min(character, bytes.count) }
            var left = character
            for (index, byte) in bytes.enumerated() where byte & 0xC0 != 0x80 {
                if left == 0 { return index }
                left -= 1
            }
            return bytes.count
        }

        func slice(_ from: Int, _ to: Int) -> UnsafeRawBufferPointer {
            let start = offset(of: from)
            return UnsafeRawBufferPointer(rebasing: bytes[start..<max(start, offset(of: to))])
        }

        /// The number of the character that stands at a byte.
        func character(at offset: Int) -> Int {
            isASCII ? offset : bytes[..<offset].reduce(0) { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) }
        }
    }

    static func call(
        _ function: ScalarFunction, _ arguments: Arguments, _ context: FunctionContext
    ) -> Datum {
        switch function {
        case .concat: return concat(arguments, from: 0, separator: nil, context)
        case .concatWithSeparator:
            guard let separator = text(arguments[0], context) else { return .null }
            return concat(arguments, from: 1, separator: separator, context)
        case .character: return character(arguments[0], context)
        case .space:
            guard let count = Conversion.integer(of: arguments[0]) else { return context.fail(.argument) }
            return count < 0 ? .null : repeated([0x20][...], count, context)
        default: break
        }
        guard let subject = text(arguments[0], context) else { return .null }
        switch function {
        case .length:
            var end = subject.count
            while end > 0, subject[end - 1] == 0x20 { end -= 1 }
            return Datum(Int64(Characters(UnsafeRawBufferPointer(rebasing: subject[..<end])).count))
        case .lower: return folded(subject, isUpper: false, context)
        case .upper: return folded(subject, isUpper: true, context)
        case .trimStart: return Datum(.text, trimmed(subject, start: true, end: false))
        case .trimEnd: return Datum(.text, trimmed(subject, start: false, end: true))
        case .trim: return Datum(.text, trimmed(subject, start: true, end: true))
        case .reverse:
            let scalars = String(decoding: subject, as: UTF8.self).unicodeScalars.reversed()
            var reversed = String.UnicodeScalarView()
            reversed.append(contentsOf: scalars)
            return context.arena.text(Array(String(reversed).utf8))
        case .unicode:
            guard let first = String(decoding: subject, as: UTF8.self).unicodeScalars.first else {
                return .null
            }
            return Datum(Int64(first.value))
        case .left, .right, .substring, .stuff: return part(function, subject, arguments, context)
        case .replicate:
            guard let count = Conversion.integer(of: arguments[1]) else { return context.fail(.argument) }
            return count < 0 ? .null : repeated(Array(subject)[...], count, context)
        case .charIndex, .patternIndex, .regexMatch, .replace, .translate:
            return TextSearch.call(function, subject, arguments, context)
        default: return context.fail(.argument)
        }
    }

    /// The argument as text; nil, with the failure noted, when it has none.
    static func text(_ value: Datum, _ context: FunctionContext) -> UnsafeRawBufferPointer? {
        switch value.kind {
        case .text: return value.bytes
        case .null: return nil
        case .record, .array:
            _ = context.fail(.argument)
            return nil
        default:
            var bytes: [UInt8] = []
            Conversion.appendText(of: value, to: &bytes)
            return context.arena.copy(bytes)
        }
    }

    private static func concat(
        _ arguments: Arguments, from first: Int, separator: UnsafeRawBufferPointer?,
        _ context: FunctionContext
    ) -> Datum {
        var bytes: [UInt8] = []
        var isFirst = true
        for index in first..<arguments.count {
            let value = arguments[index]
            if value.isNull { continue }
            if !isFirst, let separator { bytes.append(contentsOf: separator) }
            isFirst = false
            Conversion.appendText(of: value, to: &bytes)
            guard bytes.count <= context.textBytesMax else { return context.fail(.limit) }
        }
        return context.arena.text(bytes)
    }

    private static func character(_ value: Datum, _ context: FunctionContext) -> Datum {
        guard let code = Conversion.integer(of: value) else { return context.fail(.argument) }
        guard code >= 0, code <= 0x10FFFF, let scalar = Unicode.Scalar(UInt32(code)) else { return .null }
        return context.arena.text(Array(String(scalar).utf8))
    }

    private static func repeated(
        _ piece: ArraySlice<UInt8>, _ count: Int64, _ context: FunctionContext
    ) -> Datum {
        let (size, overflow) = Int(count).multipliedReportingOverflow(by: piece.count)
        guard !overflow, size <= context.textBytesMax else { return context.fail(.limit) }
        let memory = context.arena.allocate(size)
        // Of nothing there may be more than anyone counts.
        for index in 0..<(piece.isEmpty ? 0 : Int(count)) {
            UnsafeMutableRawBufferPointer(rebasing: memory[(index * piece.count)...]).copyBytes(from: piece)
        }
        return Datum(.text, UnsafeRawBufferPointer(memory))
    }

    private static func folded(
        _ subject: UnsafeRawBufferPointer, isUpper: Bool, _ context: FunctionContext
    ) -> Datum {
        if Characters(subject).isASCII {
            let memory = context.arena.allocate(subject.count)
            for (index, byte) in subject.enumerated() {
                let isLetter = isUpper ? (0x61...0x7A).contains(byte) : (0x41...0x5A).contains(byte)
                memory[index] = isLetter ? byte ^ 0x20 : byte
            }
            return Datum(.text, UnsafeRawBufferPointer(memory))
        }
        let text = String(decoding: subject, as: UTF8.self)
        return context.arena.text(Array((isUpper ? text.uppercased() : text.lowercased()).utf8))
    }

    /// White space as Unicode has it, and the control characters that separate.
    private static func trimmed(
        _ subject: UnsafeRawBufferPointer, start: Bool, end: Bool
    ) -> UnsafeRawBufferPointer {
        let scalars = String(decoding: subject, as: UTF8.self).unicodeScalars
        var from = 0
        var to = subject.count
        if start { for scalar in scalars.prefix(while: isSpace) { from += UTF8.width(scalar) } }
        if end, from < to {
            for scalar in scalars.reversed().prefix(while: isSpace) { to -= UTF8.width(scalar) }
        }
        return UnsafeRawBufferPointer(rebasing: subject[from..<max(from, to)])
    }

    private static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09...0x0D, 0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000:
            true
        default: false
        }
    }

    private static func part(
        _ function: ScalarFunction, _ subject: UnsafeRawBufferPointer, _ arguments: Arguments,
        _ context: FunctionContext
    ) -> Datum {
        guard let first = Conversion.integer(of: arguments[1]) else { return context.fail(.argument) }
        let characters = Characters(subject)
        let limit = Int64(subject.count)
        switch function {
        case .left:
            guard first >= 0 else { return context.fail(.argument) }
            return Datum(.text, characters.slice(0, Int(min(first, limit))))
        case .right:
            guard first >= 0 else { return context.fail(.argument) }
            let count = characters.count
            return Datum(.text, characters.slice(count - Int(min(first, Int64(count))), count))
        default: break
        }
        guard let length = Conversion.integer(of: arguments[2]), length >= 0 else {
            return context.fail(.argument)
        }
        // A start before the first character shortens the length by what lies before.
        let before = first == Int64.min ? first : first - 1
        let start = max(before, 0)
        let (sum, isPast) = before.addingReportingOverflow(length)
        let end = min(max(isPast ? Int64.max : sum, start), limit + 1)
        if function == .substring { return Datum(.text, characters.slice(Int(min(start, limit)), Int(end))) }
        guard start < Int64(characters.count), let insert = text(arguments[3], context) else {
            return arguments[3].isNull ? .null : context.arena.text([])
        }
        let head = characters.slice(0, Int(start))
        let tail = characters.slice(Int(end), Int(limit))
        return context.arena.text(Array(head) + Array(insert) + Array(tail))
    }
}
