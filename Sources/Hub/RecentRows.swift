/// The last rows of a query, for its status: bytes in a row, made texts only when somebody asks.
struct RecentRows {
    /// So many are shown.
    static let countMax = 100
    /// Rows longer than that are not kept.
    private static let rowBytesMax = 1 << 16

    private var bytes: [UInt8] = []
    /// Where the rows in `bytes` end.
    private var ends: [Int] = []

    mutating func append(_ json: [UInt8]) {
        guard json.count <= Self.rowBytesMax else { return }
        if ends.count == Self.countMax * 2 { removeOldest() }
        bytes.append(contentsOf: json)
        ends.append(bytes.count)
    }

    private mutating func removeOldest() {
        let count = ends.count - Self.countMax
        let byteCount = ends[count - 1]
        bytes.removeFirst(byteCount)
        ends.removeFirst(count)
        for index in ends.indices { ends[index] -= byteCount }
    }

    /// The last hundred, oldest first.
    var texts: [String] {
        let first = max(ends.count - Self.countMax, 0)
        return (first..<ends.count).map { row in
            String(decoding: bytes[(row == 0 ? 0 : ends[row - 1])..<ends[row]], as: UTF8.self)
        }
    }
}
