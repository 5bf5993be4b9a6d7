package import Platform
import Telemetry

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// The events of a file, one after the other, without holding the file in memory: JSON lines, a JSON array,
/// or CSV with a header line. The name's end says which: `.csv`, else JSON.
///
/// Not thread-safe. Raw pointer: the file owns its buffer and frees it in deinit; an event's bytes are
/// valid until the next call.
package final class EventFile {
    /// A longer line is refused: it is no event.
    static let lineBytesMax = 16 << 20
    private static let chunkBytes = 1 << 20

    package let path: String
    /// Lines taken so far; of an array, elements.
    @exclusivity(unchecked) package private(set) var number = 0
    /// Values come as text.
    package let isText: Bool
    let file: any StoredFile
    /// Behind what was read into the buffer.
    @exclusivity(unchecked) private var offset: UInt64 = 0
    /// Where the text begins: behind a byte order mark.
    private let textStart: UInt64
    @exclusivity(unchecked) private var buffer: UnsafeMutableRawBufferPointer
    @exclusivity(unchecked) private var from = 0
    @exclusivity(unchecked) private var to = 0
    @exclusivity(unchecked) private var isAtEnd = false
    private var header: [String]?
    private var record: [UInt8] = []
    /// The elements of a JSON array, as ranges of the buffer.
    @exclusivity(unchecked) private var elements: [Range<Int>]?
    /// Where reading stood before the event that was taken last.
    @exclusivity(unchecked) private var offsetBefore: UInt64
    @exclusivity(unchecked) private var numberBefore = 0
    /// The line taken last had no end: the file ended there.
    @exclusivity(unchecked) private var isLineOpen = false

    /// - Throws: when the file is missing or cannot be read.
    package init(path: String, files: any FileStore) throws(ReplayError) {
        self.path = path
        isText = path.lowercased().hasSuffix(".csv")
        let opened: any StoredFile
        do throws(FileError) {
            opened = try files.open(path, writable: false)
        } catch {
            throw ReplayError(.environment, error.description)
        }
        do throws(ReplayError) {
            textStart = try FileBeginning.check(opened, path: path, isCSV: isText)
        } catch {
            opened.close()
            throw error
        }
        offset = textStart
        offsetBefore = textStart
        file = opened
        buffer = .allocate(byteCount: Self.chunkBytes, alignment: 16)
    }

    deinit {
        file.close()
        buffer.deallocate()
        csvBuffer.deallocate()
    }

    /// `file:line`, for messages.
    package var place: String { "\(path):\(number)" }

    /// The next event; nil at the end. Empty lines are passed over.
    package func next() throws(ReplayError) -> UnsafeRawBufferPointer? {
        offsetBefore = offset - UInt64(to - from)
        numberBefore = number
        if number == 0, elements == nil, !isText { try lookForArray() }
        if elements != nil { return nextElement() }
        while let line = try nextLine() {
            if Self.isBlank(line) { continue }
            if !isText { return line }
            if header == nil {
                header = try names(line)
                continue
            }
            return try csvRecord(line)
        }
        return nil
    }

    @inline(__always)
    private static func isBlank(_ line: UnsafeRawBufferPointer) -> Bool {
        for byte in line where byte != 0x20 && byte != 0x09 && byte != 0x0D { return false }
        return true
    }

    private func nextLine() throws(ReplayError) -> UnsafeRawBufferPointer? {
        while true {
            if let end = newline() {
                let line = UnsafeRawBufferPointer(rebasing: buffer[from..<end])
                from = end + 1
                number += 1
                return line
            }
            if isAtEnd {
                guard from < to else { return nil }
                let line = UnsafeRawBufferPointer(rebasing: buffer[from..<to])
                from = to
                number += 1
                isLineOpen = true
                return line
            }
            try fill()
        }
    }

    private func newline() -> Int? {
        guard from < to, let base = buffer.baseAddress else { return nil }
        return memchr(base + from, 0x0A, to - from).map { UnsafeRawPointer($0) - UnsafeRawPointer(base) }
    }

    /// Moves what is left to the front and reads more behind it.
    private func fill() throws(ReplayError) {
        if from > 0 {
            let rest = UnsafeRawBufferPointer(rebasing: buffer[from..<to])
            buffer.copyMemory(from: rest)
            to -= from
            from = 0
        }
        if to == buffer.count {
            guard buffer.count < Self.lineBytesMax else {
                throw ReplayError(
                    .input, "\(path):\(number + 1): the line is over 16 MiB; events are one a line")
            }
            let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: buffer.count * 2, alignment: 16)
            larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[..<to]))
            buffer.deallocate()
            buffer = larger
        }
        do throws(FileError) {
            let count = try file.read(
                into: UnsafeMutableRawBufferPointer(rebasing: buffer[to...]), at: offset)
            offset += UInt64(count)
            to += count
            if count == 0 { isAtEnd = true }
        } catch {
            throw ReplayError(.environment, error.description)
        }
    }

    // MARK: Going on

    /// Where reading stands: the next event is behind it.
    var position: EventPosition {
        guard let elements else {
            return EventPosition(
                offset: offset - UInt64(to - from), number: number, isArray: false, isLineOpen: isLineOpen)
        }
        return EventPosition(
            offset: end(ofElement: number, elements), number: number, isArray: true, isLineOpen: false)
    }

    /// As `position` was before the event that was taken last.
    var positionBefore: EventPosition {
        if let elements {
            return EventPosition(
                offset: end(ofElement: numberBefore, elements), number: numberBefore, isArray: true,
                isLineOpen: false)
        }
        return EventPosition(
            offset: offsetBefore, number: numberBefore, isArray: false, isLineOpen: false)
    }

    /// Goes on where reading stood in this file before, or in one with more behind it. Nothing was taken yet.
    ///
    /// - Throws: when the file does not have that place.
    func resume(at position: EventPosition) throws(ReplayError) {
        if position.isArray {
            try lookForArray()
            guard let elements, position.number <= elements.count,
                end(ofElement: position.number, elements) == position.offset
            else { throw ReplayError(.input, "\(path): it is no longer the array that it was") }
            number = position.number
            return
        }
        while isText, header == nil, number < position.number, let line = try nextLine() {
            if !Self.isBlank(line) { header = try names(line) }
        }
        offset = position.offset
        from = 0
        to = 0
        isAtEnd = false
        number = position.number
        isLineOpen = false
        if position.isLineOpen { try passLineEnd() }
    }

    /// What came behind a line that had no end must be its end.
    private func passLineEnd() throws(ReplayError) {
        while to < 2, !isAtEnd { try fill() }
        let bytes = buffer[..<min(to, 2)]
        if bytes.isEmpty {
            isLineOpen = true
        } else if bytes.first == 0x0A {
            from = 1
        } else if bytes.elementsEqual([0x0D, 0x0A]) {
            from = 2
        } else {
            throw ReplayError(.input, "\(path):\(number): the line has grown since it was read")
        }
    }

    // MARK: Arrays

    private func end(ofElement number: Int, _ elements: [Range<Int>]) -> UInt64 {
        textStart + UInt64(number > 0 ? elements[number - 1].upperBound : 0)
    }

    /// A file whose first character is `[` is one array of events.
    private func lookForArray() throws(ReplayError) {
        try fill()
        guard
            let first = buffer[from..<to].first(where: {
                $0 != 0x20 && $0 != 0x0A && $0 != 0x0D && $0 != 0x09
            }),
            first == UInt8(ascii: "[")
        else { return }
        while !isAtEnd { try fill() }
        let bytes = UnsafeRawBufferPointer(rebasing: buffer[from..<to])
        guard let base = bytes.baseAddress else { return }
        var ranges: [Range<Int>] = []
        let isArray = JSONFieldScanner.forEachElement(bytes) { _, scalar in
            if case .nested(let element) = scalar, let start = element.baseAddress {
                let at = start - base
                ranges.append(at..<(at + element.count))
            } else {
                ranges.append(0..<0)
            }
            return true
        }
        guard isArray else {
            throw ReplayError(.input, "\(path): the file begins with [ and is no JSON array")
        }
        elements = ranges
    }

    private func nextElement() -> UnsafeRawBufferPointer? {
        guard let elements, number < elements.count else { return nil }
        number += 1
        return UnsafeRawBufferPointer(rebasing: buffer[elements[number - 1]])
    }

    // MARK: CSV

    private func names(_ line: UnsafeRawBufferPointer) throws(ReplayError) -> [String] {
        try CSVLine.fields(line, place: place).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The line as a JSON object with text values.
    private func csvRecord(_ line: UnsafeRawBufferPointer) throws(ReplayError) -> UnsafeRawBufferPointer {
        let fields = try CSVLine.fields(line, place: place)
        let names = header ?? []
        guard fields.count == names.count else {
            throw ReplayError(
                .input,
                "\(place): \(fields.count) fields, and the header has \(names.count); quote fields that hold a comma"
            )
        }
        record.removeAll(keepingCapacity: true)
        record.append(UInt8(ascii: "{"))
        for (index, field) in fields.enumerated() {
            if index > 0 { record.append(UInt8(ascii: ",")) }
            JSONText.append(names[index], to: &record)
            record.append(UInt8(ascii: ":"))
            guard let text = String(validating: field, as: UTF8.self) else {
                throw ReplayError(
                    .input, "\(place): \(names[index]) is not UTF-8: save the file as UTF-8")
            }
            JSONText.append(text, to: &record)
        }
        record.append(UInt8(ascii: "}"))
        let size = record.count
        // An array's bytes may move: the event lies in a buffer of its own.
        return record.withUnsafeBytes { bytes in
            if csvBuffer.count < size {
                csvBuffer.deallocate()
                csvBuffer = .allocate(byteCount: size * 2, alignment: 16)
            }
            csvBuffer.copyMemory(from: bytes)
            return UnsafeRawBufferPointer(rebasing: csvBuffer[..<size])
        }
    }

    private var csvBuffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1, alignment: 16)
}

/// A line of comma-separated values (RFC 4180), without line breaks inside fields.
enum CSVLine {
    static func fields(_ line: UnsafeRawBufferPointer, place: String) throws(ReplayError) -> [[UInt8]] {
        var fields: [[UInt8]] = []
        var field: [UInt8] = []
        var isQuoted = false
        var at = 0
        var end = line.count
        if end > 0, line[end - 1] == 0x0D { end -= 1 }
        while at < end {
            let byte = line[at]
            at += 1
            if isQuoted {
                if byte != 0x22 {
                    field.append(byte)
                } else if at < end, line[at] == 0x22 {
                    field.append(0x22)
                    at += 1
                } else {
                    isQuoted = false
                }
            } else if byte == 0x22, field.isEmpty {
                isQuoted = true
            } else if byte == 0x2C {
                fields.append(field)
                field = []
            } else {
                field.append(byte)
            }
        }
        if isQuoted {
            throw ReplayError(.input, "\(place): a quote is never closed; a field stands on one line")
        }
        fields.append(field)
        return fields
    }
}
