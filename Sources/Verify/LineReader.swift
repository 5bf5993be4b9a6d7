import Platform

/// Reads a file line by line without holding it in memory.
struct LineReader {
    /// A longer line is refused: it is no line of ours.
    static let lineBytesMax = 16 << 20
    private static let chunkBytes = 1 << 20

    let path: String
    let files: any FileStore

    /// - Parameter body: gets each line without its newline, its number from 1, and whether a newline ended
    ///   it.
    func forEachLine(_ body: (_ line: ArraySlice<UInt8>, _ number: Int, _ isWhole: Bool) throws -> Void)
        throws
    {
        let file = try files.open(path, writable: false)
        defer { file.close() }
        var offset: UInt64 = 0
        var number = 0
        var rest: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: Self.chunkBytes)
        while true {
            let position = offset
            let count = try chunk.withUnsafeMutableBytes { try file.read(into: $0, at: position) }
            if count == 0 { break }
            offset += UInt64(count)
            rest.append(contentsOf: chunk[..<count])
            var start = rest.startIndex
            while let end = rest[start...].firstIndex(of: 0x0A) {
                number += 1
                try body(rest[start..<end], number, true)
                start = end + 1
            }
            rest.removeSubrange(..<start)
            if rest.count > Self.lineBytesMax {
                throw VerifyInputError(place: "\(path):\(number + 1)", message: "the line is over 16 MiB")
            }
        }
        if !rest.isEmpty { try body(rest[...], number + 1, false) }
    }
}

/// The proof cannot begin: an input is not what it must be.
package struct VerifyInputError: Error, Sendable, Equatable, CustomStringConvertible {
    /// `file:line`
    package var place: String
    /// What is wrong and what is expected.
    package var message: String

    package var description: String { "\(place): \(message)" }
}
