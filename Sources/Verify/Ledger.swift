import Telemetry

/// The books of one proof: what the key says, what is stored, what the windows must be and what the rows say.
struct Ledger {
    private struct Reading {
        var expectation: AnswerKeyLine.Expectation
        var eventTime: EventTime
        var values: [VerifyJSON.Member]
        var storedCount = 0
        var isQuarantined = false
    }

    /// All about one device. A class, so that growing a dictionary in it does not copy it.
    private final class Device {
        let name: String
        /// In the order of first sending.
        var readings: [Reading] = []
        var indices: [String: Int] = [:]
        /// Message ids that are not in the key.
        var otherIDs: Set<String> = []
        var lastSequence: UInt64 = 0
        /// The latest reading of the key stored so far, by its place in the key, and the earliest.
        var lastStored = -1
        var firstStored = Int.max
        /// Windows that end here or before may lack readings that were removed.
        var uncheckedThrough = Int64.min
        /// The latest event time of a reading that counts.
        var latestEvent: EventTime?
        var windows: [WindowKey: WindowTruth] = [:]
        var rows: [WindowKey: WindowRow] = [:]

        init(name: String) { self.name = name }
    }

    var report = VerifyReport()
    private let rules: Verifier.TimeRules
    private let removed: Verifier.Removed
    private var devices: [String: Device] = [:]
    private var fieldNumbers: [String: Int32] = [:]
    private var fieldNames: [String] = []
    private var resultIDs: Set<String> = []

    init(rules: Verifier.TimeRules, removed: Verifier.Removed) {
        self.rules = rules
        self.removed = removed
        report.removedByRetention = Int(removed.records.values.reduce(0, +))
        report.quarantineRemoved = Int(removed.quarantined)
    }

    // MARK: Key

    /// - Throws: when the message id is there already, for then nothing can be proved about it.
    mutating func addKeyLine(_ line: AnswerKeyLine) throws(AnswerKeyLine.Problem) {
        let device = device(line.device)
        guard device.indices[line.identifier] == nil else {
            throw AnswerKeyLine.Problem(
                text: "\(line.identifier) of \(line.device) comes twice; give each run a key file of its own")
        }
        switch line.expectation {
        case .once: report.keyOnce += 1
        case .never: report.keyNever += 1
        case .quarantine: report.keyQuarantine += 1
        }
        device.indices[line.identifier] = device.readings.count
        device.readings.append(
            Reading(expectation: line.expectation, eventTime: line.eventTime, values: line.values))
    }

    // MARK: Rows

    mutating func addRow(_ bytes: ArraySlice<UInt8>, place: String) {
        let row: WindowRow
        do throws(AnswerKeyLine.Problem) {
            row = try WindowRow(bytes)
        } catch {
            report.windowsDifferent.add("\(place): \(error.text)")
            return
        }
        let device = device(row.device)
        let key = WindowKey(field: number(ofField: row.field), end: row.end.ticks)
        let isNewID = resultIDs.insert(row.resultID).inserted
        if device.rows[key] != nil {
            report.windowsDuplicate.add("\(place): a second row for \(row.device) \(row.field) \(row.end)")
        } else {
            device.rows[key] = row
            if !isNewID { report.windowsDuplicate.add("\(place): a second row with the id \(row.resultID)") }
        }
    }

    // MARK: Records

    mutating func addRecord(_ record: TelemetryRecord) {
        let device = device(record.device.text)
        let index = record.messageID.flatMap { device.indices[$0] }
        if record.quarantineReason != nil {
            report.quarantined += 1
            if let index { device.readings[index].isQuarantined = true }
            return
        }
        if record.sequence != device.lastSequence + 1 {
            report.sequenceBroken.add(
                "\(device.name): sequence \(record.sequence) follows \(device.lastSequence)")
        }
        device.lastSequence = record.sequence
        let payload = VerifyJSON(record.payload)
        if let index {
            addKnown(record, device, index, payload)
        } else {
            addOther(record, device, payload)
        }
    }

    private mutating func addKnown(
        _ record: TelemetryRecord, _ device: Device, _ index: Int, _ payload: VerifyJSON?
    ) {
        let name = "\(device.name) \(record.messageID ?? "")"
        device.readings[index].storedCount += 1
        let reading = device.readings[index]
        if reading.expectation != .once {
            report.neverButStored.add(
                "\(name): expected \(reading.expectation.rawValue), is sequence \(record.sequence)")
        }
        if reading.storedCount > 1 {
            report.countedTwice.add("\(name): stored again as sequence \(record.sequence)")
            // The first one stands for the reading; the windows show what the second did.
            return
        }
        if reading.expectation == .once { report.storedOnce += 1 }
        if index < device.lastStored {
            report.outOfOrder.add(
                "\(name): sequence \(record.sequence) is behind a reading that was sent later")
        }
        device.lastStored = max(device.lastStored, index)
        device.firstStored = min(device.firstStored, index)
        if let change = difference(record, reading, payload) { report.altered.add("\(name): \(change)") }
        count(device, reading.values, event: reading.eventTime, arrival: record.arrivalTime)
    }

    private mutating func addOther(_ record: TelemetryRecord, _ device: Device, _ payload: VerifyJSON?) {
        report.storedBesideKey += 1
        if let identifier = record.messageID, !device.otherIDs.insert(identifier).inserted {
            report.countedTwice.add(
                "\(device.name) \(identifier): stored again as sequence \(record.sequence)")
            return
        }
        guard case .object(let members) = payload else { return }
        count(device, members, event: record.eventTime, arrival: record.arrivalTime)
    }

