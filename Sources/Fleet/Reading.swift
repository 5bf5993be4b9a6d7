import Telemetry

/// One reading on its way through the script.
struct Reading: Sendable {
    let sequence: UInt64
    /// Milliseconds since the epoch.
    let time: Int64
    let messageID: String
    let values: [Column]
    let trueValues: [Column]
    /// `{"id":…,"ts":…,"temperature":21.3}`
    private(set) var payload: [UInt8] = []
    var faults: ReadingFaults = []
    /// Milliseconds from the first sending to the repeated one.
    var duplicateAfter: Int64?

    init(sequence: UInt64, time: Int64, messageID: String, values: [Column], trueValues: [Column]) {
        self.sequence = sequence
        self.time = time
        self.messageID = messageID
        self.values = values
        self.trueValues = trueValues
        payload.reserveCapacity(160)
        payload.append(contentsOf: "{\"id\":".utf8)
        JSONText.append(messageID, to: &payload)
        payload.append(contentsOf: ",\"ts\":\"".utf8)
        EventTime(milliseconds: time).appendISO8601(to: &payload)
        payload.append(UInt8(ascii: "\""))
        for column in values {
            payload.append(UInt8(ascii: ","))
            JSONText.append(column.name, to: &payload)
            payload.append(UInt8(ascii: ":"))
            column.value.appendJSON(to: &payload)
        }
        payload.append(UInt8(ascii: "}"))
    }

    func entry(
        device: String, sent: [EventTime], expectation: AnswerKeyEntry.Expectation
    ) -> AnswerKeyEntry {
        AnswerKeyEntry(
            messageID: messageID, device: device, sequence: sequence,
            eventTime: EventTime(milliseconds: time), sent: sent, values: values, trueValues: trueValues,
            faults: faults, expectation: expectation)
    }

    /// Breaks the payload as a bad serial line or a bug would. What comes out is never JSON: an object that
    /// lost its last byte, or has another in its place, or has text before it.
    mutating func corrupt(_ corruption: FaultDraw.Corruption) {
        switch corruption.kind {
        case 0:
            payload.removeLast(1 + Int(corruption.amount * Double(payload.count - 1)))
        case 1:
            payload[payload.count - 1] = UInt8(ascii: "]")
        default:
            payload.insert(contentsOf: "ERR ".utf8, at: 0)
        }
    }
}
