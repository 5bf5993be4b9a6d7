/// What an engine may hold. Past a limit it throws a failure that names the limit: never a silent loss,
/// never a trap.
package struct StreamLimits: Hashable, Sendable {
    /// Timelines of TIMESTAMP BY … OVER. Default 4,194,304, as many as devices; 40 bytes each.
    package var timelinesMax = 1 << 22
    /// Open groups of all windows of one GROUP BY. Default 4,194,304; 100 to 200 bytes each.
    package var openGroupsMax = 1 << 22
    /// Bytes of one group's key. Default 16,384: above any real name.
    package var keyBytesMax = 1 << 14
    /// Values that COUNT(DISTINCT) of one GROUP BY remembers. Default 16,777,216; about 60 bytes each. The
    /// count is exact or an error, never a sketch.
    package var distinctValuesMax = 1 << 24
    /// Values that Collect, CollectTop, TopOne and percentiles of one GROUP BY hold. Default 4,194,304.
    package var collectedValuesMax = 1 << 22
    /// Rows of one sliding window, session or OVER clause. Default 4,194,304.
    package var windowRowsMax = 1 << 22
    /// Rows that wait for their turn, of one stage. Default 4,194,304.
    package var sortedRowsMax = 1 << 22
    /// Rows of either side of one JOIN of streams. Default 4,194,304.
    package var joinRowsMax = 1 << 22
    /// Names of events that are remembered to find duplicates, of one input. Default 134,217,728; 19 to 39 bytes
    /// each.
    package var deduplicationMax = 1 << 27
    /// Field spellings that one input's decoder remembers; others are looked at each time. Default 65,536.
    package var fieldNamesMax = 1 << 16
    /// Bytes of a text that a function makes. Default 1 MiB.
    package var textBytesMax = 1 << 20
    /// Bytes of a payload that a `_late` or `_errors` row carries; of a longer one it has NULL. Default
    /// 65,536.
    package var rowPayloadBytesMax = 1 << 16
    /// Rows of one reference table. Default 4,194,304.
    package var referenceRowsMax = 1 << 22

    /// Rows that a tick collects before it has them taken away. Default 4,096: some 2 MB.
    package var rowsPerDrain = 4_096
    /// Keys the hash tables that hold peers' names: whoever does not know it cannot choose names that collide. A
    /// program that takes strangers' events draws it at random; results do not depend on it. Default: a constant.
    package var hashKey: UInt64 = 0x9E37_79B9_7F4A_7C15

    package init() {}
}
