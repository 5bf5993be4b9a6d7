package import Telemetry

/// What the proof found.
package struct VerifyReport: Sendable, Equatable {
    /// How often something was found, and the first few cases in words.
    package struct Finding: Sendable, Equatable {
        /// Cases kept word for word.
        package static let examplesMax = 5
        package private(set) var count = 0
        package private(set) var examples: [String] = []

        package init() {}

        mutating func add(_ example: @autoclosure () -> String) {
            count += 1
            if examples.count < Self.examplesMax { examples.append(example()) }
        }
    }

    /// Lines of the answer key, by what is expected.
    package var keyOnce = 0
    package var keyNever = 0
    package var keyQuarantine = 0
    /// Readings of the key with `once` that are stored, each counted once.
    package var storedOnce = 0
    /// Stored readings the key knows nothing of: real devices, or a fleet that ended before it wrote its key.
    package var storedBesideKey = 0
    /// Readings set aside in quarantine, of the key or not.
    package var quarantined = 0
    /// Records that retention removed: the first of each device. Whether they were counted once is not proved any
    /// more.
    package var removedByRetention = 0
    /// Quarantined messages that retention removed, replayed or not.
    package var quarantineRemoved = 0
    /// Stored readings that are not in their window, because they came too late or too early.
    package var late = 0
    /// Windows compared with their rows, and the moment up to which each window must have one.
    package var windowsChecked = 0
    /// Windows with readings, without a row, that end after `completeThrough`: nothing is proved about them.
    package var windowsOpen = 0
    /// Windows that may have had readings that retention removed: nothing is proved about them either.
    package var windowsUnchecked = 0
    package var completeThrough: EventTime?

    /// Expected once and not stored.
    package var lost = Finding()
    /// Stored more than once under one device and message id.
    package var countedTwice = Finding()
    /// Stored although the key says never, or quarantine.
    package var neverButStored = Finding()
    /// Stored behind a reading of the same device that was first sent later.
    package var outOfOrder = Finding()
    /// Stored with other values or another time than published.
    package var altered = Finding()
    /// Expected in quarantine and not there.
    package var missingQuarantine = Finding()
    /// A device's sequence that is not 1, 2, 3 …
    package var sequenceBroken = Finding()
    /// No row for a window that is complete.
    package var windowsMissing = Finding()
    /// A row for a window without readings.
    package var windowsExtra = Finding()
    /// A second row for the same window, or under the same result id.
    package var windowsDuplicate = Finding()
    /// A row with wrong numbers, or none that can be read.
    package var windowsDifferent = Finding()

    package init() {}

    /// All that is wrong with result rows.
    package var windowsWrong: Int {
        windowsMissing.count + windowsExtra.count + windowsDuplicate.count + windowsDifferent.count
    }

    /// Whether nothing at all is wrong.
    package var passed: Bool { findings.allSatisfy { $0.finding.count == 0 } }

    var findings: [(name: String, title: String, finding: Finding)] {
        [
            ("lost", "lost", lost),
            ("countedTwice", "counted twice", countedTwice),
            ("outOfOrder", "out of order", outOfOrder),
            ("neverButStored", "stored but not to be", neverButStored),
            ("altered", "altered", altered),
            ("missingQuarantine", "missing in quarantine", missingQuarantine),
            ("sequenceBroken", "breaks in sequence", sequenceBroken),
            ("windowsMissing", "windows missing", windowsMissing),
            ("windowsExtra", "windows extra", windowsExtra),
            ("windowsDuplicate", "windows duplicate", windowsDuplicate),
            ("windowsDifferent", "windows different", windowsDifferent),
        ]
    }
}

