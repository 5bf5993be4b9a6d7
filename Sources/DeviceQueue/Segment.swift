/// One segment file of the log.
struct Segment: Sendable, Equatable {
    let path: String
    let base: UInt64
    let byteCount: UInt64
    let logID: UInt64

    init(directory: String, header: SegmentHeader) {
        path = directory + "/" + Self.stem(header.base) + ".log"
        base = header.base
        byteCount = header.byteCount
        logID = header.logID
    }

    /// The queue offset behind its last byte: the base of the next segment.
    var end: UInt64 { base + byteCount }
    var salt: UInt32 { LogFormat.salt(logID: logID, base: base) }
    var indexPath: String { String(path.dropLast(3)) + "index" }

    /// The base offset in 20 decimal digits, so that names sort like offsets.
    static func stem(_ base: UInt64) -> String {
        let digits = String(base)
        return String(repeating: "0", count: 20 - digits.count) + digits
    }
}
