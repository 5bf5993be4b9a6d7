import DeviceQueue

/// The texts of `retention:` in the configuration file.
enum RetentionSettings {
    static let keys = ["age", "bytes", "recordsPerDevice"]

    /// Sets one limit from its text.
    ///
    /// - Returns: nil, or what the text should be.
    static func set(_ key: String, _ text: String, in policy: inout RetentionPolicy) -> String? {
        switch key {
        case "age":
            guard let ticks = ticks(text) else {
                return "age: is a duration with a unit, s, m, h or d: for example 7d"
            }
            policy.ageTicks = ticks
        case "bytes":
            guard let bytes = bytes(text) else {
                return "bytes: is a size, a whole number with B, kB, MB, GB, TB, KiB, MiB, GiB or TiB: for "
                    + "example 50GB"
            }
            policy.bytes = bytes
        default:
            guard let count = UInt64(text), count > 0 else {
                return "recordsPerDevice: is a whole number from 1"
            }
            policy.recordsPerDevice = count
        }
        return nil
    }

    /// `7d` in ticks of 100 ns; nil when it is no positive duration.
    static func ticks(_ text: String) -> Int64? {
        let units: [(String, Int64)] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)]
        guard let (count, seconds) = split(text, units), count > 0 else { return nil }
        let (total, overflow) = count.multipliedReportingOverflow(by: seconds * 10_000_000)
        return overflow ? nil : total
    }

    /// `50GB` in bytes; nil when it is no positive size.
    static func bytes(_ text: String) -> UInt64? {
        let units: [(String, Int64)] = [
            ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("kB", 1_000),
            ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000), ("B", 1),
            ("", 1),
        ]
        guard let (count, unit) = split(text, units), count > 0 else { return nil }
        let (total, overflow) = count.multipliedReportingOverflow(by: unit)
        return overflow ? nil : UInt64(total)
    }

    private static func split(_ text: String, _ units: [(String, Int64)]) -> (Int64, Int64)? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let rest = text.dropFirst(digits.count).drop { $0 == " " }
        guard let count = Int64(digits), let unit = units.first(where: { $0.0 == rest }) else { return nil }
        return (count, unit.1)
    }
}
