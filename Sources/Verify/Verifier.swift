package import Platform
package import Telemetry

/// Proves what the hub claims: joins the answer key with what is stored, and adds every minute up again.
///
/// Naive on purpose and apart from the engine: nothing of it is shared but times and record types, so that a
/// mistake there is not made here too. Holds the answer key and the windows in memory (about 300 bytes a
/// reading).
package struct Verifier {
    /// Where the result rows are.
    package enum Rows: Sendable {
        /// Every `.jsonl` file in a directory and those in it; none when there is no directory.
        case directory(String)
        /// The rows themselves, one JSON object each.
        case lines([[UInt8]])
    }

    /// The rules a reading must keep to be counted in its window; those of the per-minute query.
    package struct TimeRules: Sendable {
        /// The event may be this much after its arrival.
        package var earlyTicks = 5 * EventTime.ticksPerMinute
        /// The arrival may be this much after the event.
        package var lateTicks = EventTime.ticksPerMinute
        /// The event may be this much before the device's latest counted one.
        package var outOfOrderTicks = EventTime.ticksPerMinute
        /// Fields of a payload that are not measurements.
        package var excludedFields: Set<String> = [
            "messageId", "id", "ts", "timestamp", "deviceId", "device",
        ]

        package init() {}
    }

    /// What retention removed: a beginning of the log, and so the first records of each device.
    package struct Removed: Sendable {
        /// By device: how many of its first records.
        package var records: [String: UInt64] = [:]
        /// How many of the first quarantined messages, all devices together.
        package var quarantined: UInt64 = 0
        /// Nothing that was removed arrived after it; nil when nothing was removed.
        package var arrivedBefore: EventTime?

        package init() {}
    }

    private let files: any FileStore
    private let rules: TimeRules

    package init(files: any FileStore, rules: TimeRules = TimeRules()) {
        self.files = files
        self.rules = rules
    }

    /// Reads everything and gives the verdict. Reads the rows before the records: on a running hub, every
    /// reading behind a row is then among the records.
    ///
    /// - Parameters:
    ///   - answerKey: path of the key, JSON lines; nil checks sequences, message ids and windows only.
    ///   - completeThrough: every window that ends here or before must have its row. nil: none has to, and
    ///     the rows that are there are still checked. Ask for it before the rows are read.
    ///   - removed: what need not be among the records, because retention removed it.
    ///   - records: calls its argument with every stored record and every quarantined one, each device's in
    ///     the order of the log.
    /// - Throws: `VerifyInputError` for a key that cannot be read, `FileError`, and what `records` throws.
    package func verify(
        answerKey: String?, rows: Rows, completeThrough: EventTime?, removed: Removed = Removed(),
        records: (_ each: (TelemetryRecord) throws -> Void) throws -> Void
    ) throws -> VerifyReport {
        var ledger = Ledger(rules: rules, removed: removed)
        ledger.report.completeThrough = completeThrough
        if let answerKey { try readKey(answerKey, into: &ledger) }
        switch rows {
        case .lines(let lines):
            for (index, line) in lines.enumerated() { ledger.addRow(line[...], place: "row \(index + 1)") }
        case .directory(let directory): try readRows(in: directory, into: &ledger)
        }
        try records { ledger.addRecord($0) }
        ledger.finish()
        return ledger.report
    }

    private func readKey(_ path: String, into ledger: inout Ledger) throws {
        try LineReader(path: path, files: files).forEachLine { bytes, number, isWhole in
            guard !bytes.isEmpty else { return }
            do throws(AnswerKeyLine.Problem) {
                try ledger.addKeyLine(try AnswerKeyLine(bytes))
            } catch {
                // A fleet that was killed leaves a torn last line; that reading is then beside the key.
                guard isWhole else { return }
                throw VerifyInputError(
                    place: "\(path):\(number)",
                    message: "cannot use this line of the answer key: \(error.text)")
            }
        }
    }

    private func readRows(in directory: String, into ledger: inout Ledger) throws {
        for name in try files.list(directory) {
            let path = directory + "/" + name
            if name.hasSuffix(".jsonl") {
                try LineReader(path: path, files: files).forEachLine { bytes, number, _ in
                    ledger.addRow(bytes, place: "\(path):\(number)")
                }
            } else if name.contains("=") {
                // `date=…`, `hour=…`; anything else, such as an unfinished `.part`, holds no rows yet.
                try readRows(in: path, into: &ledger)
            }
        }
    }
}
