import Platform

/// What a file sink remembers: where it is in the log and how much of its append files counts.
struct FileSinkCursor: Equatable, Sendable {
    /// Reading goes on here: the first row whose window's file is not written.
    var position: UInt64
    /// Rows of append outputs before this are in their files.
    var appendPosition: UInt64
    /// Committed bytes of each append file, by output name.
    var committed: [(output: String, byteCount: UInt64)]

    static func == (left: FileSinkCursor, right: FileSinkCursor) -> Bool {
        left.position == right.position && left.appendPosition == right.appendPosition
            && left.committed.elementsEqual(right.committed) { $0 == $1 }
    }

    static func file(path: String, files: any FileStore) -> SealedFile {
        SealedFile(
            path: path, files: files, magic: "HEDFSINK", version: 1,
            advice:
                "move the append files (those named after an output that begins with _) aside and delete it: "
                + "the sink begins again at the start of the result log")
    }

    func encoded() -> [UInt8] {
        var body: [UInt8] = []
        put(position, to: &body)
        put(appendPosition, to: &body)
        put(UInt32(committed.count), to: &body)
        for (output, byteCount) in committed {
            put(UInt32(output.utf8.count), to: &body)
            body.append(contentsOf: output.utf8)
            put(byteCount, to: &body)
        }
        return body
    }

    /// - Returns: nil when the bytes are not what `encoded()` wrote.
    static func decode(_ body: [UInt8]) -> FileSinkCursor? {
        body.withUnsafeBytes { bytes in
            guard bytes.count >= 20 else { return nil }
            var cursor = FileSinkCursor(
                position: number(bytes, 0, UInt64.self), appendPosition: number(bytes, 8, UInt64.self),
                committed: [])
            var at = 20
            for _ in 0..<number(bytes, 16, UInt32.self) {
                guard bytes.count - at >= 4 else { return nil }
                let nameEnd = at + 4 + Int(number(bytes, at, UInt32.self))
                guard bytes.count - nameEnd >= 8 else { return nil }
                cursor.committed.append(
                    (
                        String(decoding: bytes[(at + 4)..<nameEnd], as: UTF8.self),
                        number(bytes, nameEnd, UInt64.self)
                    ))
                at = nameEnd + 8
            }
            return at == bytes.count ? cursor : nil
        }
    }
}
