import CChecksum
package import Platform

/// Why a small file (checkpoint, cursor) cannot be used.
package enum SealedFileError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The disk refused.
    case file(FileError)
    /// The bytes are not what was written; `advice` says how to go on.
    case damaged(path: String, advice: String)
    /// Written by a newer program.
    case newerFormat(path: String, version: UInt16)

    package var description: String {
        switch self {
        case .file(let error): error.description
        case .damaged(let path, let advice): "\(path): damaged; \(advice)"
        case .newerFormat(let path, let version):
            "\(path): format \(version) is newer than this program's; use the newer program"
        }
    }
}

/// A small file that is replaced whole: magic (8), version (2), reserved (2), body, CRC-32C of all before
/// (4).
package struct SealedFile: Sendable {
    let path: String
    let files: any FileStore
    /// Eight ASCII characters that name the kind of file.
    let magic: StaticString
    let version: UInt16
    /// What an operator does about a damaged one.
    let advice: String

    static let headByteCount = 12

    /// - Parameters:
    ///   - magic: eight ASCII characters that name the kind of file.
    ///   - advice: what an operator does about a damaged one.
    package init(
        path: String, files: any FileStore, magic: StaticString, version: UInt16, advice: String
    ) {
        self.path = path
        self.files = files
        self.magic = magic
        self.version = version
        self.advice = advice
    }

    /// - Returns: the body; nil when there is no file.
    package func load() throws(SealedFileError) -> [UInt8]? {
        guard files.exists(path) else { return nil }
        let bytes: [UInt8]
        do throws(FileError) { bytes = try files.contents(of: path) } catch { throw .file(error) }
        let isWhole = bytes.withUnsafeBytes { buffer in
            buffer.count >= Self.headByteCount + 4
                && memoryMatches(buffer)
                && headend_crc32c(0, buffer.baseAddress, buffer.count - 4)
                    == number(buffer, buffer.count - 4, UInt32.self)
        }
        guard isWhole else { throw .damaged(path: path, advice: advice) }
        let stored = bytes.withUnsafeBytes { number($0, 8, UInt16.self) }
        if stored > version { throw .newerFormat(path: path, version: stored) }
        guard stored == version else { throw .damaged(path: path, advice: advice) }
        return Array(bytes[Self.headByteCount..<(bytes.count - 4)])
    }

    /// Replaces the file: a crash leaves the old one or the new one.
    package func save(_ body: [UInt8]) throws(SealedFileError) { try save(pieces: [body]) }

    /// As `save(_:)`, with the body in pieces: a checkpoint of a million devices is not copied for it.
    func save(pieces: [[UInt8]]) throws(SealedFileError) {
        let whole = framed(pieces)
        do throws(FileError) { try files.replace(path, withPieces: whole) } catch { throw .file(error) }
    }

    /// The file's bytes: head, body, CRC.
    func framed(_ pieces: [[UInt8]]) -> [[UInt8]] {
        var head = Array(UnsafeBufferPointer(start: magic.utf8Start, count: magic.utf8CodeUnitCount))
        precondition(head.count == 8, "a magic has eight characters")
        put(version, to: &head)
        put(UInt16(0), to: &head)
        let all = [head] + pieces
        let sum = all.reduce(0) { sum, piece in
            piece.withUnsafeBytes { headend_crc32c(sum, $0.baseAddress, $0.count) }
        }
        var tail: [UInt8] = []
        put(sum, to: &tail)
        return all + [tail]
    }

    private func memoryMatches(_ buffer: UnsafeRawBufferPointer) -> Bool {
        buffer[..<8].elementsEqual(
            UnsafeBufferPointer(start: magic.utf8Start, count: magic.utf8CodeUnitCount))
    }
}
