import PerpetualQuery
import Platform
import Telemetry

/// Where the rows of one output go: JSON lines, or CSV when the file's name ends so.
final class RowOutput {
    enum Target {
        case file(String)
        /// Standard output, or a test.
        case stream((UnsafeRawBufferPointer) throws(ReplayError) -> Void)
    }

    private static let bufferBytes = 1 << 18
    private let target: Target
    /// nil: a stream.
    let file: (any StoredFile)?
    private var offset: UInt64 = 0
    private var buffer: [UInt8] = []
    private let isCSV: Bool
    private var header: [String]?
    private let withIDs: Bool

    /// How much of a file is written.
    struct End: Hashable, Sendable {
        var byteCount: UInt64
        /// The columns of a CSV file whose first line is written.
        var columns: [String]?
    }

    /// - Parameters:
    ///   - withIDs: rows end with `_rid`.
    ///   - end: what is in the file behind it goes away, and rows are appended there; nil: all goes away.
    init(_ target: Target, withIDs: Bool, end: End? = nil, files: any FileStore) throws(ReplayError) {
        self.target = target
        self.withIDs = withIDs
        switch target {
        case .stream:
            file = nil
            isCSV = false
        case .file(let path):
            isCSV = path.lowercased().hasSuffix(".csv")
            do throws(FileError) {
                let opened = try files.open(path, writable: true)
                offset = end?.byteCount ?? 0
                header = end?.columns
                // A device such as /dev/null cannot be cut, and need not.
                if try opened.byteCount() > offset { try opened.truncate(to: offset) }
                file = opened
            } catch {
                throw ReplayError(.environment, error.description)
            }
        }
        buffer.reserveCapacity(Self.bufferBytes + 4_096)
    }

    deinit { file?.close() }

    /// Appends a row of the engine.
    func append(_ row: Int, of rows: RowBuffer) throws(ReplayError) {
        if isCSV { return try append(rows.resultRow(row).columns) }
        rows.appendJSON(of: row, id: withIDs ? rows.id(of: row) : nil, to: &buffer)
        buffer.append(UInt8(ascii: "\n"))
        if buffer.count >= Self.bufferBytes { try flush() }
    }

    /// Appends a row of `_late` or `_errors`.
    func append(_ row: ResultRow) throws(ReplayError) {
        if isCSV { return try append(row.columns) }
        if withIDs {
            buffer.append(contentsOf: row.json())
        } else {
            Column.appendJSON(row.columns, to: &buffer)
        }
        buffer.append(UInt8(ascii: "\n"))
        if buffer.count >= Self.bufferBytes { try flush() }
    }

    private func append(_ columns: [Column]) throws(ReplayError) {
        let names = columns.map(\.name)
        if header == nil {
            header = names
            line(names.map { Array($0.utf8) })
        }
        // The first row names the columns; what later rows have beside them has no place in CSV.
        line(
            (header ?? []).map { name in
                guard let value = columns.first(where: { $0.name == name })?.value, value != .null else {
                    return []
                }
                if case .text(let text) = value { return Array(text.utf8) }
                var bytes: [UInt8] = []
                value.appendJSON(to: &bytes)
                return bytes.first == UInt8(ascii: "\"") ? Array(bytes.dropFirst().dropLast()) : bytes
            })
        if buffer.count >= Self.bufferBytes { try flush() }
    }

    private func line(_ fields: [[UInt8]]) {
        for (index, field) in fields.enumerated() {
            if index > 0 { buffer.append(UInt8(ascii: ",")) }
            guard field.contains(where: { $0 == 0x22 || $0 == 0x2C || $0 == 0x0A || $0 == 0x0D }) else {
                buffer.append(contentsOf: field)
                continue
            }
            buffer.append(0x22)
            for byte in field {
                if byte == 0x22 { buffer.append(0x22) }
                buffer.append(byte)
            }
            buffer.append(0x22)
        }
        buffer.append(UInt8(ascii: "\n"))
    }

    /// Where the file ends when all that is buffered is written.
    func end() throws(ReplayError) -> End {
        try flush()
        return End(byteCount: offset, columns: header)
    }

    /// Writes what is buffered.
    func flush() throws(ReplayError) {
        if buffer.isEmpty { return }
        switch target {
        case .file:
            do throws(FileError) { try file?.write(buffer, at: offset) } catch {
                throw ReplayError(.environment, error.description)
            }
            offset += UInt64(buffer.count)
        case .stream(let write):
            let result = buffer.withUnsafeBytes { bytes in
                Result { () throws(ReplayError) in try write(bytes) }
            }
            try result.get()
        }
        buffer.removeAll(keepingCapacity: true)
    }
}
