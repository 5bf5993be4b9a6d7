/// Reads one device type. Every problem is reported to the file; a type is returned only when it had none.
struct DeviceTypeReader {
    let name: String
    let limits: FleetPlan.Limits

    static let known = ["count", "id", "topic", "tags", "every", "sensors", "connection", "faults"]
    static let later = ["state", "commands", "payload", "twin", "start"]

    func read(_ root: YAMLValue) -> DeviceType? {
        let before = root.file.problems.count
        guard let map = root.mapping("a device type: count, every and sensors") else { return nil }
        map.checkKeys(known: Self.known, later: Self.later)
        var count = 1
        if let value = map["count"] { count = value.whole(1...limits.devicesMax, "count") ?? 1 }
        let tags = map["tags"].map(readTags) ?? []
        let identifier = template(map["id"], DeviceType.identifierDefault, tags: tags, allowsID: false)
        let topic = template(map["topic"], DeviceType.topicDefault, tags: tags, allowsID: true)
        let every = interval(map.durationRange("every"), map["every"])
        var sensors: [SensorModel] = []
        if let value = map["sensors"] {
            sensors = readSensors(value, every: every)
        } else {
            map.report("\"sensors\" is missing")
        }
        var connection = map["connection"].map(ConnectionReader.read) ?? ConnectionModel()
        let faults = map["faults"].map { FaultReader.read($0, connection: &connection) } ?? FaultModel()
        guard root.file.problems.count == before, let every, let identifier, let topic else { return nil }
        return DeviceType(
            name: name, count: count, identifier: identifier, topic: topic, tags: tags,
            everyMilliseconds: every, sensors: sensors, connection: connection, faults: faults)
    }

    private func template(
        _ value: YAMLValue?, _ fallback: String, tags: [DeviceType.Tag], allowsID: Bool
    ) -> Template? {
        let names = tags.map(\.name)
        guard let value else { return try? Template(fallback, tags: names, allowsID: allowsID) }
        return value.quantity("a text") { text throws(QuantityError) in
            try Template(text, tags: names, allowsID: allowsID)
        }
    }

    private func interval(_ range: ClosedRange<Int64>?, _ value: YAMLValue?) -> ClosedRange<Int64>? {
        if let range, range.lowerBound < 1 {
            value?.report("an interval must be at least 1ms")
            return nil
        }
        return range
    }

    private func readTags(_ value: YAMLValue) -> [DeviceType.Tag] {
        guard let map = value.mapping("a map of tags, such as { line: [A, B] }") else { return [] }
        return map.entries.compactMap { entry in
            let items = entry.value.list ?? [entry.value]
            let values = items.compactMap { $0.text("a text") }
            if items.isEmpty { entry.value.report("a tag needs at least one value") }
            return values.isEmpty ? nil : DeviceType.Tag(name: entry.key, values: values)
        }
    }

    private func readSensors(_ value: YAMLValue, every: ClosedRange<Int64>?) -> [SensorModel] {
        guard let map = value.mapping("a map of sensors") else { return [] }
        if map.entries.isEmpty { map.report("at least one sensor is needed") }
        if map.entries.count > limits.sensorsMax { map.report("more than \(limits.sensorsMax) sensors") }
        return map.entries.compactMap { entry in
            if ["id", "ts", "messageId", "timestamp"].contains(entry.key) {
                map.file.report(
                    "a sensor cannot be called \"\(entry.key)\": the payload has it", at: entry.mark)
            }
            return SensorReader(name: entry.key, deviceEvery: every).read(entry.value)
        }
    }
}
