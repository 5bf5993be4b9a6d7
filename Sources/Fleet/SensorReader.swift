import Telemetry

/// Reads one sensor: a one-key map that names the generator, with modifiers beside it.
struct SensorReader {
    let name: String
    /// The device's interval; nil when it was not readable.
    let deviceEvery: ClosedRange<Int64>?

    static let generators = [
        "constant", "uniform", "normal", "walk", "sine", "daily", "choice", "counter", "sequence",
    ]
    static let generatorsLater = [
        "exponential", "square", "ramp", "decay", "weekly", "uuid", "text", "csv", "jsonl", "expr", "lag",
        "from", "when", "route", "geo", "boolean", "battery",
    ]
    static let modifiers = ["noise", "round", "unit", "clamp", "every", "report"]

    func read(_ value: YAMLValue) -> SensorModel? {
        guard let map = value.mapping("a generator such as { uniform: { min: 0, max: 1 } }") else {
            return nil
        }
        checkKeys(map)
        let found = map.entries.filter { Self.generators.contains($0.key) }
        guard let entry = found.first else {
            if !map.entries.contains(where: { Self.generatorsLater.contains($0.key) }) {
                map.report("sensor \"\(name)\" has no generator: \(Self.generators.joined(separator: ", "))")
            }
            return nil
        }
        if found.count > 1 {
            map.file.report(
                "sensor \"\(name)\" has two generators, \"\(entry.key)\" and \"\(found[1].key)\"",
                at: found[1].mark)
        }
        guard let generator = GeneratorReader.read(entry.key, entry.value) else { return nil }
        var model = SensorModel(
            name: name, generator: generator, noise: nil, digits: 3, clamp: nil, everyMilliseconds: nil,
            reportsOnChange: false, unit: nil)
        readModifiers(map, into: &model)
        return model
    }

    private func checkKeys(_ map: YAMLMapping) {
        let known = Self.generators + Self.modifiers
        for entry in map.entries where !known.contains(entry.key) {
            if Self.generatorsLater.contains(entry.key) {
                map.file.report(
                    "generator \"\(entry.key)\" is not supported yet (here: "
                        + Self.generators.joined(separator: ", ") + ")", at: entry.mark)
            } else if let near = Suggestion.nearest(to: entry.key, in: known + Self.generatorsLater) {
                map.file.report("unknown key \"\(entry.key)\" (did you mean \"\(near)\"?)", at: entry.mark)
            } else {
                map.file.report(
                    "unknown key \"\(entry.key)\" (generators: \(Self.generators.joined(separator: ", ")); "
                        + "modifiers: \(Self.modifiers.joined(separator: ", ")))", at: entry.mark)
            }
        }
    }

    private func readModifiers(_ map: YAMLMapping, into model: inout SensorModel) {
        if !model.generator.isNumeric {
            for key in ["noise", "round", "clamp"] {
                map[key]?.report("\"\(key)\" needs a generator of numbers")
            }
        }
        if let value = map["noise"] { model.noise = noise(value) }
        if let value = map["round"] { model.digits = value.whole(0...9, "round") ?? 3 }
        if let value = map["unit"] { model.unit = value.text("a text") }
        if let value = map["clamp"] { model.clamp = clamp(value) }
        if let value = map["every"] { model.everyMilliseconds = every(value) }
        if let value = map["report"], let text = value.text("on_change") {
            if text == "on_change" {
                model.reportsOnChange = true
            } else {
                value.report("report can only be on_change")
            }
        }
    }

    private func noise(_ value: YAMLValue) -> SensorModel.Noise? {
        guard let range = value.quantity("a number", Quantity.numberRange) else { return nil }
        if range.lowerBound != range.upperBound { return .uniform(range) }
        guard range.lowerBound >= 0 else {
            value.report("noise is a standard deviation of 0 or more, or ± a bound")
            return nil
        }
        return .normal(range.lowerBound)
    }

    private func clamp(_ value: YAMLValue) -> ClosedRange<Double>? {
        if value.isScalar { return value.quantity("a range such as 0..100", Quantity.numberRange) }
        guard let map = value.mapping("{ min: 0, max: 100 }") else { return nil }
        return GeneratorReader.bounds(map, known: [])
    }

    private func every(_ value: YAMLValue) -> ClosedRange<Int64>? {
        guard let range = value.quantity("a duration", Quantity.durationRange) else { return nil }
        if let deviceEvery, range.lowerBound < deviceEvery.lowerBound {
            value.report(
                "a sensor cannot be read more often than its device: every is shorter than the device's")
            return nil
        }
        return range
    }
}
