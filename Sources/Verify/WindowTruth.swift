import Telemetry

/// Names a window of one device: a field and the end of the minute.
struct WindowKey: Hashable {
    var field: Int32
    var end: Int64
}

/// What a window must come to, added up reading by reading in stored order.
struct WindowTruth {
    private(set) var count = 0
    private(set) var minimum = VerifyNumber.integer(.max)
    private(set) var maximum = VerifyNumber.integer(.min)
    private(set) var sum = VerifyNumber.integer(0)
    private var magnitude = 0.0
    /// The sum of integers left Int64: the engine reports an error instead of a row.
    private(set) var hasOverflowed = false

    mutating func add(_ value: VerifyNumber) {
        if count == 0 || value < minimum { minimum = value }
        if count == 0 || maximum < value { maximum = value }
        if case .integer(let left) = sum, case .integer(let right) = value {
            let (total, overflow) = left.addingReportingOverflow(right)
            if overflow { hasOverflowed = true }
            sum = .integer(total)
        } else {
            sum = .float(sum.double + value.double)
        }
        magnitude += value.double.magnitude
        count += 1
    }

    /// What differs between the truth and a result row, in words; nil when nothing does.
    func difference(from row: WindowRow) -> String? {
        if row.count != .integer(Int64(count)) { return "count \(row.count), must be \(count)" }
        if row.minimum != minimum { return "min \(row.minimum), must be \(minimum)" }
        if row.maximum != maximum { return "max \(row.maximum), must be \(maximum)" }
        if !isClose(row.sum, sum.double) { return "sum \(row.sum), must be \(sum)" }
        let average = sum.double / Double(count)
        if !isClose(row.average, average) { return "avg \(row.average), must be \(average)" }
        return nil
    }

    /// Equal but for the rounding of sums: relative 1e-9, or 1e-12 of what was added where the sum cancels
    /// out.
    private func isClose(_ found: VerifyNumber, _ wanted: Double) -> Bool {
        let scale = max(found.double.magnitude, wanted.magnitude)
        return (found.double - wanted).magnitude <= max(1e-9 * scale, 1e-12 * magnitude)
    }
}

/// One result row as it was found.
struct WindowRow {
    var count: VerifyNumber
    var minimum: VerifyNumber
    var maximum: VerifyNumber
    var average: VerifyNumber
    var sum: VerifyNumber
    var resultID: String
    var device: String
    var field: String
    var end: EventTime

    /// - Throws: what is wrong with the line, as text.
    init(_ bytes: ArraySlice<UInt8>) throws(AnswerKeyLine.Problem) {
        func number(_ row: VerifyJSON, _ name: String) throws(AnswerKeyLine.Problem) -> VerifyNumber {
            guard let number = row[name]?.number else {
                throw AnswerKeyLine.Problem(text: "no number \"\(name)\"")
            }
            return number
        }
        guard let row = VerifyJSON(bytes) else { throw AnswerKeyLine.Problem(text: "not a JSON object") }
        guard let device = row["device"]?.text, let field = row["field"]?.text, let id = row["_rid"]?.text,
            let start = row["windowStart"]?.text.flatMap({ EventTime.parse($0) }),
            let end = row["windowEnd"]?.text.flatMap({ EventTime.parse($0) })
        else {
            throw AnswerKeyLine.Problem(text: "device, field, windowStart, windowEnd or _rid is missing")
        }
        guard start.ticks == end.ticks - EventTime.ticksPerMinute, end.ticks % EventTime.ticksPerMinute == 0
        else {
            throw AnswerKeyLine.Problem(text: "\(start) to \(end) is not a minute")
        }
        count = try number(row, "count")
        minimum = try number(row, "min")
        maximum = try number(row, "max")
        average = try number(row, "avg")
        sum = try number(row, "sum")
        resultID = id
        self.device = device
        self.field = field
        self.end = end
    }
}
