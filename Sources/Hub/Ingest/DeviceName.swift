import DeviceQueue
import MQTTWire
import Telemetry

/// The parts of a message that an ingest rule may look at: borrowed bytes.
struct IngestInput {
    var topic: UnsafeRawBufferPointer
    /// What the `#` of the rule's topic filter took: bytes of the topic.
    var rest: Range<Int>
    /// MQTT 5 publish properties, validated; empty on 3.1.1.
    var properties: UnsafeRawBufferPointer
    var payload: UnsafeRawBufferPointer
}

/// From a message to the number of its device.
enum DeviceName {
    enum Number: Equatable {
        case known(UInt32)
        /// No name, or one that is not allowed: the message is quarantined for this reason.
        case refused(QuarantineReason)
        /// The hub's limit of devices is reached.
        case limit
    }

    /// The queue's number for the name that a rule gives a message.
    ///
    /// - Parameters:
    ///   - client: the publisher's client identifier, for rules that speak of it; nil when it is not known (a
    ///     replay): then `claimed` is taken.
    ///   - isTrial: no device is registered; a new one has the number `UInt32.max`.
    static func number(
        _ table: IngestTable, rule: Int, _ input: IngestInput, client: String?, claimed: UInt32 = 0,
        isTrial: Bool = false, in queue: DeviceQueue
    ) -> Number {
        if client == nil, claimed != 0, case .parts(_, usesClient: true) = table.plans[rule].device {
            return .known(claimed)
        }
        return withName(table, rule: rule, input, client: client) { name in
            number(of: name, registration: table.registration, isTrial: isTrial, in: queue)
        }
    }

    /// - Parameter name: nil or empty: the message names no device.
    private static func number(
        of name: UnsafeRawBufferPointer?, registration: Registration, isTrial: Bool, in queue: DeviceQueue
    ) -> Number {
        guard let name, isAllowed(name) else { return .refused(.badDevice) }
        switch registration {
        case .open where isTrial: return .known(queue.existingDevice(named: name) ?? .max)
        case .open: return queue.device(named: name).map { .known($0) } ?? .limit
        case .closed: return queue.existingDevice(named: name).map { .known($0) } ?? .refused(.unregistered)
        }
    }

    /// See `DeviceID`: UTF-8, 1 to 128 bytes, none of `/`, `+`, `#` and NUL.
    static func isAllowed(_ name: UnsafeRawBufferPointer) -> Bool {
        guard !name.isEmpty, name.count <= IngestTable.deviceBytesMax else { return false }
        for byte in name where byte == 0x2F || byte == 0x2B || byte == 0x23 || byte == 0 { return false }
        return name.allSatisfy { $0 < 0x80 } || String(validating: name, as: UTF8.self) != nil
    }

    /// The name that a rule gives a message; nil when a part of it is missing.
    static func withName<Result>(
        _ table: IngestTable, rule: Int, _ input: IngestInput, client: String?,
        _ body: (UnsafeRawBufferPointer?) -> Result
    ) -> Result {
        let plan = table.plans[rule]
        switch plan.device {
        case .level(let level):
            return body(
                UnsafeRawBufferPointer(rebasing: input.topic[plan.range(ofLevel: level, in: input.topic)]))
        case .parts(let parts, _):
            guard let name = compose(parts, plan, input.topic, client: client) else { return body(nil) }
            return name.withUnsafeBytes(body)
        case .property(let name):
            let range = userProperty(named: name, in: input.properties)
            return body(range.map { UnsafeRawBufferPointer(rebasing: input.properties[$0]) })
        case .bag(let name):
            let bag = UnsafeRawBufferPointer(rebasing: input.topic[input.rest])
            guard let range = PropertyBag.range(named: name, in: bag) else { return body(nil) }
            return PropertyBag.decode(UnsafeRawBufferPointer(rebasing: bag[range])).withUnsafeBytes(body)
        case .json(let path):
            switch PayloadScan.value(at: path, in: input.payload) {
            case .text(let raw, false): return body(raw)
            case .text(let raw, true): return JSONString.decode(raw).withUnsafeBytes(body)
            case .bigint(let number): return Array(String(number).utf8).withUnsafeBytes(body)
            default: return body(nil)
            }
        }
    }

    /// - Returns: nil when a level is empty: two devices could get one name.
    private static func compose(
        _ parts: UnsafeBufferPointer<IngestPlan.DevicePart>, _ plan: IngestPlan,
        _ topic: UnsafeRawBufferPointer, client: String?
    ) -> [UInt8]? {
        var name: [UInt8] = []
        for part in parts {
            switch part {
            case .text(let text): name.append(contentsOf: text)
            case .level(let level):
                let range = plan.range(ofLevel: level, in: topic)
                guard !range.isEmpty else { return nil }
                name.append(contentsOf: topic[range])
            case .client:
                guard let client, !client.isEmpty else { return nil }
                name.append(contentsOf: client.utf8)
            }
        }
        return name
    }
}
