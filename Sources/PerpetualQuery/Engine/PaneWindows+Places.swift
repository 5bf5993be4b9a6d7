import CPrefetch

// Where a row will go, found without making anything.
extension PaneWindows {
    /// Panes of a timeline that are looked at one by one, which needs no division. There are mostly two.
    private static let paneStepsMax = 4

    /// The timeline's pane that holds a time; −1 when it is not there, or is not found at once.
    @inline(__always)
    func knownPane(_ timeline: Int32, holding time: Int64) -> Int32 {
        guard Int(timeline) < timelines.count else { return -1 }
        let last = timelines[Int(timeline)].lastPane
        if last >= 0, holds(last, time) { return last }
        let number = self.pane(timeline, from: time)
        guard number >= 0, holds(number, time) else { return -1 }
        timelines[Int(timeline)].lastPane = number
        return number
    }

    /// The first pane that does not end before a time; −1: there is none, or too many come before.
    @inline(__always)
    private func pane(_ timeline: Int32, from time: Int64) -> Int32 {
        var number = timelines[Int(timeline)].firstPane
        var left = Self.paneStepsMax
        while number >= 0, panes[Int(number)].end < time {
            left -= 1
            number = left > 0 ? panes[Int(number)].next : -1
        }
        return number
    }

    @inline(__always)
    private func holds(_ number: Int32, _ time: Int64) -> Bool {
        let end = panes[Int(number)].end
        return time <= end && end &- time < pane
    }

    @inline(__always)
    func hash(_ keyHash: UInt64, _ pane: Int32) -> UInt64 {
        (keyHash ^ UInt64(UInt32(bitPattern: pane))) &* 0x9E37_79B9_7F4A_7C15
    }

    @inline(__always)
    func slot(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash >> 20) & (slotCount - 1) }

    /// Fetches the group that a row of timeline 0 will probably go to.
    @inline(__always)
    func prefetch(_ time: Int64, hash keyHash: UInt64) {
        guard !timelines.isEmpty else { return }
        let pane = self.pane(0, from: time)
        if pane < 0 { return }
        let number = slots[slot(hash(keyHash, pane))]
        if number < 0 { return }
        let place = cells + Int(number) * stride
        headend_prefetch(place)
        if stride > 64 { headend_prefetch(place + 64) }
    }
}
