import Telemetry

/// One line of the answer key.
struct AnswerKeyLine {
    enum Expectation: String {
        case once
        case never
        case quarantine
    }

    var identifier: String
    var device: String
    var eventTime: EventTime
    /// What the device published, in the line's order.
    var values: [VerifyJSON.Member]
    var expectation: Expectation

    /// - Throws: what is wrong with the line, as text.
    init(_ bytes: ArraySlice<UInt8>) throws(Problem) {
        guard let line = VerifyJSON(bytes) else { throw Problem(text: "not a JSON object") }
        guard let identifier = line["id"]?.text else {
            throw Problem(text: "\"id\" must be a message id in quotes")
        }
        guard let device = line["device"]?.text else {
            throw Problem(text: "\"device\" must be a device id in quotes")
        }
        guard let time = line["event_time"]?.text.flatMap({ EventTime.parse($0) }) else {
            throw Problem(text: "\"event_time\" must be an ISO 8601 time in quotes")
        }
        guard case .object(let values) = line["values"] else {
            throw Problem(text: "\"values\" must be an object")
        }
        guard let expectation = line["expect"]?.text.flatMap({ Expectation(rawValue: $0) }) else {
            throw Problem(text: "\"expect\" must be \"once\", \"never\" or \"quarantine\"")
        }
        self.identifier = identifier
        self.device = device
        eventTime = time
        self.values = values
        self.expectation = expectation
    }

    struct Problem: Error { var text: String }
}
