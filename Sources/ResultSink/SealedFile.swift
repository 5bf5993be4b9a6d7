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
        var bytes: [UInt8]
        do throws(FileError) { bytes = try files.contents(of: path) } catch { throw .file(error) }
        let isWhole = bytes.withUnsafeBytes { buffer in
            buffer.count >= Self.headByteCount + 4
                && memoryMatches(buffer[..<8])
                && headend_crc32c(0, buffer.baseAddress, buffer.count - 4)
                    == number(buffer, buffer.count - 4, UInt32.self)
        }
        guard isWhole else { throw .damaged(path: path, advice: advice) }
        let stored = bytes.withUnsafeBytes { number($0, 8, UInt16.self) }
        if stored > version { throw .newerFormat(path: path, version: stored) }
        guard stored == version else { throw .damaged(path: path, advice: advice) }
        // Moved in place, not copied: a checkpoint may have hundreds of megabytes.
        bytes.removeLast(4)
        bytes.removeFirst(Self.headByteCount)
        return bytes
    }

    /// As `load()`, of the body's first bytes only; all of the file is checked, and not held in memory.
    func loadHead(byteCount: Int) throws(SealedFileError) -> [UInt8]? {
        guard files.exists(path) else { return nil }
        let found: (head: [UInt8], isWhole: Bool)
        do throws(FileError) {
            found = try readHead(Self.headByteCount + byteCount)
        } catch {
            throw .file(error)
        }
        guard found.isWhole else { throw .damaged(path: path, advice: advice) }
        let stored = found.head.withUnsafeBytes { number($0, 8, UInt16.self) }
        if stored > version { throw .newerFormat(path: path, version: stored) }
        guard stored == version else { throw .damaged(path: path, advice: advice) }
        return Array(found.head.dropFirst(Self.headByteCount))
    }

    private func readHead(_ byteCount: Int) throws(FileError) -> (head: [UInt8], isWhole: Bool) {
        let file = try files.open(path, writable: false)
        defer { file.close() }
        let size = Int(try file.byteCount())
        guard size >= Self.headByteCount + 4 else { return ([], false) }
        let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
        defer { chunk.deallocate() }
        var head: [UInt8] = []
        var sum: UInt32 = 0
        var at = 0
        while at < size - 4 {
            let wanted = min(chunk.count, size - 4 - at)
            let part = UnsafeMutableRawBufferPointer(rebasing: chunk[..<wanted])
            guard try file.read(into: part, at: UInt64(at)) == wanted else { return ([], false) }
            sum = headend_crc32c(sum, part.baseAddress, wanted)
            head.append(contentsOf: part.prefix(byteCount - head.count))
            at += wanted
        }
        let tail = UnsafeMutableRawBufferPointer(rebasing: chunk[..<4])
        guard try file.read(into: tail, at: UInt64(at)) == 4 else { return ([], false) }
        let isWhole = memoryMatches(head) && number(UnsafeRawBufferPointer(tail), 0, UInt32.self) == sum
        return (head, isWhole)
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

    private func memoryMatches(_ bytes: some Sequence<UInt8>) -> Bool {
        bytes.prefix(8).elementsEqual(
            UnsafeBufferPointer(start: magic.utf8Start, count: magic.utf8CodeUnitCount))
    }
}
