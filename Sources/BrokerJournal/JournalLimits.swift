/// The limits of the journal's files.
package struct JournalLimits: Sendable {
    /// Bytes of a segment, unless a single group of records is larger. 32 MiB: small enough that a few waiting
    /// messages do not hold much, large enough that segments are made seldom.
    package var segmentBytes = 32 << 20
    /// Bytes of zeros written ahead of the records: a sync that does not change the file's length costs half.
    package var aheadBytes = 1 << 20
    /// Bytes of one record: the largest packet, with room around it.
    package var recordBytesMax = 32 << 20

    package init() {}
}
