import CChecksum
import Platform

/// The small file that says from which position on records count.
struct JournalCut {
    let path: String
    let files: any FileStore
    private static let magic = Array("HEDJCUT1".utf8)
    private static let byteCount = 24

    /// - Returns: 0 when there is no file: everything counts.
    func load() throws(JournalError) -> UInt64 {
        guard files.exists(path) else { return 0 }
        let bytes: [UInt8]
        do throws(FileError) { bytes = try files.contents(of: path) } catch { throw .file(error) }
        let cut = bytes.withUnsafeBytes { buffer -> UInt64? in
            guard buffer.count == Self.byteCount, buffer[..<8].elementsEqual(Self.magic),
                number(buffer, 16, UInt32.self) == headend_crc32c(0, buffer.baseAddress, 16)
            else { return nil }
            return number(buffer, 8, UInt64.self)
        }
        guard let cut else { throw .damaged(path: path, offset: 0) }
        return cut
    }

    func save(_ cut: UInt64) throws(JournalError) {
        var bytes = Self.magic
        put(cut, to: &bytes)
        put(bytes.withUnsafeBytes { headend_crc32c(0, $0.baseAddress, $0.count) }, to: &bytes)
        put(UInt32(0), to: &bytes)
        do throws(FileError) { try files.replace(path, with: bytes) } catch { throw .file(error) }
    }
}
