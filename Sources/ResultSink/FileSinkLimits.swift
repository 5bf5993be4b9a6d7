package import Platform

/// What a file sink may hold and use.
package struct FileSinkLimits: Sendable, Equatable {
    /// Bytes of lines that are read together and sorted in memory: of many small windows, or of a part of a large
    /// one, whose file is made of sorted runs of this size. Default 64 MiB.
    package var runBytesMax = 64 << 20
    /// (output, window end) pairs that have rows and are not complete. Default 100,000.
    package var openWindowsMax = 100_000
    /// Time between two saves of the cursor. Default 1 s: what a restart reads again.
    package var cursorIntervalNanoseconds: UInt64 = 1_000_000_000

    package init() {}
}

/// A file sink's accounting: `offered = delivered + outbox + diverted`, in rows since the log began.
package struct FileSinkCounters: Sendable, Equatable {
    /// Committed rows of the log.
    package var offered: UInt64
    /// Rows in their files.
    package var delivered: UInt64
    /// Rows of a window that came after its completeness marker; they are in no file. Since the start only:
    /// anything but 0 is a defect of the producer.
    package var diverted: UInt64
    /// Rows that wait for their window to be complete, or to be read.
    package var outbox: UInt64

    package init(offered: UInt64, delivered: UInt64, diverted: UInt64, outbox: UInt64) {
        self.offered = offered
        self.delivered = delivered
        self.diverted = diverted
        self.outbox = outbox
    }
}

/// What can go wrong with a file sink. `deliver` can be called again after any of them.
package enum FileSinkError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The disk refused; `.full` mends itself once there is room.
    case file(FileError)
    case log(ResultLogError)
    case cursor(SealedFileError)
    /// An append file is shorter than the cursor says.
    case appendFileShort(path: String, committed: UInt64, byteCount: UInt64)
    /// There is no cursor, but an append file with rows that the log no longer holds.
    case cursorMissing(path: String, appendFile: String)
    /// More windows are open than `openWindowsMax`.
    case openWindowsMax(Int)

    package var description: String {
        switch self {
        case .file(let error): error.description
        case .log(let error): error.description
        case .cursor(let error): error.description
        case .appendFileShort(let path, let committed, let byteCount):
            "\(path): has \(byteCount) bytes, \(committed) were committed; restore it, or move it away: the rows "
                + "that follow then go to a new file"
        case .cursorMissing(let path, let appendFile):
            "\(path) is missing, but \(appendFile) has rows that the result log no longer holds; "
                + "move that file aside"
        case .openWindowsMax(let count):
            "rows of \(count) windows wait for their end; is the query without a late tolerance?"
        }
    }
}
