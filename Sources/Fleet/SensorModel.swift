package import Telemetry

/// How one sensor's values come about: a generator, and what modifies it.
///
/// A number given as a range (`start: 20..22`) is drawn once per device, so that devices of one type differ.
package struct SensorModel: Equatable, Sendable {
    /// The field's name in the payload.
    package var name: String
    package var generator: Generator
    /// What measuring adds to the generator's value; the answer key's `true_values` are without it.
    package var noise: Noise?
    /// Digits after the point, 0 to 9; 0 gives integers. Default 3.
    package var digits: Int
    /// Published and true values are kept within; nil: free.
    package var clamp: ClosedRange<Double>?
    /// The sensor's own interval in milliseconds, not shorter than the device's; nil: in every reading.
    package var everyMilliseconds: ClosedRange<Int64>?
    /// True: the field is in a reading only when its published value differs from the last one published.
    package var reportsOnChange: Bool
    /// For people; not in the payload.
    package var unit: String?

    /// Measuring noise around zero.
    package enum Noise: Equatable, Sendable {
        /// `noise: 0.03`: normal with this standard deviation.
        case normal(Double)
        /// `noise: ±0.05`: uniform between the bounds.
        case uniform(ClosedRange<Double>)
    }
}

/// The first set of generators. Ranges named "once per device" are drawn when the device starts.
package enum Generator: Equatable, Sendable {
    /// Always the same value.
    case constant(Value)
    /// Any number between the bounds, each reading anew.
    case uniform(ClosedRange<Double>)
    /// Normal with a mean (once per device) and a standard deviation.
    case normal(mean: ClosedRange<Double>, deviation: Double)
    /// Starts at `start` (once per device), then moves by at most `step` a reading, and turns back at the
    /// bounds.
    case walk(start: ClosedRange<Double>, step: Double, bounds: ClosedRange<Double>)
    /// `mean + amplitude · sin(2π (t + phase) / period)`, t since the epoch; mean and amplitude once per
    /// device.
    case sine(
        mean: ClosedRange<Double>, amplitude: ClosedRange<Double>, periodMilliseconds: Int64,
        phaseMilliseconds: Int64)
    /// A day's cosine between the bounds with its top at a time of day (UTC).
    case daily(ClosedRange<Double>, peakMilliseconds: Int64)
    /// One of the values, each reading anew, with these weights.
    case choice([Value], weights: [Double])
    /// Adds a step (drawn each reading) to the last value; from `start` again when it would pass `wrap`.
    case counter(start: ClosedRange<Double>, step: ClosedRange<Double>, wrap: Double?, isWhole: Bool)
    /// The values one after the other; from the first again, or the last for ever.
    case sequence([Value], loops: Bool)

    /// True when every value is a number, so that noise, rounding and clamping mean something.
    package var isNumeric: Bool {
        switch self {
        case .constant(let value): value.isNumber
        case .choice(let values, _), .sequence(let values, _): values.allSatisfy(\.isNumber)
        case .uniform, .normal, .walk, .sine, .daily, .counter: true
        }
    }
}

extension Value {
    var isNumber: Bool {
        switch self {
        case .bigint, .float: true
        default: false
        }
    }
}
