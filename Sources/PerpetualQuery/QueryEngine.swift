package import Telemetry

/// Runs one query plan over one shard's records: records and ticks in, result rows out.
///
/// Sans-I/O: time comes in with the records and ticks, so that the same input gives the same rows with the
/// same ids, and a replay from a checkpoint goes on exactly where it stood. Not thread-safe: one owner calls
/// it.
///
/// A window closes when its device's watermark is past its end (strictly: an event at the watermark is still
/// accepted). Rows of one call stand in the order (window end, device id, field). Source: `semantics` §§2–3.
package final class QueryEngine {
    package let plan: QueryPlan
    package let limits: EngineLimits
    let fields: FieldNames
    let store = WindowStore()
    let windowTicks: Int64
    /// The least watermark of any device, in ticks, raised by ticks; `Int64.min` before the first.
    var floor = Int64.min
    /// Ends of windows that gave rows and are not yet complete for all devices: the least and the greatest.
    var emittedEarliest = Int64.max
    var emittedLatest = Int64.min
    var totals = EngineCounters()

    /// A value of the record in hand, between the scan and its group.
    struct Pending {
        var field: UInt32
        /// 0: an Int64's bits. 1: a Double's. 2: void, the name came again with no number.
        var kind: UInt32
        var bits: UInt64
    }
    let pending: UnsafeMutablePointer<Pending>
    var pendingCount = 0
    /// By field number: the record that used it last, and where in `pending`.
    var marks: UnsafeMutablePointer<(record: UInt64, index: Int)>
    var markCapacity = 256
    var recordCount: UInt64 = 0
    /// Fields of the record in hand that a limit refused.
    var refusedFields = 0
    var emitOrder: [(field: UInt32, cell: UnsafeMutablePointer<Accumulator>)] = []
    var snapshotOrder: [Accumulator] = []

    /// - Parameter plan: its window size must be 1 tick to 7 days, its tolerances not negative.
    package init(plan: QueryPlan, limits: EngineLimits = EngineLimits()) {
        windowTicks = plan.window.sizeTicks
        precondition(windowTicks > 0, "a window has a size")
        precondition(windowTicks <= Window.sizeTicksMax, "a window is at most 7 days")
        precondition(plan.timePolicy.earlyToleranceTicks >= 0, "tolerances are not negative")
        precondition(plan.timePolicy.lateToleranceTicks >= 0, "tolerances are not negative")
        precondition(plan.timePolicy.outOfOrderToleranceTicks >= 0, "tolerances are not negative")
        self.plan = plan
        self.limits = limits
        fields = FieldNames(excludedNames: plan.expansion.excludedNames, limits: limits)
        pending = .allocate(capacity: max(limits.fieldsPerRecordMax, 1))
        marks = .allocate(capacity: markCapacity)
        marks.initialize(repeating: (0, 0), count: markCapacity)
    }

    /// Goes on from a checkpoint.
    ///
    /// - Parameter state: what `snapshot()` of an engine with the same plan returned.
    /// - Throws: when the bytes are damaged, of a newer format or of another plan.
    package convenience init(
        plan: QueryPlan, restoring state: [UInt8], limits: EngineLimits = EngineLimits()
    ) throws(CheckpointError) {
        self.init(plan: plan, limits: limits)
        try restore(state)
    }

    deinit {
        pending.deallocate()
        marks.deallocate()
    }

    /// Takes one record, in the order of the log.
    ///
    /// - Parameters:
    ///   - deviceName: the name of a device number; called only for rows.
    ///   - rows: the rows that come of it are appended: closed windows, a `_late` row, `_errors` rows.
    package func process(_ record: RecordView, deviceName: (UInt32) -> DeviceID, rows: inout [ResultRow]) {
        guard record.device < limits.devicesMax else {
            return appendError(record, .devices, deviceName, &rows)
        }
        guard Self.ticksRange.contains(record.eventTime.ticks),
            Self.ticksRange.contains(record.arrivalTime.ticks)
        else { return appendError(record, .timeRange, deviceName, &rows) }
        let device = store.device(record.device)
        let policy = plan.timePolicy
        let watermark = policy.watermark(greatest: device.pointee.greatest, floor: floor)
        let ticks: Int64
        switch policy.judge(
            event: record.eventTime.ticks, arrival: record.arrivalTime.ticks, watermark: watermark)
        {
        case .accepted(let accepted, let retimed):
            ticks = accepted
            if let retimed { count(retimed) }
        case .refused(let reason):
            count(reason)
            if policy.lateAction == .divert { appendLate(record, reason, watermark, deviceName, &rows) }
            return
        }
        totals.accepted += 1
        if device.pointee.greatest == Int64.min { totals.devices += 1 }
        if ticks > device.pointee.greatest { device.pointee.greatest = ticks }
        expand(record.payload)
        if pendingCount > 0 {
            aggregate(record, at: ticks, deviceName, &rows)
        } else {
            totals.withoutFields += 1
        }
        if refusedFields > 0 { appendError(record, .fields, deviceName, &rows) }
        let raised = policy.watermark(greatest: device.pointee.greatest, floor: floor)
        if raised > device.pointee.earliestEnd {
            closeWindows(of: record.device, before: raised, deviceName, &rows)
        }
    }

    /// The hub's clock says it is `arrival`: every device's watermark is now at least that less the late
    /// tolerance, and the windows before it close. A tick that goes back does nothing. A tick for which
    /// `needsTick` is true must be in the log before it is given here, so that a replay closes the same
    /// windows at the same point.
    ///
    /// - Parameter drain: takes the rows out of the array whenever there are `EngineLimits.rowsPerDrain` of them,
    ///   so that a tick that closes a window of every device needs no memory for all the rows at once.
    package func tick(
        arrival: EventTime, deviceName: (UInt32) -> DeviceID, rows: inout [ResultRow],
        drain: (inout [ResultRow]) -> Void = { _ in }
    ) {
        raiseFloor(to: plan.timePolicy.lateFloor(arrival: arrival.ticks), deviceName, &rows, drain)
    }

    /// The end of the input: closes every window. Records of the closed windows that come all the same are
    /// out of order.
    package func flush(deviceName: (UInt32) -> DeviceID, rows: inout [ResultRow]) {
        let last = max(emittedLatest, store.latestEnd ?? Int64.min)
        guard last != Int64.min else { return }
        raiseFloor(to: last + 1, deviceName, &rows, { _ in })
    }

    /// Every window that ends at or before this moment is closed for all devices, and stays so. nil before
    /// the first tick (and with an unlimited late tolerance, until `flush`).
    package var completeThrough: EventTime? {
        floor == Int64.min ? nil : EventTime(ticks: lastEnd(before: floor))
    }

    /// Whether a tick at `now` would change anything that can be seen: close a window, or complete a window
    /// end for which rows went out. It may say yes for an end without rows between two that have some.
    package func needsTick(now: EventTime) -> Bool {
        let next = plan.timePolicy.lateFloor(arrival: now.ticks)
        guard next > floor else { return false }
        return next > store.earliestEnd || lastEnd(before: next) >= emittedEarliest
    }

    package var counters: EngineCounters {
        var counters = totals
        counters.openWindows = UInt64(store.openWindows)
        counters.openGroups = UInt64(store.openGroups)
        counters.fields = UInt64(fields.names.count)
        return counters
    }

    /// Bytes of the state of devices and windows. Looks at every open window: for tests and status, not for each
    /// batch.
    package var stateBytes: Int { store.byteCount }

    /// Years 1 to 9999: what the formats can print, and far from the ends of Int64.
    static let ticksRange: Range<Int64> = -621_355_968_000_000_000..<2_534_023_008_000_000_000

    private func count(_ reason: TimePolicy.Refusal) {
        switch reason {
        case .early: totals.early += 1
        case .late: totals.late += 1
        case .outOfOrder: totals.outOfOrder += 1
        }
    }

    /// The greatest window end that a watermark has passed.
    private func lastEnd(before watermark: Int64) -> Int64 {
        guard watermark > Int64.min + 2 * Window.sizeTicksMax else { return Int64.min }
        return EventTime(ticks: watermark - windowTicks).windowEnd(sizeTicks: windowTicks).ticks
    }

    private func raiseFloor(
        to next: Int64, _ deviceName: (UInt32) -> DeviceID, _ rows: inout [ResultRow],
        _ drain: (inout [ResultRow]) -> Void
    ) {
        guard next > floor else { return }
        floor = next
        closeAllWindows(before: next, deviceName, &rows, drain)
        let complete = lastEnd(before: next)
        if complete >= emittedLatest {
            emittedEarliest = Int64.max
            emittedLatest = Int64.min
        } else if complete >= emittedEarliest {
            emittedEarliest = complete + windowTicks
        }
    }
}
