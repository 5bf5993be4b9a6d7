import CChecksum
import Platform

/// One file of the journal: a header, then records.
///
/// The file is closed when the last reader lets go of it, so that removing a segment never pulls it from under a read.
struct JournalSegment: Sendable {
    static let headerBytes = 32
    static let version: UInt16 = 1
    private static let magic = Array("HEDJOURN".utf8)
    private static let suffix = ".journal"

    /// Position of its first record, and of the end of its last one.
    let base: UInt64
    var end: UInt64
    let path: String
    let file: any StoredFile

    static func name(base: UInt64) -> String {
        let digits = String(base)
        return String(repeating: "0", count: 20 - digits.count) + digits + suffix
    }

    /// The position in a file name; nil for a file that is no segment.
    static func base(of name: String) -> UInt64? {
        guard name.hasSuffix(suffix), name.utf8.count == 20 + suffix.utf8.count else { return nil }
        return UInt64(name.dropLast(suffix.count))
    }

    /// Makes an empty segment, durably.
    static func create(
        _ directory: String, base: UInt64, files: any FileStore
    ) throws(FileError) -> JournalSegment {
        let path = directory + "/" + name(base: base)
        let file = try files.open(path, writable: true)
        try file.truncate(to: 0)
        try file.write(header(base), at: 0)
        try file.synchronize()
        try files.synchronizeDirectory(directory)
        return JournalSegment(base: base, end: base, path: path, file: file)
    }

    /// Opens a segment; its end is not known yet.
    ///
    /// - Returns: nil when its header was never written whole: a crash while it was made.
    static func open(
        _ directory: String, base: UInt64, files: any FileStore
    ) throws(JournalError) -> JournalSegment? {
        let path = directory + "/" + name(base: base)
        var bytes = [UInt8](repeating: 0, count: headerBytes)
        let file: any StoredFile
        let fileBytes: UInt64
        let got: Int
        do throws(FileError) {
            file = try files.open(path, writable: true)
            fileBytes = try file.byteCount()
            let read = bytes.withUnsafeMutableBytes { buffer in
                Result { () throws(FileError) in try file.read(into: buffer, at: 0) }
            }
            got = try read.get()
        } catch { throw .file(error) }
        let isHeader = bytes.withUnsafeBytes { buffer in
            got == headerBytes && buffer[..<8].elementsEqual(magic)
                && number(buffer, 24, UInt32.self) == headend_crc32c(0, buffer.baseAddress, 24)
                && number(buffer, 16, UInt64.self) == base
        }
        guard isHeader else {
            if fileBytes <= UInt64(headerBytes) { return nil }
            throw .damaged(path: path, offset: 0)
        }
        let stored = bytes.withUnsafeBytes { number($0, 8, UInt16.self) }
        guard stored == version else { throw .newerFormat(path: path, version: stored) }
        return JournalSegment(base: base, end: base, path: path, file: file)
    }

    /// Where a position is in the file.
    func offset(of position: UInt64) -> UInt64 { position - base + UInt64(Self.headerBytes) }

    private static func header(_ base: UInt64) -> [UInt8] {
        var bytes = magic
        put(version, to: &bytes)
        put(UInt16(0), to: &bytes)
        put(UInt32(0), to: &bytes)
        put(base, to: &bytes)
        put(bytes.withUnsafeBytes { headend_crc32c(0, $0.baseAddress, $0.count) }, to: &bytes)
        put(UInt32(0), to: &bytes)
        return bytes
    }
}
