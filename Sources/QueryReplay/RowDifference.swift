package import Telemetry

/// Compares rows as multisets: order does not matter, how often a row comes does.
///
/// A column that is NULL equals one that is missing; numbers are equal when they differ by less than a part
/// in 10⁹; times are equal however they are written.
package enum RowDifference {
    /// The columns of a JSON object; nil when the bytes are none.
    package static func columns(of row: UnsafeRawBufferPointer) -> [Column]? {
        guard case .nested(let object)? = JSONFieldScanner.value(of: row), object.first == UInt8(ascii: "{")
        else {
            return nil
        }
        guard case .record(let columns) = value(.nested(object)) else { return nil }
        return columns
    }

    private static func value(_ scalar: JSONScalar) -> Value {
        switch scalar {
        case .null: return .null
        case .boolean(let value): return .boolean(value)
        case .bigint(let value): return .bigint(value)
        case .float(let value): return .float(value)
        case .text(let raw, _): return .text(String(decoding: JSONString.decode(raw), as: UTF8.self))
        case .nested(let bytes):
            if bytes.first == UInt8(ascii: "{") {
                var columns: [Column] = []
                _ = JSONFieldScanner.forEachTopLevelField(bytes) { name, scalar in
                    columns.append(
                        Column(String(decoding: JSONString.decode(name), as: UTF8.self), value(scalar)))
                }
                return .record(columns)
            }
            var values: [Value] = []
            _ = JSONFieldScanner.forEachElement(bytes) { _, scalar in
                values.append(value(scalar))
                return true
            }
            return .array(values)
        }
    }

    /// - Returns: lines that say what is missing and what is too much; none when the rows are the same.
    package static func compare(expected: [[Column]], actual: [[Column]], output: String) -> [String] {
        var left = actual.map { Optional($0) }
        // Rows are mostly in the same order: look there first.
        var missing: [[Column]] = []
        for (index, row) in expected.enumerated() {
            if index < left.count, let other = left[index], isSame(row, other) {
                left[index] = nil
            } else if let found = left.firstIndex(where: { $0.map { isSame(row, $0) } ?? false }) {
                left[found] = nil
            } else {
                missing.append(row)
            }
        }
        var surplus = left.compactMap { $0 }
        if missing.isEmpty, surplus.isEmpty { return [] }
        var lines = ["\(output): \(Counted.text(expected.count, "row")) expected, \(actual.count) came"]
        for row in missing.prefix(linesMax) {
            // The row that differs least stands beside it.
            let near = surplus.indices.min { distance(row, surplus[$0]) < distance(row, surplus[$1]) }
            if let near, distance(row, surplus[near]) * 2 <= row.count {
                lines.append("  - \(text(row))")
                lines.append("  + \(text(surplus[near]))")
                lines.append("    " + differing(row, surplus[near]))
                surplus.remove(at: near)
            } else {
                lines.append("  - \(text(row))")
            }
        }
        if missing.count > linesMax { lines.append("  - … \(missing.count - linesMax) more") }
        for row in surplus.prefix(linesMax) { lines.append("  + \(text(row))") }
        if surplus.count > linesMax { lines.append("  + … \(surplus.count - linesMax) more") }
        return lines
    }

    private static let linesMax = 10

    private static func differing(_ expected: [Column], _ actual: [Column]) -> String {
        var parts: [String] = []
        for column in expected {
            let other = actual.first { $0.name == column.name }?.value ?? .null
            if !isSame(column.value, other) {
                parts.append("\(column.name): expected \(text(column.value)), came \(text(other))")
            }
        }
        for column in actual
        where column.value != .null && !expected.contains(where: { $0.name == column.name }) {
            parts.append("\(column.name): not expected, came \(text(column.value))")
        }
        return parts.joined(separator: "; ")
    }

    private static func distance(_ left: [Column], _ right: [Column]) -> Int {
        left.reduce(0) { count, column in
            let other = right.first { $0.name == column.name }?.value ?? .null
            return count + (isSame(column.value, other) ? 0 : 1)
        }
    }

    private static func text(_ row: [Column]) -> String { text(.record(row)) }

    private static func text(_ value: Value) -> String {
        var bytes: [UInt8] = []
        value.appendJSON(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    package static func isSame(_ left: [Column], _ right: [Column]) -> Bool {
        func value(_ name: String, _ row: [Column]) -> Value { row.first { $0.name == name }?.value ?? .null }
        return left.allSatisfy { isSame($0.value, value($0.name, right)) }
            && right.allSatisfy { isSame($0.value, value($0.name, left)) }
    }

    private static func isSame(_ left: Value, _ right: Value) -> Bool {
        switch (left, right) {
        case (.bigint(let a), .float(let b)), (.float(let b), .bigint(let a)): return isNear(Double(a), b)
        case (.float(let a), .float(let b)): return isNear(a, b)
        case (.time(let a), .text(let b)), (.text(let b), .time(let a)): return EventTime.parse(b) == a
        case (.text(let a), .text(let b)):
            if a == b { return true }
            guard let first = EventTime.parse(a), let second = EventTime.parse(b) else { return false }
            return first == second
        case (.record(let a), .record(let b)): return isSame(a, b)
        case (.array(let a), .array(let b)):
            return a.count == b.count && zip(a, b).allSatisfy { isSame($0, $1) }
        default: return left == right
        }
    }

    private static func isNear(_ a: Double, _ b: Double) -> Bool {
        a == b || abs(a - b) <= 1e-9 * max(abs(a), abs(b))
    }
}
