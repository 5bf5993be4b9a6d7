/// One segment of the log.
struct Segment: Sendable, Equatable {
    /// Where its file is while it is not compressed.
    let plainPath: String
    let base: UInt64
    let byteCount: UInt64
    let logID: UInt64
    /// Whether the file is the compressed one, as far as is known: the catalogue is always right.
    var isCompressed = false
    /// Bytes of its file on disk: `byteCount`, or what the compressed file has.
    var storedBytes: UInt64

    init(directory: String, header: SegmentHeader) {
        plainPath = directory + "/" + Self.stem(header.base) + ".log"
        base = header.base
        byteCount = header.byteCount
        storedBytes = header.byteCount
        logID = header.logID
    }

    /// The queue offset behind its last byte: the base of the next segment.
    var end: UInt64 { base + byteCount }
    var salt: UInt32 { LogFormat.salt(logID: logID, base: base) }
    /// Where its file is.
    var path: String { isCompressed ? compressedPath : plainPath }
    var compressedPath: String { plainPath + "z" }
    var indexPath: String { String(plainPath.dropLast(3)) + "index" }
    var idsPath: String { String(plainPath.dropLast(3)) + "ids" }
    /// Every file that a segment may have; removing them in this order leaves a whole segment or none.
    var paths: [String] { [idsPath, indexPath, compressedPath, plainPath] }

    /// The base offset in 20 decimal digits, so that names sort like offsets.
    static func stem(_ base: UInt64) -> String {
        let digits = String(base)
        return String(repeating: "0", count: 20 - digits.count) + digits
    }
}
