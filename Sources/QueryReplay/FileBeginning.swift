import Platform

/// The first bytes of a file of events: files that are no text are told by them, so that nobody gets an error about
/// line 1, or no rows at all.
enum FileBeginning {
    private static let byteCount = 16

    /// What begins a file of another kind, what that is, and what to do.
    private static let others: [(bytes: [UInt8], text: String)] = [
        ([0x1F, 0x8B], "is compressed by gzip: unpack it first, with gunzip"),
        ([0x28, 0xB5, 0x2F, 0xFD], "is compressed by zstd: unpack it first, with zstd --decompress"),
        ([0x42, 0x5A, 0x68], "is compressed by bzip2: unpack it first, with bunzip2"),
        ([0xFD, 0x37, 0x7A, 0x58, 0x5A], "is compressed by xz: unpack it first, with unxz"),
        ([0x50, 0x4B, 0x03, 0x04], "is a ZIP archive, or a workbook: unpack it, or save it as CSV"),
        (Array("PAR1".utf8), "is Parquet: write it as JSON lines or CSV"),
        (Array("SQLite format 3".utf8), "is a SQLite database: it can be a --reference, not an --input"),
    ]

    /// - Parameter isCSV: the file needs a header.
    /// - Returns: where the text begins: behind a byte order mark.
    /// - Throws: `.input` when it is no text in UTF-8, `.environment` when it cannot be read.
    static func check(_ file: any StoredFile, path: String, isCSV: Bool) throws(ReplayError) -> UInt64 {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 1)
        defer { buffer.deallocate() }
        let bytes: [UInt8]
        do throws(FileError) {
            bytes = Array(buffer.prefix(try file.read(into: buffer, at: 0)))
        } catch {
            throw ReplayError(.environment, error.description)
        }
        for other in others where bytes.starts(with: other.bytes) {
            throw ReplayError(.input, "\(path): \(other.text)")
        }
        let isWide =
            bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF])
            || bytes.count >= 2 && (bytes[0] == 0) != (bytes[1] == 0)
        if isWide {
            throw ReplayError(
                .input, "\(path): is UTF-16: save it as UTF-8, with iconv -f UTF-16 -t UTF-8")
        }
        if bytes.isEmpty, isCSV {
            throw ReplayError(.input, "\(path): is empty: a CSV file begins with a line of names")
        }
        return bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    }
}
