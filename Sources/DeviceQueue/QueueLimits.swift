/// The limits of a device queue; each with its unit, default and reason.
package struct QueueLimits: Sendable {
    /// Bytes of a segment file. 64 MiB: zero-filling one takes well under a second, and a day at 1,000
    /// readings a second is some 300 files.
    package var segmentBytes = 64 << 20
    /// Bytes of the largest record frame. 17 MiB: a 16 MiB payload with its topic and properties; must fit a
    /// segment.
    package var recordBytesMax = 17 << 20
    /// Devices. 1.1 million: the stated scale of one node with a margin. One costs 75 bytes and its name in
    /// memory (24 sequence and place, 24 name entry, 8 to 16 slots, 4 in the order for lists), up to twice that
    /// just after a table has doubled, and in each segment that it writes to a definition of 40 bytes and its name
    /// and 32 bytes of sidecar.
    package var devices = 1_100_000
    /// Clients that used QoS 2. As devices.
    package var clients = 1_100_000
    /// Bytes of a device's name. 128: the ingest rules' limit.
    package var deviceNameBytesMax = 128
    /// Bytes of a client identifier. 65,535: MQTT 5.0 §1.5.4.
    package var clientNameBytesMax = 65_535
    /// Bytes of all client identifiers together. 256 MiB: four million usual ones, or four thousand of the longest.
    /// Who comes above it, or above `clients`, has its QoS 2 state in memory only.
    package var clientNamesBytesMax = 256 << 20
    /// Bytes appended and not yet committed. 256 MiB: a stalled disk at full rate for a third of a second.
    package var pendingBytesMax = 256 << 20
    /// Bytes of the latest log kept in memory, so that a repetition is compared without the disk. 16 MiB.
    package var recentBytes = 16 << 20
    /// Bytes of one block of that memory. 1 MiB: few writes a commit.
    package var chunkBytes = 1 << 20
    /// Ticks (100 ns) a message id is remembered at least. 24 h.
    package var dedupHorizonTicks: Int64 = 24 * 3_600 * 10_000_000
    /// Last records of each device whose ids are remembered however old they are. 1,000.
    package var dedupMinimum = 1_000
    /// Bytes of the memory of message ids, about 32 an id. 1 GiB: 33 million ids. When it does not suffice
    /// the oldest ids are forgotten early and counted.
    package var dedupBytesMax = 1 << 30
    /// Slots of the first table, a power of two. 2^20: 25 MB, touched at start.
    package var dedupSlots = 1 << 20
    /// Records whose repetitions are counted one by one, about 40 bytes each. 2^20: 40 MB at worst; beyond it the
    /// counts of the oldest are forgotten, totals stay exact.
    package var repeatedRecords = 1 << 20
    /// Bytes of the log between two states for a fast restart, at least, and eight times the size of a state when
    /// that is more. 256 MiB: a million readings, read in half a second at a restart.
    package var snapshotBytes = 256 << 20
    /// What is removed from the front of the log. Nothing.
    package var retention = RetentionPolicy()
    /// Segment files held open for reading. 64: far below the usual 1,024 descriptors.
    package var openSegments = 64
    /// Bytes of the newest segments that the system may keep in its page cache. 512 MiB: seconds of the fastest
    /// load, hours of a usual one. Older pages are given back, so that zero-filling finds warm memory: fresh
    /// pages cost a virtual machine eight times as much (0.14 against 0.018 CPU s for 64 MiB).
    package var cachedBytes = 512 << 20
    /// Bytes of the newest log that are never compressed; nil compresses nothing. 256 MiB: below `cachedBytes`, so
    /// that a segment is compressed from memory; repetitions come from the newest minutes.
    package var plainBytes: Int? = 256 << 20
    /// Bytes of uncompressed blocks kept for readers of compressed segments. 4 MiB: 64 blocks, a page of each
    /// of 64 devices.
    package var blockCacheBytes = 4 << 20
    /// Bytes of the sidecars kept in memory, 32 for each device of a segment; the one in use is kept whatever it
    /// has. 32 MiB: a segment of 64 MiB with one reading of each of its devices has 9 MB.
    package var indexCacheBytes = 32 << 20
    /// Bytes of a reader's buffer. 1 MiB: sequential reads at full speed.
    package var readBytes = 1 << 20

    package init() {}

    /// Bytes that definitions and the commit frame may add before one record.
    var overheadBytesMax: Int {
        let definition = FrameLayout.definitionHeaderBytes
        return FrameLayout.commitBytes + 3 * definition + deviceNameBytesMax + clientNameBytesMax + 16
    }

    /// - Throws: `.invalidLimits` when a largest record would not fit a segment.
    func validate() throws(QueueError) {
        let room = segmentBytes - LogFormat.segmentHeaderBytes - LogFormat.segmentReserveBytes
        guard segmentBytes % 8 == 0, segmentBytes <= Int(Int32.max) else {
            throw .invalidLimits("segmentBytes \(segmentBytes) must be a multiple of 8 below 2 GiB")
        }
        guard recordBytesMax + overheadBytesMax <= room else {
            throw .invalidLimits(
                "a record of \(recordBytesMax) bytes (recordBytesMax) does not fit a segment of "
                    + "\(segmentBytes) bytes (segmentBytes); make the segment at least "
                    + "\((recordBytesMax + overheadBytesMax + segmentBytes - room + 7) & ~7) bytes")
        }
        guard deviceNameBytesMax <= 65_535, clientNameBytesMax <= 65_535 else {
            throw .invalidLimits("names have at most 65,535 bytes")
        }
        guard devices < Int(UInt32.max), clients < Int(UInt32.max), devices > 0, clients > 0 else {
            throw .invalidLimits("devices and clients must be between 1 and 4,294,967,294")
        }
        guard dedupSlots >= 64, dedupSlots & (dedupSlots - 1) == 0, chunkBytes >= 4_096,
            chunkBytes % 8 == 0, readBytes >= 4_096, readBytes % 8 == 0, openSegments > 0,
            dedupHorizonTicks >= 4, dedupMinimum >= 0, dedupMinimum < 1 << 31
        else {
            throw .invalidLimits(
                "dedupSlots must be a power of two from 64; chunkBytes and readBytes multiples of 8 from "
                    + "4,096; openSegments, dedupHorizonTicks and dedupMinimum positive")
        }
        guard plainBytes ?? 0 >= 0, blockCacheBytes >= 0 else {
            throw .invalidLimits("plainBytes and blockCacheBytes are not negative")
        }
        guard pendingBytesMax >= recordBytesMax + overheadBytesMax else {
            throw .invalidLimits("pendingBytesMax must hold at least one record of recordBytesMax")
        }
    }
}