    /// What was stored that was not published, in words; nil when they agree.
    private func difference(_ record: TelemetryRecord, _ reading: Reading, _ payload: VerifyJSON?) -> String?
    {
        if record.eventTime != reading.eventTime {
            return "event time \(record.eventTime), published \(reading.eventTime)"
        }
        guard case .object(let members) = payload else { return "the payload is no JSON object" }
        for member in reading.values {
            guard let stored = members.first(where: { $0.name == member.name }) else {
                return "\(member.name) is missing"
            }
            if stored.value != member.value {
                return "\(member.name) is \(stored.value.summary), published \(member.value.summary)"
            }
        }
        for member in members where member.value.number != nil && !rules.excludedFields.contains(member.name)
        {
            if !reading.values.contains(where: { $0.name == member.name }) {
                return "\(member.name) was not published"
            }
        }
        return nil
    }

    /// Adds a reading to its windows, unless its time is out of bounds.
    private mutating func count(
        _ device: Device, _ values: [VerifyJSON.Member], event: EventTime, arrival: EventTime
    ) {
        let isEarly = event.ticks > arrival.ticks + rules.earlyTicks
        let isLate = arrival.ticks - event.ticks > rules.lateTicks
        let isOutOfOrder = device.latestEvent.map { event.ticks < $0.ticks - rules.outOfOrderTicks } ?? false
        guard !isEarly, !isLate, !isOutOfOrder else {
            report.late += 1
            return
        }
        device.latestEvent = max(device.latestEvent ?? event, event)
        let end = Self.windowEnd(event.ticks)
        for member in values {
            guard let number = member.value.number, !rules.excludedFields.contains(member.name) else {
                continue
            }
            let key = WindowKey(field: self.number(ofField: member.name), end: end)
            device.windows[key, default: WindowTruth()].add(number)
        }
    }

    // MARK: Verdict

    mutating func finish() {
        // A device whose records are all gone stands in the key and in the rows only.
        var quarantineRoom = Int(removed.quarantined)
        for device in devices.values.sorted(by: { $0.name < $1.name }) {
            finishReadings(device, &quarantineRoom)
            finishWindows(device)
        }
    }

    /// Each reading of the key is stored, or among the first of its device, which retention removed: as many as it
    /// says, and none that was sent after one that is there.
    private mutating func finishReadings(_ device: Device, _ quarantineRoom: inout Int) {
        let names = Dictionary(uniqueKeysWithValues: device.indices.map { ($0.value, $0.key) })
        let removedCount = Int(removed.records[device.name] ?? 0)
        var room = removedCount
        for (index, reading) in device.readings.enumerated() {
            let name = "\(device.name) \(names[index] ?? "")"
            let mayBeRemoved = index < device.firstStored
            switch reading.expectation {
            case .once where reading.storedCount == 0:
                if mayBeRemoved, room > 0, !reading.isQuarantined {
                    room -= 1
                    note(removed: reading, of: device)
                    continue
                }
                report.lost.add(
                    reading.isQuarantined
                        ? "\(name): it is in quarantine"
                        : mayBeRemoved && removedCount > 0
                            ? "\(name), or one before it: retention removed only \(removedCount)" : name)
            case .quarantine where !reading.isQuarantined:
                if mayBeRemoved, quarantineRoom > 0 {
                    quarantineRoom -= 1
                } else {
                    report.missingQuarantine.add(name)
                }
            default: break
            }
        }
        // What else was removed is not in the key: its windows are not known.
        if room > 0 {
            let latest = removed.arrivedBefore.map { Self.windowEnd($0.ticks + rules.earlyTicks) }
            device.uncheckedThrough = max(device.uncheckedThrough, latest ?? .max)
        }
    }

    private func note(removed reading: Reading, of device: Device) {
        device.uncheckedThrough = max(device.uncheckedThrough, Self.windowEnd(reading.eventTime.ticks))
    }

    /// The end of the minute that an event falls into: `(end − 1 min, end]`.
    private static func windowEnd(_ ticks: Int64) -> Int64 {
        let minute = EventTime.ticksPerMinute
        let remainder = ((ticks % minute) + minute) % minute
        return remainder == 0 ? ticks : ticks - remainder + minute
    }

    private mutating func finishWindows(_ device: Device) {
        let keys = Set(device.windows.keys).union(device.rows.keys)
            .sorted { ($0.end, fieldNames[Int($0.field)]) < ($1.end, fieldNames[Int($1.field)]) }
        let completeTicks = report.completeThrough?.ticks ?? .min
        for key in keys {
            let name = "\(device.name) \(fieldNames[Int(key.field)]) \(EventTime(ticks: key.end))"
            if key.end <= device.uncheckedThrough {
                report.windowsUnchecked += 1
                continue
            }
            switch (device.windows[key], device.rows[key]) {
            case (let truth?, let row?):
                report.windowsChecked += 1
                if let difference = truth.difference(from: row) {
                    report.windowsDifferent.add("\(name): \(difference)")
                }
            case (let truth?, nil):
                // An overflow is reported by the engine instead of a row.
                if truth.hasOverflowed { continue }
                guard key.end <= completeTicks else {
                    report.windowsOpen += 1
                    continue
                }
                report.windowsChecked += 1
                report.windowsMissing.add("\(name): \(truth.count) readings, no row")
            case (nil, _):
                report.windowsChecked += 1
                report.windowsExtra.add("\(name): a row, no readings")
            }
        }
    }

    // MARK: Names

    private mutating func device(_ name: String) -> Device {
        if let device = devices[name] { return device }
        let device = Device(name: name)
        device.lastSequence = removed.records[name] ?? 0
        devices[name] = device
        return device
    }

    private mutating func number(ofField name: String) -> Int32 {
        if let number = fieldNumbers[name] { return number }
        let number = Int32(fieldNames.count)
        fieldNumbers[name] = number
        fieldNames.append(name)
        return number
    }
}
