import Telemetry

/// One message as its device means it, and what must become of it.
struct Message {
    enum Body {
        /// A JSON object with these numeric fields.
        case reading([(name: String, value: Value)])
        case notJSON
    }

    /// Counts the messages of a world; a repetition by intent has the number of a message of its own.
    var number: Int
    var device: String
    /// nil: the device is "at least once".
    var messageID: String?
    var body: Body
    var payload: [UInt8]
    /// The device's own time in ticks, nil for the hub's arrival time.
    var eventTicks: Int64?
    var qos: UInt8
    var isRetained = false
    /// Where the id travels.
    var idPlace = IDPlace.payload

    enum IDPlace {
        case payload
        /// MQTT 5 user property `message-id`.
        case property
        /// `$.mid` in the topic, as Azure IoT Hub has it.
        case topic
    }

    var topic: String {
        guard idPlace == .topic, let messageID else { return "devices/\(device)/telemetry" }
        return "devices/\(device)/messages/events/%24.mid=\(messageID)"
    }
}

/// Invents the messages of a device: mostly plain readings, some that try the rules.
struct MessageSource {
    let device: String
    let isVersion5: Bool
    /// The device resends unacknowledged messages with new packet identifiers: only ids can tell then.
    let needsIDs: Bool
    private var random: SeededRandom
    private let clockSkewTicks: Int64
    private var recent: [Message] = []
    private var count = 0

    init(device: String, isVersion5: Bool, needsIDs: Bool, random: SeededRandom) {
        self.device = device
        self.isVersion5 = isVersion5
        self.needsIDs = needsIDs
        self.random = random
        clockSkewTicks = Int64(self.random.whole(-20...20)) * EventTime.ticksPerSecond
    }

    /// - Parameters:
    ///   - trueTicks: the world's time.
    ///   - number: the message's own number in the world.
    mutating func next(trueTicks: Int64, number: Int) -> Message {
        count += 1
        if let earlier = recent.last, random.chance(12) {
            return repetition(
                of: random.chance(50) ? earlier : recent[random.whole(0...(recent.count - 1))], number)
        }
        var message = Message(
            number: number, device: device, messageID: "\(device)-\(count)", body: .notJSON, payload: [],
            eventTicks: eventTicks(trueTicks), qos: UInt8(random.whole(0...2)))
        message.isRetained = random.chance(5)
        if random.chance(needsIDs ? 0 : 15) { message.messageID = nil }
        if message.messageID != nil, random.chance(20) {
            message.idPlace = isVersion5 && random.chance(50) ? .property : .topic
        }
        if random.chance(4) {
            // What has no id goes by its packet identifier, which means nothing once a client has begun anew.
            if needsIDs { message.qos = min(message.qos, 1) }
            message.payload = Array("not JSON \(device) \(number)".utf8)
        } else {
            write(&message)
        }
        recent.append(message)
        if recent.count > 20 { recent.removeFirst() }
        return message
    }

    /// The same id again: with the same body a duplicate, with another a conflict.
    private mutating func repetition(of earlier: Message, _ number: Int) -> Message {
        var message = earlier
        message.number = number
        if earlier.messageID == nil {
            // Without an id it is another reading, so it gets another body.
            write(&message)
        } else if case .reading = earlier.body, random.chance(25) {
            write(&message)
        }
        message.qos = UInt8(random.whole(0...2))
        if needsIDs, case .notJSON = message.body { message.qos = min(message.qos, 1) }
        return message
    }

    private mutating func write(_ message: inout Message) {
        var fields: [(name: String, value: Value)] = [
            ("t", .bigint(Int64(random.whole(-50...50))))
        ]
        if random.chance(50) { fields.append(("p", .float(Double(random.whole(-400...400)) / 4 + 0.125))) }
        // One name, sometimes whole and sometimes not.
        if random.chance(20) {
            fields.append(
                ("m", random.chance(50) ? .bigint(Int64(random.whole(0...9))) : .float(0.5)))
        }
        message.body = .reading(fields)
        var columns: [Column] = []
        if message.idPlace == .payload, let id = message.messageID { columns.append(Column("id", .text(id))) }
        if let ticks = message.eventTicks { columns.append(Column("ts", .time(EventTime(ticks: ticks)))) }
        // Makes every body one of a kind.
        columns.append(Column("x", .text("\(device)/\(message.number)")))
        // Larger than a staging buffer, or than a chunk of memory, now and then.
        if random.chance(3) {
            columns.append(Column("z", .text(String(repeating: "z", count: random.whole(1_000...4_500)))))
        }
        columns += fields.map { Column($0.name, $0.value) }
        message.payload = []
        Column.appendJSON(columns, to: &message.payload)
    }

    /// Mostly now by the device's own clock; sometimes on a boundary, far behind, or ahead.
    private mutating func eventTicks(_ trueTicks: Int64) -> Int64? {
        let second = EventTime.ticksPerSecond
        // Milliseconds are what the text of a time carries.
        let now = (trueTicks + clockSkewTicks) / 10_000 * 10_000
        switch random.whole(0...199) {
        case 0..<10: return nil
        case 10..<18: return now - Int64(random.whole(0...100)) * second
        case 18..<22: return now - 60 * second + Int64(random.whole(-1...1)) * 10_000
        // Everything else of the device is out of order for a while then.
        case 22: return now + Int64(random.whole(0...320)) * second
        case 23..<33: return now / EventTime.ticksPerMinute * EventTime.ticksPerMinute
        default: return now - Int64(random.whole(0...3_000)) * 10_000
        }
    }
}
