import ConsumerGroups
import Hummingbird
import Telemetry

/// The query of a request's address, read strictly: errors name the field.
struct QueryFields {
    private let values: [(name: String, value: String)]

    init(_ request: Request) {
        values = request.uri.queryParameters.map { (String($0.key), String($0.value)) }
    }

    /// - Throws: `GroupError.invalid` for a name that is not known.
    func check(known: [String]) throws(GroupError) {
        for (name, _) in values where !known.contains(name) {
            let hint = Suggestion.nearest(to: name, in: known).map { " (did you mean \"\($0)\"?)" } ?? ""
            throw .invalid(
                field: name,
                explanation: "not a known parameter\(hint); there are: \(known.joined(separator: ", "))")
        }
    }

    subscript(name: String) -> String? { values.first { $0.name == name }?.value }

    func required(_ name: String) throws(GroupError) -> String {
        guard let value = self[name] else { throw .invalid(field: name, explanation: "missing") }
        return value
    }

    func integer(_ name: String, _ range: ClosedRange<Int>) throws(GroupError) -> Int? {
        guard let text = self[name] else { return nil }
        guard let value = Int(text), range.contains(value) else {
            throw .invalid(
                field: name,
                explanation:
                    "\"\(text)\" is not a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// Nanoseconds of `500ms`, `30s`, `5m` or `1h`.
    func duration(_ name: String, _ range: ClosedRange<UInt64>) throws(GroupError) -> UInt64? {
        guard let text = self[name] else { return nil }
        for (unit, scale) in Self.units where text.hasSuffix(unit) {
            guard let number = UInt64(text.dropLast(unit.utf8.count)) else { break }
            let (nanoseconds, isOver) = number.multipliedReportingOverflow(by: scale)
            guard !isOver, range.contains(nanoseconds) else {
                throw .invalid(
                    field: name,
                    explanation:
                        "\(text) is not between \(Self.text(range.lowerBound)) and \(Self.text(range.upperBound))"
                )
            }
            return nanoseconds
        }
        throw .invalid(field: name, explanation: "\"\(text)\" is not a time such as 500ms, 30s or 5m")
    }

    private static let units: [(String, UInt64)] = [
        ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000),
    ]

    private static func text(_ nanoseconds: UInt64) -> String {
        let unit = units.last { nanoseconds >= $0.1 && nanoseconds % $0.1 == 0 } ?? ("s", 1_000_000_000)
        return String(nanoseconds / unit.1) + unit.0
    }
}