extension VerifyReport {
    /// The report for people: aligned lines, examples under what is wrong, the verdict last, a newline at the
    /// end.
    package var text: String {
        var lines: [String] = []
        func line(_ title: String, _ count: Int, _ note: String = "", examples: [String] = []) {
            let number = Self.grouped(count)
            let gap = String(repeating: " ", count: max(1, 40 - title.count - number.count))
            lines.append(title + gap + number + (note.isEmpty ? "" : "   " + note))
            lines += examples.map { "    " + $0 }
        }
        line(
            "readings in the answer key", keyOnce + keyNever + keyQuarantine,
            "once \(Self.grouped(keyOnce)), never \(Self.grouped(keyNever)), "
                + "quarantine \(Self.grouped(keyQuarantine))")
        line("stored once", storedOnce)
        if storedBesideKey > 0 {
            line("stored, not in the key", storedBesideKey, "their windows are checked too")
        }
        if quarantined > 0 { line("in quarantine", quarantined) }
        if removedByRetention > 0 {
            line("removed by retention", removedByRetention, "the first ones of their devices")
        }
        if quarantineRemoved > 0 { line("removed from quarantine", quarantineRemoved, "by retention") }
        if late > 0 { line("late readings", late, "kept beside the windows, on purpose") }
        let (records, windows) = (findings.prefix(7), findings.dropFirst(7))
        // The three that matter are always there; the others only speak up when they have something to say.
        for (index, entry) in records.enumerated() where index < 3 || entry.finding.count > 0 {
            line(entry.title, entry.finding.count, examples: entry.finding.examples)
        }
        line("windows checked", windowsChecked, completeThrough.map { "complete through \($0)" } ?? "")
        if windowsOpen > 0 {
            // A run of a minute has none that was due, which looks as if something were wrong.
            let isShort = windowsChecked == 0 && storedOnce > 0
            line(
                "windows still open", windowsOpen,
                "not due yet, not checked" + (isShort ? ": a minute closes a minute after its end" : ""))
        }
        if windowsUnchecked > 0 {
            line("windows not checked", windowsUnchecked, "readings of theirs were removed by retention")
        }
        line("windows wrong", windowsWrong)
        for entry in windows where entry.finding.count > 0 {
            line("  " + entry.title, entry.finding.count, examples: entry.finding.examples)
        }
        lines.append("verdict: \(passed ? "PASS" : "FAIL")")
        return lines.joined(separator: "\n") + "\n"
    }

    /// The report for programs: one JSON object, no newline.
    package var json: [UInt8] {
        func integer(_ name: String, _ value: Int) -> Column { Column(name, .bigint(Int64(value))) }
        var columns: [Column] = [
            Column("verdict", .text(passed ? "pass" : "fail")),
            integer("answerKey", keyOnce + keyNever + keyQuarantine), integer("expectedOnce", keyOnce),
            integer("expectedNever", keyNever), integer("expectedQuarantine", keyQuarantine),
            integer("storedOnce", storedOnce), integer("storedBesideKey", storedBesideKey),
            integer("quarantined", quarantined), integer("removedByRetention", removedByRetention),
            integer("quarantineRemoved", quarantineRemoved), integer("late", late),
        ]
        columns += findings.map { integer($0.name, $0.finding.count) }
        columns += [
            integer("windowsChecked", windowsChecked), integer("windowsOpen", windowsOpen),
            integer("windowsUnchecked", windowsUnchecked),
            integer("windowsWrong", windowsWrong),
        ]
        columns.append(Column("completeThrough", completeThrough.map { .time($0) } ?? .null))
        let examples = findings.filter { $0.finding.count > 0 }
            .map { Column($0.name, .array($0.finding.examples.map { .text($0) })) }
        columns.append(Column("examples", .record(examples)))
        var bytes: [UInt8] = []
        Column.appendJSON(columns, to: &bytes)
        return bytes
    }

    /// 1234567 → `1,234,567`.
    static func grouped(_ count: Int) -> String {
        var text = ""
        for (index, digit) in String(count).reversed().enumerated() {
            if index > 0, index % 3 == 0, digit != "-" { text.append(",") }
            text.append(digit)
        }
        return String(text.reversed())
    }
}
