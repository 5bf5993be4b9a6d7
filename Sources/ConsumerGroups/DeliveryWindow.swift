/// The records between a group's cursor and the place it has read the log to, in log order: which member has
/// which, and which are committed. It holds no contents, about 48 bytes a record.
///
/// A device belongs to the member that has records of it uncommitted, so its records are never with two members at
/// once and reach them in order; a device without any is free for whoever asks next.
struct DeliveryWindow {
    struct Entry {
        var offset: UInt64
        var sequence: UInt64
        var arrivalTicks: Int64
        var device: UInt32
        var byteCount: UInt32
        /// `ready`, `done`, or the session that has it.
        var owner: UInt64
        var deliveries: UInt32
    }

    private struct Lane {
        var count = 0
        var inFlight = 0
        /// The session that has records of the device; 0 for none.
        var holder: UInt64 = 0
    }

    static let ready: UInt64 = 0
    static let done: UInt64 = .max

    private(set) var entries = NumberedList<Entry>()
    private var lanes: [UInt32: Lane] = [:]
    /// No entry before this number is ready.
    private var readyFrom: UInt64 = 0
    /// Entries that are committed behind one that is not.
    private(set) var doneCount = 0
    private(set) var inFlightCount = 0

    var count: Int { entries.count }
    var readyCount: Int { entries.count - doneCount - inFlightCount }

    mutating func append(_ entry: Entry) {
        entries.append(entry)
        lanes[entry.device, default: Lane()].count += 1
        if entry.owner == Self.done { doneCount += 1 }
    }

    /// Gives a session the first records that it may have, in log order.
    ///
    /// - Parameters:
    ///   - bytesMax: of their frames together, but for a first record when `takesOne`.
    mutating func claim(
        for session: UInt64, recordsMax: Int, bytesMax: Int, takesOne: Bool,
        _ body: (_ number: UInt64, _ entry: Entry) -> Void
    ) {
        var number = max(readyFrom, entries.first)
        var left = recordsMax
        var bytes = 0
        var isBehindAll = true
        while number < entries.end, left > 0 {
            var entry = entries[number]
            if entry.owner == Self.ready {
                let holder = lanes[entry.device]?.holder ?? 0
                if holder == 0 || holder == session {
                    let isFirst = bytes == 0 && takesOne
                    guard isFirst || bytes + Int(entry.byteCount) <= bytesMax else { break }
                    entry.owner = session
                    entry.deliveries += 1
                    entries[number] = entry
                    lanes[entry.device, default: Lane()].holder = session
                    lanes[entry.device, default: Lane()].inFlight += 1
                    inFlightCount += 1
                    left -= 1
                    bytes += Int(entry.byteCount)
                    body(number, entry)
                } else {
                    isBehindAll = false
                }
            }
            number += 1
            if isBehindAll { readyFrom = number }
        }
    }

    /// A record of a session is committed.
    mutating func complete(_ number: UInt64) {
        entries[number].owner = Self.done
        doneCount += 1
        leave(entries[number].device)
    }

    /// A record of a session is to be delivered again.
    mutating func release(_ number: UInt64) {
        entries[number].owner = Self.ready
        readyFrom = min(readyFrom, number)
        leave(entries[number].device)
    }

    private mutating func leave(_ device: UInt32) {
        inFlightCount -= 1
        lanes[device, default: Lane()].inFlight -= 1
        if lanes[device]?.inFlight == 0 { lanes[device]?.holder = 0 }
    }

    /// Drops the committed records before the first that is not.
    ///
    /// - Returns: how many.
    mutating func dropDone() -> Int {
        var dropped = 0
        while entries.oldest?.owner == Self.done {
            dropOldest()
            dropped += 1
        }
        return dropped
    }

    /// Drops the oldest record, which nobody has.
    mutating func dropOldest() {
        guard let entry = entries.oldest else { return }
        precondition(entry.owner == Self.done || entry.owner == Self.ready)
        if entry.owner == Self.done { doneCount -= 1 }
        entries.removeOldest()
        lanes[entry.device]?.count -= 1
        if lanes[entry.device]?.count == 0 { lanes[entry.device] = nil }
    }

    /// For each device the last record that is committed together with all of its records before it, ascending by
    /// device; only what is in the window.
    func committedAhead() -> [CommittedDevice] {
        var left = doneCount
        var places: [UInt32: Int] = [:]
        var ahead: [CommittedDevice] = []
        var blocked: Set<UInt32> = []
        var number = entries.first
        while left > 0, number < entries.end {
            let entry = entries[number]
            number += 1
            guard entry.owner == Self.done else {
                blocked.insert(entry.device)
                continue
            }
            left -= 1
            if blocked.contains(entry.device) { continue }
            if let place = places[entry.device] {
                ahead[place].sequence = entry.sequence
            } else {
                places[entry.device] = ahead.count
                ahead.append(CommittedDevice(device: entry.device, sequence: entry.sequence))
            }
        }
        return ahead.sorted { $0.device < $1.device }
    }
}
