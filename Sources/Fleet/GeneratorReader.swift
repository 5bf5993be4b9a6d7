import Telemetry

/// Reads the parameters of a generator.
enum GeneratorReader {
    static func read(_ name: String, _ value: YAMLValue) -> Generator? {
        switch name {
        case "constant": constant(value)
        case "uniform": uniform(value)
        case "normal": normal(value)
        case "walk": walk(value)
        case "sine": sine(value)
        case "daily": daily(value)
        case "choice": choice(value)
        case "counter": counter(value)
        default: sequence(value)
        }
    }

    private static func constant(_ value: YAMLValue) -> Generator? {
        if value.isScalar { return literal(value).map(Generator.constant) }
        guard let map = value.mapping("a value, or { value: 21 }") else { return nil }
        map.checkKeys(known: ["value"])
        guard let found = map["value"] else {
            map.report("\"value\" is missing")
            return nil
        }
        return literal(found).map(Generator.constant)
    }

    private static func uniform(_ value: YAMLValue) -> Generator? {
        if value.isScalar {
            return value.quantity("a range such as 0..100", Quantity.numberRange).map(Generator.uniform)
        }
        guard let map = value.mapping("{ min: 0, max: 100 }") else { return nil }
        return bounds(map, known: []).map(Generator.uniform)
    }

    private static func normal(_ value: YAMLValue) -> Generator? {
        guard let map = value.mapping("{ mean: 20, stddev: 2 }") else { return nil }
        map.checkKeys(known: ["mean", "stddev"])
        let mean = map.numberRange("mean")
        let deviation = map.number("stddev")
        guard let mean, let deviation else { return nil }
        guard deviation >= 0 else {
            map["stddev"]?.report("stddev must be 0 or more")
            return nil
        }
        return .normal(mean: mean, deviation: deviation)
    }

    private static func walk(_ value: YAMLValue) -> Generator? {
        guard let map = value.mapping("{ start: 21, step: 0.2, min: 15, max: 30 }") else { return nil }
        map.checkKeys(known: ["start", "step", "min", "max"])
        let start = map.numberRange("start")
        let step = map.number("step")
        let low = map.number("min", default: -1e12)
        let high = map.number("max", default: 1e12)
        guard let start, let step, let low, let high else { return nil }
        guard step > 0 else {
            map["step"]?.report("step must be above 0")
            return nil
        }
        guard low <= start.lowerBound, start.upperBound <= high else {
            map.report("start must lie between min and max")
            return nil
        }
        guard step <= high - low else {
            map.report("step is wider than min to max")
            return nil
        }
        return .walk(start: start, step: step, bounds: low...high)
    }

    private static func sine(_ value: YAMLValue) -> Generator? {
        guard let map = value.mapping("{ mean: 20, amplitude: 5, period: 10m }") else { return nil }
        map.checkKeys(known: ["mean", "amplitude", "period", "phase"])
        let mean = map.numberRange("mean", default: 0)
        let amplitude = map.numberRange("amplitude", default: 1)
        let period = map.duration("period")
        let phase = map.duration("phase", default: 0)
        guard let mean, let amplitude, let period, let phase else { return nil }
        guard period > 0 else {
            map["period"]?.report("period must be above 0s")
            return nil
        }
        return .sine(mean: mean, amplitude: amplitude, periodMilliseconds: period, phaseMilliseconds: phase)
    }

    private static func daily(_ value: YAMLValue) -> Generator? {
        guard let map = value.mapping("{ min: 5, max: 25, peak: 15:00 }") else { return nil }
        var peak: Int64? = 15 * 3_600_000
        if let found = map["peak"] { peak = found.quantity("a time of day", Quantity.timeOfDay) }
        guard let range = bounds(map, known: ["peak"]), let peak else { return nil }
        return .daily(range, peakMilliseconds: peak)
    }

    private static func choice(_ value: YAMLValue) -> Generator? {
        if let items = value.list {
            guard let values = literals(items, value) else { return nil }
            return .choice(values, weights: [Double](repeating: 1, count: values.count))
        }
        guard let map = value.mapping("a list, or a map of weights such as { on: 95%, off: 5% }") else {
            return nil
        }
        var values: [Value] = []
        var weights: [Double] = []
        for entry in map.entries {
            guard let weight = entry.value.quantity("a weight such as 5%", Quantity.proportion) else {
                return nil
            }
            values.append(ScalarLiteral.value(of: entry.key, isPlain: true) ?? .text(entry.key))
            weights.append(weight)
        }
        guard abs(weights.reduce(0, +) - 1) < 1e-9 else {
            map.report("the weights of a choice must add up to 100%")
            return nil
        }
        return .choice(values, weights: weights)
    }

    private static func counter(_ value: YAMLValue) -> Generator? {
        guard let map = value.mapping("{ start: 0, step: 1 }") else { return nil }
        map.checkKeys(known: ["start", "step", "wrap"])
        let start = map.numberRange("start", default: 0)
        let step = map.numberRange("step", default: 1)
        var wrap: Double?
        if map["wrap"] != nil { wrap = map.number("wrap") }
        guard let start, let step else { return nil }
        guard step.lowerBound >= 0 else {
            map["step"]?.report("a counter never goes back: step must be 0 or more")
            return nil
        }
        if let wrap, wrap <= start.upperBound { map["wrap"]?.report("wrap must be above start") }
        let parts = [start.lowerBound, start.upperBound, step.lowerBound, step.upperBound]
        let isWhole = parts.allSatisfy { $0 == $0.rounded() && abs($0) < 1e15 }
        return .counter(start: start, step: step, wrap: wrap, isWhole: isWhole)
    }

    private static func sequence(_ value: YAMLValue) -> Generator? {
        if let items = value.list {
            return literals(items, value).map { .sequence($0, loops: true) }
        }
        guard let map = value.mapping("a list, or { values: [1, 2, 3], loop: true }") else { return nil }
        map.checkKeys(known: ["values", "loop"])
        var loops = true
        if let loop = map["loop"] {
            if case .boolean(let flag)? = literal(loop) {
                loops = flag
            } else {
                loop.report("loop must be true or false")
            }
        }
        guard let list = map["values"], let items = list.list else {
            map.report("\"values\" must be a list")
            return nil
        }
        return literals(items, list).map { .sequence($0, loops: loops) }
    }

    /// `min` and `max` of a map whose other keys are `known`.
    static func bounds(_ map: YAMLMapping, known: [String]) -> ClosedRange<Double>? {
        map.checkKeys(known: ["min", "max"] + known)
        let low = map.number("min")
        let high = map.number("max")
        guard let low, let high else { return nil }
        guard low <= high else {
            map.report("min is above max")
            return nil
        }
        return low...high
    }

    private static func literals(_ items: [YAMLValue], _ list: YAMLValue) -> [Value]? {
        if items.isEmpty { list.report("at least one value is needed") }
        let values = items.compactMap(literal)
        return values.count == items.count && !values.isEmpty ? values : nil
    }

    private static func literal(_ value: YAMLValue) -> Value? {
        guard let text = value.text("a number, a text, true or false") else { return nil }
        guard let result = ScalarLiteral.value(of: text, isPlain: value.isPlain) else {
            value.report("\"\(text)\" cannot be a sensor's value")
            return nil
        }
        return result
    }
}
