import PerpetualQuery
import Telemetry

// Why is there no output?
extension QueryStatus {
    /// In a few sentences, what keeps a result from coming, or what comes next.
    ///
    /// - Parameter durableEnd: where the log ends, in bytes.
    func explanation(durableEnd: UInt64) -> String {
        let backlog = durableEnd - min(consumed.bytes, durableEnd)
        let name = definition.name
        switch state {
        case .paused:
            return
                "It is paused, and \(Counted.text(backlog, "byte")) of the log wait for it, which retention keeps: "
                + "headend query resume \(name)."
        case .failed: return "It does not run, and is tried again every second: \(failure ?? "")."
        case .blocked:
            return
                "A row cannot be computed, and it is tried again (on error: retry): \(failure ?? ""). Edit the "
                + "query: headend query edit \(name) FILE."
        case .stopped:
            return "A row could not be computed (on error: stop): \(failure ?? ""). Edit the query, or "
                + "headend query resume \(name)."
        case .catchingUp: return "It reads what came before: \(Counted.text(backlog, "byte")) to go."
        case .running: break
        }
        return ([progress] + blockedSinks + absentFields + misplacedEvents + begin).joined(separator: " ")
    }

    private var progress: String {
        if let window = nextWindow { return open(window) }
        if waitingRows > 0 {
            return wait
        }
        if joinedRows > 0 {
            return
                "\(Counted.text(joinSides.left, "row")) of the left side of the join and \(joinSides.right) of the "
                + "right wait for partners\(since).\(holder ?? "")"
        }
        if counters.events == 0 { return "No event has come since it began." }
        if counters.notJSON == counters.events {
            return
                "None of \(events) is a JSON object, so they have no fields."
        }
        if counters.accepted == 0 {
            return
                "None of \(events) counts: \(counters.early) were early, \(counters.late) late, "
                + "\(counters.outOfOrder) out of order, \(counters.withoutTime) had no time in TIMESTAMP BY."
        }
        if counters.rows == 0 {
            let accepted = Counted.text(counters.accepted, "event")
            return
                "\(accepted) came, and none passed the conditions (WHERE, HAVING, JOIN)."
        }
        return "Nothing is open: all that came has its result."
    }

    private var events: String { Counted.text(counters.events, "event") }

    /// Rows that are put in order.
    private var wait: String {
        let policy = definition.timePolicy
        let tolerance = policy.outOfOrderToleranceTicks
        var text = "\(Counted.text(waitingRows, "row waits", "rows wait")) until time is past"
        text += tolerance > 0 ? " by the out-of-order tolerance of \(Self.span(tolerance))" : ""
        // What is older than that when it comes is late, so nothing can come before them any more.
        if policy.lateToleranceTicks != TimePolicy.unlimited {
            text += ", or the hub's clock by the late tolerance of \(Self.span(policy.lateToleranceTicks))"
        }
        return text + "\(since).\(holder ?? "")"
    }

    /// Whom time waits for.
    private var holder: String? {
        guard shape.waitsForDevices else { return nil }
        guard let last = lastDevice else {
            return " No device is waited for: none has sent anything for as long as idleAfter says."
        }
        if last.deviceCount == 1 {
            return " It is that of \(last.device), the only device that has sent lately."
        }
        let end = last.idleAt.map { ", or the hub's clock is past \($0)" } ?? " (idleAfter is unlimited)"
        return
            " It waits for \(last.device), furthest behind of \(Counted.text(last.deviceCount, "device")) at "
            + "\(last.time), until that sends something later\(end)."
    }

    /// How far time is.
    private var since: String { watermark.map { "; time is \($0)" } ?? "" }

    private func open(_ window: OpenWindow) -> String {
        let owner = window.timeline.map { " of the timeline \($0)" } ?? ""
        let late = definition.timePolicy.lateToleranceTicks
        var clock = ", or the hub's clock past \(window.end)"
        if shape.takesPayloadTime {
            clock =
                late == TimePolicy.unlimited
                ? " (late is unlimited: the clock closes nothing)"
                : ", or the hub's clock past \(window.end.adding(ticks: late))"
        }
        let what = shape.hasSessions ? "session or window" : "window"
        let longer = shape.hasSessions ? " One that comes before makes a session longer." : ""
        let closing =
            holder == nil ? "An event that moves it past the end closes it" : "Events past the end close it"
        let time = window.time?.description ?? "not known yet"
        return "The \(what) that ends at \(window.end) is open\(owner): its time is "
            + "\(time).\(holder ?? "") \(closing)\(clock)." + longer
    }

    private var blockedSinks: [String] {
        sinks.compactMap { sink in
            let rows = Counted.text(sink.outbox, "row waits", "rows wait")
            return sink.failure.map { "\(rows) for \(sink.name), which is tried again: \($0)." }
        }
    }

    private var absentFields: [String] {
        missingFields.map { missing in
            let hint = missing.suggestion.map { "; did you mean \"\($0)\"?" } ?? "."
            return
                "The field \"\(missing.field)\" was in none of "
                + "\(Counted.text(missing.events, "event")) looked at\(hint)"
        }
    }

    /// Said when it is more than now and then.
    private var misplacedEvents: [String] {
        misplaced.compactMap { event in
            let count =
                switch event.reason {
                case "early": counters.early
                case "late": counters.late
                default: counters.outOfOrder
                }
            guard counters.events > 0, count * 10 > counters.events else { return nil }
            let what = event.reason == "out_of_order" ? "out of order" : event.reason
            let last =
                "\(count) of \(events) \(count == 1 ? "was" : "were") \(what), the last of "
                + "\(event.device): it said "
                + "\(event.eventTime) and came at \(event.arrivalTime)"
            switch event.reason {
            case "early":
                return last
                    + ", \(Self.span(event.eventTime.ticks - event.arrivalTime.ticks)) before: its clock is "
                    + "ahead, or its time is in another zone or unit."
            case "late":
                return last
                    + ", \(Self.span(event.arrivalTime.ticks - event.eventTime.ticks)) later; late may be up "
                    + "to \(Self.span(definition.timePolicy.lateToleranceTicks))."
            default:
                let over =
                    shape.hasTimelines || shape.waitsForDevices
                    ? ""
                    : " One device with a fast clock does this to all others: TIMESTAMP BY … OVER device."
                return last + ", when time was \(event.watermark?.description ?? "not known").\(over)"
            }
        }
    }

    private var begin: [String] {
        guard let after = definition.rowsAfter, counters.rows == 0 || watermark.map({ $0 < after }) ?? false
        else { return [] }
        return ["Rows begin after \(after), where the query was told to start."]
    }

    /// `2 h 3 min`, two units at most.
    static func span(_ ticks: Int64) -> String {
        if ticks == TimePolicy.unlimited { return "unlimited" }
        let units: [(String, Int64)] = [
            ("d", 864_000_000_000), ("h", 36_000_000_000), ("min", 600_000_000), ("s", 10_000_000),
            ("ms", 10_000),
        ]
        guard let first = units.firstIndex(where: { ticks >= $0.1 }) else { return "0 s" }
        var parts: [String] = []
        var rest = ticks
        for (name, size) in units[first...].prefix(2) where rest >= size {
            parts.append("\(rest / size) \(name)")
            rest %= size
        }
        return parts.joined(separator: " ")
    }
}
