package import Telemetry

/// A stored record as one JSON object: `queue read --json` and the HTTP interface speak it.
package enum RecordJSON {
    /// `{"device","sequence","messageId","arrivalTime","eventTime","topic","duplicateCount","payload"}`; a payload
    /// that is not JSON stands as `payloadBase64`; a quarantined record has its `reason`, one that a replay settled
    /// `"replayed":true`; a record that a replay stored has `replayedFrom`, its sequence in the quarantine.
    package static func bytes(_ record: TelemetryRecord) -> [UInt8] { bytes(record, kept: nil) }

    /// - Parameter kept: of a conflict: the record with the same id that was kept; stands as `kept`.
    package static func bytes(_ record: TelemetryRecord, kept: TelemetryRecord?) -> [UInt8] {
        var bytes: [UInt8] = []
        var columns = [
            Column("device", .text(record.device.text)),
            Column("sequence", .bigint(Int64(record.sequence))),
            Column("messageId", record.messageID.map { .text($0) } ?? .null),
            Column("arrivalTime", .time(record.arrivalTime)),
            Column("eventTime", .time(record.eventTime)),
            Column("topic", .text(record.topic)),
        ]
        if let reason = record.quarantineReason {
            columns.append(Column("reason", .text(reason.description)))
        }
        if record.isSettled { columns.append(Column("replayed", .boolean(true))) }
        if record.replayedFrom > 0 {
            columns.append(Column("replayedFrom", .bigint(Int64(record.replayedFrom))))
        }
        columns.append(
            Column("duplicateCount", record.duplicateCount.map { .bigint(Int64(clamping: $0)) } ?? .null))
        Column.appendJSON(columns, to: &bytes)
        bytes.removeLast()
        let isJSON = record.payload.withUnsafeBytes { JSONFieldScanner.forEachTopLevelField($0) { _, _ in } }
        if isJSON {
            bytes.append(contentsOf: #","payload":"#.utf8)
            // Line breaks inside the payload would break one-record-a-line output; JSON allows them only
            // between tokens, where a space means the same.
            bytes.append(contentsOf: record.payload.map { $0 == 0x0A || $0 == 0x0D ? 0x20 : $0 })
        } else {
            bytes.append(contentsOf: #","payloadBase64":""#.utf8)
            appendBase64(record.payload, to: &bytes)
            bytes.append(0x22)
        }
        if let kept {
            bytes.append(contentsOf: #","kept":"#.utf8)
            bytes.append(contentsOf: Self.bytes(kept))
        }
        bytes.append(0x7D)
        return bytes
    }

    /// The inverse of `bytes(_:)`, without topic, properties and offset: what a proof needs of a record.
    ///
    /// - Returns: nil when it is no such object.
    package static func parse(_ json: [UInt8]) -> TelemetryRecord? {
        var texts: [String: String] = [:]
        var numbers: [String: UInt64] = [:]
        var payload: [UInt8] = []
        let isJSON = json.withUnsafeBytes { bytes in
            JSONFieldScanner.forEachTopLevelField(bytes) { name, value in
                let key = String(decoding: name, as: UTF8.self)
                if key == "payload" {
                    payload = payloadBytes(of: value)
                    return
                }
                switch value {
                case .text(let raw, let hasEscapes):
                    texts[key] = String(
                        decoding: hasEscapes ? JSONString.decode(raw) : Array(raw), as: UTF8.self)
                case .bigint(let number): numbers[key] = UInt64(clamping: number)
                default: break
                }
            }
        }
        guard isJSON, let device = texts["device"], let sequence = numbers["sequence"],
            let arrival = texts["arrivalTime"].flatMap(EventTime.parse),
            let event = texts["eventTime"].flatMap(EventTime.parse)
        else { return nil }
        return TelemetryRecord(
            device: DeviceID(device), sequence: sequence, messageID: texts["messageId"], arrivalTime: arrival,
            eventTime: event, topic: texts["topic"] ?? "", properties: [], payload: payload,
            quarantineReason: QuarantineReason.allCases.first { $0.description == texts["reason"] },
            offset: QueueOffset(0), duplicateCount: numbers["duplicateCount"],
            replayedFrom: numbers["replayedFrom"] ?? 0)
    }

    private static func payloadBytes(of value: JSONScalar) -> [UInt8] {
        switch value {
        case .nested(let raw): return Array(raw)
        case .text(let raw, _): return [0x22] + Array(raw) + [0x22]
        case .bigint(let number): return Array(String(number).utf8)
        case .float(let number): return Array(number.description.utf8)
        case .boolean(let flag): return Array((flag ? "true" : "false").utf8)
        case .null: return Array("null".utf8)
        }
    }

    /// RFC 4648 §4.
    private static func appendBase64(_ source: [UInt8], to bytes: inout [UInt8]) {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var at = 0
        while at < source.count {
            let left = source.count - at
            let word =
                UInt32(source[at]) << 16 | (left > 1 ? UInt32(source[at + 1]) << 8 : 0)
                | (left > 2 ? UInt32(source[at + 2]) : 0)
            bytes.append(alphabet[Int(word >> 18 & 63)])
            bytes.append(alphabet[Int(word >> 12 & 63)])
            bytes.append(left > 1 ? alphabet[Int(word >> 6 & 63)] : 0x3D)
            bytes.append(left > 2 ? alphabet[Int(word & 63)] : 0x3D)
            at += 3
        }
    }
}
