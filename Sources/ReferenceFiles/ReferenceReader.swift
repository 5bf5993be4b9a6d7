import Crypto
package import PerpetualQuery
package import Platform
import Telemetry

/// The rows of a source at one moment.
package struct ReferenceContents: Sendable {
    package var data: ReferenceData
    /// As `ReferenceFile` has them on disk.
    package var hash: ReferenceHash
}

/// SHA-256 of rows: equal rows, equal hash.
package struct ReferenceHash: Hashable, Sendable, CustomStringConvertible {
    /// 32 bytes.
    package let bytes: [UInt8]

    /// - Returns: nil unless there are 32 bytes.
    package init?(_ bytes: [UInt8]) {
        guard bytes.count == 32 else { return nil }
        self.bytes = bytes
    }

    /// Of a version's head and rows.
    init(head: [UInt8], rows: UnsafeRawBufferPointer) {
        var hash = SHA256()
        hash.update(data: head)
        hash.update(bufferPointer: rows)
        bytes = Array(hash.finalize())
    }

    /// 64 hexadecimal digits.
    package var description: String {
        let digits = Array("0123456789abcdef".utf8)
        return String(
            decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}

/// Reads a source as a whole.
package struct ReferenceReader: Sendable {
    private let files: any FileStore
    private let limits: ReferenceLimits

    package init(files: any FileStore, limits: ReferenceLimits = ReferenceLimits()) {
        self.files = files
        self.limits = limits
    }

    /// - Parameter isCancelled: asked now and then; true ends the work with `.busy`.
    /// - Throws: `FILE:LINE:COLUMN`, or the row, and what is wrong; or what the disk says.
    package func read(
        _ source: ReferenceSource, isCancelled: @escaping () -> Bool = { false }
    ) throws(ReferenceError) -> ReferenceContents {
        var rows = RowCollector(limits)
        switch source.format {
        case .sqlite:
            guard files.exists(source.path) else {
                throw ReferenceError(.environment, "\(source.path): no such file")
            }
            let reader = try SQLiteRows(path: source.path, limits: limits, isCancelled: isCancelled)
            try reader.read(source.selection, into: &rows)
        case .csv, .json: try readText(source, into: &rows)
        }
        let data = ReferenceData(
            name: source.name, place: source.path, isText: source.format == .csv, bytes: rows.bytes,
            ends: rows.ends, lines: rows.lines)
        return ReferenceContents(
            data: data, hash: ReferenceHash(head: ReferenceFile.head(of: data), rows: data.bytes))
    }

    private func readText(_ source: ReferenceSource, into rows: inout RowCollector) throws(ReferenceError) {
        let bytes = try contents(of: source.path)
        let limits = limits
        let result = bytes.withUnsafeBytes { bytes in
            Result { () throws(TextMistake) -> RowCollector in
                var rows = RowCollector(limits)
                if let offset = UTF8Check.firstNonUTF8(bytes) {
                    throw TextMistake(offset: offset, text: "not UTF-8: save the file as UTF-8")
                }
                if source.format == .csv {
                    try CSVRows.read(bytes, delimiter: source.delimiter, into: &rows)
                } else {
                    try JSONRows.read(bytes, into: &rows)
                }
                return rows
            }.mapError { mistake in
                let place = TextPlace(bytes: mistake.offset, in: bytes)
                return ReferenceError(
                    .input, "\(source.path):\(place.line):\(place.column): \(mistake.text)")
            }
        }
        rows = try result.get()
    }

    /// The size first: a file that is too large is not read.
    private func contents(of path: String) throws(ReferenceError) -> [UInt8] {
        do throws(FileError) {
            let file = try files.open(path, writable: false)
            defer { file.close() }
            let size = try file.byteCount()
            if size <= UInt64(limits.bytesMax) { return try files.contents(of: path) }
            throw FileError(
                kind: .failed, operation: "read", path: path, code: 0,
                message: "it has \(size) bytes, and the limit is \(limits.bytesMax)")
        } catch {
            throw ReferenceError(error.code == 0 ? .input : .environment, error.description)
        }
    }
}
