import Telemetry

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// One sensor of one device while the device runs.
struct SensorState: Sendable {
    let model: SensorModel
    private var random: RandomStream
    /// Drawn once per device: a walk's or counter's start, a normal's or sine's mean.
    private let base: Double
    /// Drawn once per device: a sine's amplitude.
    private let amplitude: Double
    /// The last value of a walk or counter; nil before the first.
    private var last: Double?
    private var position = 0
    /// Milliseconds since the epoch; only for sensors with an interval of their own.
    private var nextDue: Int64 = .min
    private var lastPublished: Value?

    init(model: SensorModel, random: RandomStream) {
        self.model = model
        self.random = random
        switch model.generator {
        case .walk(let start, _, _), .counter(let start, _, _, _): base = self.random.uniform(in: start)
        case .normal(let mean, _), .sine(let mean, _, _, _): base = self.random.uniform(in: mean)
        default: base = 0
        }
        if case .sine(_, let range, _, _) = model.generator {
            amplitude = self.random.uniform(in: range)
        } else {
            amplitude = 0
        }
    }

    /// The sensor's part of a reading.
    ///
    /// - Returns: nil when the sensor is not due, or has nothing new to report.
    mutating func sample(atMilliseconds time: Int64) -> (published: Value, truth: Value)? {
        if let every = model.everyMilliseconds {
            guard time >= nextDue else { return nil }
            if nextDue == .min { nextDue = time }
            while nextDue <= time { nextDue += max(1, random.whole(in: every)) }
        }
        let raw = generate(atMilliseconds: time)
        var noise = 0.0
        switch model.noise {
        case .normal(let deviation): noise = random.normal() * deviation
        case .uniform(let range): noise = random.uniform(in: range)
        case nil: break
        }
        let published = finish(raw, adding: model.noise == nil ? nil : noise)
        if model.reportsOnChange {
            if published == lastPublished { return nil }
            lastPublished = published
        }
        return (published, finish(raw, adding: nil))
    }

    private mutating func generate(atMilliseconds time: Int64) -> Value {
        switch model.generator {
        case .constant(let value):
            return value
        case .uniform(let range):
            return .float(random.uniform(in: range))
        case .normal(_, let deviation):
            return .float(base + random.normal() * deviation)
        case .walk(_, let step, let bounds):
            return .float(walk(step: step, bounds: bounds))
        case .sine(_, _, let period, let phase):
            let turn = Double((time + phase) % period) / Double(period)
            return .float(base + amplitude * sin(2 * .pi * turn))
        case .daily(let range, let peak):
            let turn = Double((time - peak) % 86_400_000) / 86_400_000
            let middle = (range.lowerBound + range.upperBound) / 2
            return .float(middle + (range.upperBound - range.lowerBound) / 2 * cos(2 * .pi * turn))
        case .choice(let values, let weights):
            return values[pick(weights)]
        case .counter(_, let step, let wrap, let isWhole):
            let value = count(step: step, wrap: wrap, isWhole: isWhole)
            return isWhole ? .bigint(Int64(value)) : .float(value)
        case .sequence(let values, let loops):
            let value = values[min(position, values.count - 1)]
            position = loops ? (position + 1) % values.count : min(position + 1, values.count - 1)
            return value
        }
    }

    private mutating func walk(step: Double, bounds: ClosedRange<Double>) -> Double {
        var value = base
        if let last {
            value = last + random.uniform(in: -step...step)
            // Turns back at a bound; the step is not wider than the bounds, so once is enough.
            if value > bounds.upperBound { value = 2 * bounds.upperBound - value }
            if value < bounds.lowerBound { value = 2 * bounds.lowerBound - value }
        }
        last = value
        return value
    }

    private mutating func count(step: ClosedRange<Double>, wrap: Double?, isWhole: Bool) -> Double {
        let start = isWhole ? base.rounded() : base
        var value = start
        if let last {
            let drawn = random.uniform(in: step)
            value = last + (isWhole ? drawn.rounded() : drawn)
            // Beyond 2⁵³ a counter would stand still, so it begins again there at the latest.
            if value > wrap ?? 9_007_199_254_740_991 { value = start }
        }
        last = value
        return value
    }

    private mutating func pick(_ weights: [Double]) -> Int {
        var rest = random.unit() * weights.reduce(0, +)
        for (index, weight) in weights.enumerated() {
            if rest < weight { return index }
            rest -= weight
        }
        return weights.count - 1
    }

    /// Noise, clamp and rounding; whole numbers stay whole unless noise is added.
    private func finish(_ raw: Value, adding noise: Double?) -> Value {
        switch raw {
        case .bigint(let whole):
            if noise == nil, model.clamp == nil { return raw }
            let value = clamped(Double(whole) + (noise ?? 0))
            return noise == nil && value == value.rounded() ? .bigint(Int64(value)) : rounded(value)
        case .float(let value):
            return rounded(clamped(value + (noise ?? 0)))
        default:
            return raw
        }
    }

    private func clamped(_ value: Double) -> Double {
        guard let range = model.clamp else { return value }
        return min(max(value, range.lowerBound), range.upperBound)
    }

    private func rounded(_ value: Double) -> Value {
        if model.digits == 0, abs(value) < 9e15 { return .bigint(Int64(value.rounded())) }
        let scale = Self.powersOfTen[model.digits]
        let result = (value * scale).rounded() / scale
        // Adding zero turns −0 into 0.
        return .float((result.isFinite ? result : value) + 0)
    }

    private static let powersOfTen: [Double] = [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9]
}
