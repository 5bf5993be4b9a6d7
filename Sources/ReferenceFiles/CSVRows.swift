import Telemetry

/// Rows of comma-separated values (RFC 4180): a header, then a record a line; a quoted field may hold line breaks.
struct CSVRows {
    private let bytes: UnsafeRawBufferPointer
    private let delimiter: UInt8
    private var at = 0
    /// Line breaks before `at`.
    private var line = 1
    /// Of the record in hand.
    private var fields: [(value: [UInt8], offset: Int)] = []
    private var names: [[UInt8]] = []

    private init(_ bytes: UnsafeRawBufferPointer, delimiter: UInt8) {
        self.bytes = bytes
        self.delimiter = delimiter
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { at = 3 }
    }

    static func read(
        _ bytes: UnsafeRawBufferPointer, delimiter: UInt8, into rows: inout RowCollector
    ) throws(TextMistake) {
        var reader = CSVRows(bytes, delimiter: delimiter)
        guard try reader.next() else {
            throw TextMistake(offset: 0, text: "there is no header: write the names of the columns first")
        }
        try reader.takeHeader(columnsMax: rows.limits.columnsMax)
        while true {
            reader.skipEmptyLines()
            let from = reader.at
            let line = reader.line
            guard try reader.next() else { return }
            let fields = reader.fields
            guard fields.count == reader.names.count else {
                throw TextMistake(
                    offset: from,
                    text:
                        "\(fields.count) fields, and the header has \(reader.names.count); quote fields that "
                        + "hold a \(delimiter == 0x09 ? "tab" : String(UnicodeScalar(delimiter)))")
            }
            let names = reader.names
            let beyond = rows.append(line: line) { bytes in
                bytes.append(0x7B)
                for (index, field) in fields.enumerated() {
                    if index > 0 { bytes.append(0x2C) }
                    bytes.append(contentsOf: names[index])
                    bytes.append(0x3A)
                    field.value.withUnsafeBytes { RowCollector.appendText($0, to: &bytes) }
                }
                bytes.append(0x7D)
            }
            if let beyond { throw TextMistake(offset: from, text: beyond) }
        }
    }

    private mutating func takeHeader(columnsMax: Int) throws(TextMistake) {
        guard fields.count <= columnsMax else {
            throw TextMistake(
                offset: 0, text: "\(fields.count) columns, and the limit is \(columnsMax)")
        }
        var seen: [[UInt8]] = []
        for field in fields {
            let text = String(decoding: field.value, as: UTF8.self)
            if field.value.isEmpty {
                throw TextMistake(offset: field.offset, text: "a column has no name in the header")
            }
            if seen.contains(field.value) {
                throw TextMistake(offset: field.offset, text: "two columns are called \(text)")
            }
            seen.append(field.value)
            var name: [UInt8] = []
            field.value.withUnsafeBytes { RowCollector.appendText($0, to: &name) }
            names.append(name)
        }
    }

    private mutating func skipEmptyLines() {
        while at < bytes.count, bytes[at] == 0x0A || bytes[at] == 0x0D {
            if bytes[at] == 0x0A { line += 1 }
            at += 1
        }
    }

    /// Reads a record into `fields`; false at the end. Lines without anything are passed over.
    private mutating func next() throws(TextMistake) -> Bool {
        skipEmptyLines()
        guard at < bytes.count else { return false }
        fields.removeAll(keepingCapacity: true)
        while true {
            let from = at
            let value = at < bytes.count && bytes[at] == 0x22 ? try quoted() : plain()
            fields.append((value, from))
            guard at < bytes.count else { return true }
            let byte = bytes[at]
            at += 1
            if byte == delimiter { continue }
            if byte == 0x0D, at < bytes.count, bytes[at] == 0x0A { at += 1 }
            line += 1
            return true
        }
    }

    private mutating func plain() -> [UInt8] {
        let from = at
        while at < bytes.count {
            let byte = bytes[at]
            if byte == delimiter || byte == 0x0A { break }
            if byte == 0x0D, at + 1 == bytes.count || bytes[at + 1] == 0x0A { break }
            at += 1
        }
        return Array(bytes[from..<at])
    }

    private mutating func quoted() throws(TextMistake) -> [UInt8] {
        let from = at
        var value: [UInt8] = []
        at += 1
        while at < bytes.count {
            let byte = bytes[at]
            at += 1
            if byte != 0x22 {
                if byte == 0x0A { line += 1 }
                value.append(byte)
            } else if at < bytes.count, bytes[at] == 0x22 {
                value.append(0x22)
                at += 1
            } else {
                let isEnd =
                    at == bytes.count || bytes[at] == delimiter || bytes[at] == 0x0A
                    || bytes[at] == 0x0D && (at + 1 == bytes.count || bytes[at + 1] == 0x0A)
                if isEnd { return value }
                throw TextMistake(
                    offset: at,
                    text: "more text behind the quote that ends the field; a quote inside is doubled")
            }
        }
        throw TextMistake(offset: from, text: "this quote is never closed")
    }
}
