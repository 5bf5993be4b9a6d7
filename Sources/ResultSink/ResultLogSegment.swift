import CChecksum
import Platform

/// One file of the result log: a header, then frames up to the next segment's base.
///
/// The file is closed when the last reader lets go of it, so that `release` never pulls it from under a read.
struct ResultLogSegment: Sendable {
    static let headerByteCount = 40
    static let version: UInt16 = 1
    private static let magic = Array("HEDRESLT".utf8)
    private static let suffix = ".results"

    /// Position of its first frame.
    var base: UInt64
    /// Rows in the log before its first frame.
    var rowsBefore: UInt64
    var path: String
    var file: any StoredFile

    /// The file name of a segment: its base in 20 decimal digits, so that names sort as positions do.
    static func name(base: UInt64) -> String {
        let digits = String(base)
        return String(repeating: "0", count: 20 - digits.count) + digits + suffix
    }

    /// The base in a file name; nil for a file that is no segment.
    static func base(of name: String) -> UInt64? {
        guard name.hasSuffix(suffix), name.utf8.count == 20 + suffix.utf8.count else { return nil }
        return UInt64(name.dropLast(suffix.count))
    }

    /// Makes an empty segment, durably.
    static func create(
        _ directory: String, base: UInt64, rowsBefore: UInt64, files: any FileStore
    ) throws(FileError) -> ResultLogSegment {
        let path = directory + "/" + name(base: base)
        let file = try files.open(path, writable: true)
        try file.truncate(to: 0)
        try file.write(header(base: base, rowsBefore: rowsBefore), at: 0)
        try file.synchronize()
        try files.synchronizeDirectory(directory)
        return ResultLogSegment(base: base, rowsBefore: rowsBefore, path: path, file: file)
    }

    /// Opens a segment; nil when its header was never written whole and no frame follows (a crash while it
    /// was made).
    static func open(
        _ directory: String, base: UInt64, files: any FileStore
    ) throws(ResultLogError) -> ResultLogSegment? {
        let path = directory + "/" + name(base: base)
        do {
            let file = try files.open(path, writable: true)
            let bytes = try read(file, at: 0, byteCount: headerByteCount)
            let fileBytes = try file.byteCount()
            let parsed = bytes.withUnsafeBytes { parse($0) }
            switch parsed {
            case .header(let storedBase, let rowsBefore) where storedBase == base:
                return ResultLogSegment(base: base, rowsBefore: rowsBefore, path: path, file: file)
            case .newer(let version): throw ResultLogError.newerFormat(path: path, version: version)
            case .header, .damaged:
                if fileBytes <= UInt64(headerByteCount) { return nil }
                throw ResultLogError.damaged(path: path, offset: 0)
            }
        } catch let error as FileError {
            throw .file(error)
        } catch let error as ResultLogError {
            throw error
        } catch {
            throw .damaged(path: path, offset: 0)
        }
    }

    /// Where a position is in the file.
    func offset(of position: UInt64) -> UInt64 { position - base + UInt64(Self.headerByteCount) }

    /// Up to `byteCount` bytes of a file.
    static func read(_ file: any StoredFile, at offset: UInt64, byteCount: Int) throws(FileError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: byteCount)
        let result = bytes.withUnsafeMutableBytes { buffer in
            Result { () throws(FileError) in try file.read(into: buffer, at: offset) }
        }
        bytes.removeLast(byteCount - (try result.get()))
        return bytes
    }

    private static func header(base: UInt64, rowsBefore: UInt64) -> [UInt8] {
        var bytes = magic
        put(version, to: &bytes)
        put(UInt16(0), to: &bytes)
        put(UInt32(0), to: &bytes)
        put(base, to: &bytes)
        put(rowsBefore, to: &bytes)
        put(bytes.withUnsafeBytes { headend_crc32c(0, $0.baseAddress, $0.count) }, to: &bytes)
        put(UInt32(0), to: &bytes)
        return bytes
    }

    private enum Header {
        case header(base: UInt64, rowsBefore: UInt64)
        case newer(version: UInt16)
        case damaged
    }

    private static func parse(_ bytes: UnsafeRawBufferPointer) -> Header {
        guard bytes.count == headerByteCount, bytes[..<8].elementsEqual(magic),
            number(bytes, 32, UInt32.self) == headend_crc32c(0, bytes.baseAddress, 32)
        else { return .damaged }
        let version = number(bytes, 8, UInt16.self)
        guard version == Self.version else {
            return version > Self.version ? .newer(version: version) : .damaged
        }
        return .header(base: number(bytes, 16, UInt64.self), rowsBefore: number(bytes, 24, UInt64.self))
    }
}
