/// The limits of consumer groups; each with its unit, default and reason.
package struct GroupLimits: Sendable {
    /// Groups of one hub. 1,000: each has a file and, while it is read, a reader's buffer of 1 MiB.
    package var groups = 1_000
    /// Bytes of a group's name, which is also the name of its file. 64.
    package var nameBytesMax = 64
    /// Members of one group at a time. 256: every one may have a request that waits.
    package var members = 256
    /// Bytes of a member's name. 128.
    package var memberNameBytesMax = 128
    /// Devices a group may list by name. 1,000; a pattern covers more.
    package var deviceNames = 1_000
    /// Bytes of a device name or pattern. 128: the ingest rules' limit.
    package var deviceNameBytesMax = 128
    /// Records of one group read from the log and not committed; about 48 bytes each. 32,768: so far members may
    /// be ahead of the slowest of them.
    package var windowRecords = 32_768
    /// Records one member may have delivered and not committed. 10,000.
    package var memberRecords = 10_000
    /// Bytes of log frames of those records; a single larger record is delivered alone. 16 MiB.
    package var memberBytes = 16 << 20
    /// Records of one answer at most. 10,000, as everywhere in the interface.
    package var fetchRecords = 10_000
    /// Bytes of log frames in one answer, unless a single record is larger. 4 MiB.
    package var fetchBytes = 4 << 20
    /// Nanoseconds a member may be silent before what it has not committed goes to others, unless it asks for
    /// another time. 30 s.
    package var leaseNanoseconds: UInt64 = 30_000_000_000
    /// The shortest and the longest time a member may ask for. 1 s to 1 h: shorter gives records away over a
    /// hiccup of the network, longer keeps a dead member's devices waiting.
    package var leaseNanosecondsMin: UInt64 = 1_000_000_000
    package var leaseNanosecondsMax: UInt64 = 3_600_000_000_000
    /// Nanoseconds a request may wait for a record. 5 min: below the patience of most proxies.
    package var waitNanosecondsMax: UInt64 = 300_000_000_000
    /// Bytes of the log a group may have passed over, all of other devices, before its place is saved without a
    /// commit. 16 MiB: what a restart reads again at most, some milliseconds.
    package var unsavedBytes: UInt64 = 16 << 20

    package init() {}
}
