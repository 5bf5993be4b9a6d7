/// What reference data may be. Beyond a limit the data is refused as a whole, with the place: it is never cut.
package struct ReferenceLimits: Hashable, Sendable {
    /// Rows of one reference. Default 4,194,304, as many as a query joins with.
    package var rowsMax = 1 << 22
    /// Bytes of the file, and of the rows as JSON. Default 256 MiB: they are in memory, twice while they are read.
    package var bytesMax = 1 << 28
    /// Bytes of one row as JSON. Default 1 MiB, as long as a text of a query.
    package var rowBytesMax = 1 << 20
    /// Columns of a CSV file or an SQLite table. Default 4,096.
    package var columnsMax = 1 << 12
    /// Nanoseconds that SQLite may take for the rows. Default 60 s.
    package var queryNanoseconds: UInt64 = 60_000_000_000
    /// Milliseconds that SQLite waits for another process to end its transaction. Default 2 s; later looks try again.
    package var busyMilliseconds: Int32 = 2_000

    package init() {}
}
