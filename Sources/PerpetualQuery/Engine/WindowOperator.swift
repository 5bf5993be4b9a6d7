/// A closed group on its way out.
struct ClosedGroup {
    var key: UnsafeRawBufferPointer
    var block: UnsafeMutableRawPointer
    var timeline: Int32
    var start: Int64
    var end: Int64
}

/// The windows of one GROUP BY of one kind. Subclasses keep the open groups.
///
/// A window closes when its timeline's time is past its end, strictly: a row at that very time is still
/// welcome.
class WindowOperator {
    let state: GroupState
    let id: String?
    let kind: RowContext.Kind
    let limits: StreamLimits

    init(state: GroupState, plan: WindowPlan, kind: RowContext.Kind, limits: StreamLimits) {
        self.state = state
        id = plan.id
        self.kind = kind
        self.limits = limits
    }

    /// Adds a row to its group.
    ///
    /// - Returns: what is wrong; nil when nothing is.
    func add(
        _ context: RowContext, _ frame: UnsafeMutablePointer<Datum>, key: UnsafeRawBufferPointer, hash: UInt64
    ) -> RowFailure? { nil }

    /// The least end of the open windows of a timeline, or with −1 of all; `Int64.max` when none is open.
    func earliest(_ timeline: Int32) -> Int64 { Int64.max }

    /// Closes the windows with the earliest end of a timeline, or with −1 of all, and hands out their
    /// groups in the order of their keys.
    func close(_ timeline: Int32, _ body: (ClosedGroup) -> RowFailure?) -> RowFailure? { nil }

    /// The timeline of the window that ends first; nil when it is not known.
    var earliestTimeline: Int? { nil }
    var openGroups: Int { 0 }
    /// Bytes of the groups, about; those of what groups keep outside (collections, distinct values) not counted.
    var stateBytes: Int { openGroups * (160 + state.layout.byteCount) }
    var latestEnd: Int64? { nil }
    func write(to writer: inout StateWriter) {}
    func read(_ reader: inout StateReader) throws(CheckpointError) {}

    static func make(_ plan: WindowPlan, _ group: GroupPlan, _ state: GroupState, _ limits: StreamLimits)
        -> WindowOperator
    {
        switch plan.kind {
        case .hopping(let size, let hop, let offset):
            PaneWindows(
                size: size, hop: hop, offset: offset, state: state, plan: plan,
                kind: size == hop ? .tumbling : .hopping, limits: limits)
        case .snapshot:
            PaneWindows(size: 1, hop: 1, offset: 0, state: state, plan: plan, kind: .snapshot, limits: limits)
        case .sliding(let size): SlidingWindows(size: size, state: state, plan: plan, limits: limits)
        case .session(let timeout, let longest, let partition):
            SessionWindows(
                timeout: timeout, longest: longest, partition: partition,
                isPartOfKey: partition.allSatisfy(group.keySlots.contains), state: state, plan: plan,
                limits: limits)
        }
    }

    /// Sorts groups by their keys: by the eight bytes behind what all keys begin with, which mostly decide.
    static func sort(_ groups: inout [(prefix: UInt64, key: UnsafeRawBufferPointer, number: Int32)]) {
        guard groups.count > 1 else { return }
        let first = groups[0].key
        var shared = first.count
        for index in groups.indices { shared = sharedCount(first, groups[index].key, atMost: shared) }
        if shared > 0 {
            for index in groups.indices {
                groups[index].prefix = prefix(UnsafeRawBufferPointer(rebasing: groups[index].key[shared...]))
            }
        }
        groups.sort { left, right in
            left.prefix != right.prefix ? left.prefix < right.prefix : Datum.order(left.key, right.key) < 0
        }
    }

    /// Bytes that two keys begin with in common.
    private static func sharedCount(
        _ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer, atMost limit: Int
    ) -> Int {
        let end = min(limit, right.count)
        var at = 0
        while at < end, left[at] == right[at] { at += 1 }
        return at
    }

    static func prefix(_ key: UnsafeRawBufferPointer) -> UInt64 {
        if key.count >= 8 { return key.loadUnaligned(as: UInt64.self).bigEndian }
        var prefix: UInt64 = 0
        for index in 0..<8 { prefix = prefix << 8 | UInt64(index < key.count ? key[index] : 0) }
        return prefix
    }
}
