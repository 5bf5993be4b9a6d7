package import Telemetry

/// What is to become of a reading, and what was done to it: one line of the answer key.
package struct AnswerKeyEntry: Equatable, Sendable {
    /// What the hub must make of the reading.
    package enum Expectation: String, Equatable, Sendable {
        /// Stored exactly once.
        case once
        /// Never stored: it was not sent.
        case never
        /// Set aside: the payload is not JSON.
        case quarantine
    }

    package var messageID: String
    package var device: String
    /// 1, 2, 3 … per device and run, in the order of the readings' making.
    package var sequence: UInt64
    /// The scheduled time of the reading, whole milliseconds; also `ts` in the payload.
    package var eventTime: EventTime
    /// The scheduled times of sending, first and repeated; empty when it is never sent.
    package var sent: [EventTime]
    package var values: [Column]
    /// As `values`, without noise.
    package var trueValues: [Column]
    package var faults: ReadingFaults
    package var expectation: Expectation

    package init(
        messageID: String, device: String, sequence: UInt64, eventTime: EventTime, sent: [EventTime],
        values: [Column], trueValues: [Column], faults: ReadingFaults, expectation: Expectation
    ) {
        self.messageID = messageID
        self.device = device
        self.sequence = sequence
        self.eventTime = eventTime
        self.sent = sent
        self.values = values
        self.trueValues = trueValues
        self.faults = faults
        self.expectation = expectation
    }

    /// Appends the line `{"id","device","seq","event_time","sent","values","true_values","faults","expect"}`
    /// with a newline.
    package func appendLine(to bytes: inout [UInt8]) {
        bytes.append(contentsOf: "{\"id\":".utf8)
        JSONText.append(messageID, to: &bytes)
        bytes.append(contentsOf: ",\"device\":".utf8)
        JSONText.append(device, to: &bytes)
        bytes.append(contentsOf: ",\"seq\":".utf8)
        bytes.append(contentsOf: String(sequence).utf8)
        bytes.append(contentsOf: ",\"event_time\":\"".utf8)
        eventTime.appendISO8601(to: &bytes)
        bytes.append(contentsOf: "\",\"sent\":[".utf8)
        for (index, time) in sent.enumerated() {
            bytes.append(contentsOf: index == 0 ? "\"".utf8 : ",\"".utf8)
            time.appendISO8601(to: &bytes)
            bytes.append(UInt8(ascii: "\""))
        }
        bytes.append(contentsOf: "],\"values\":".utf8)
        Column.appendJSON(values, to: &bytes)
        bytes.append(contentsOf: ",\"true_values\":".utf8)
        Column.appendJSON(trueValues, to: &bytes)
        bytes.append(contentsOf: ",\"faults\":[".utf8)
        for (index, name) in faults.names.enumerated() {
            bytes.append(contentsOf: index == 0 ? "\"".utf8 : ",\"".utf8)
            bytes.append(contentsOf: name.utf8)
            bytes.append(UInt8(ascii: "\""))
        }
        bytes.append(contentsOf: "],\"expect\":\"\(expectation.rawValue)\"}\n".utf8)
    }
}
