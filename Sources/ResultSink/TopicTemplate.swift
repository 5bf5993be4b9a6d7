package import Telemetry

/// A topic name with places for a row's columns: `headend/minute/{device}/{field}`.
///
/// A value is one level of the topic: `+`, `#`, `/` and NUL in it are percent-encoded, and so is a `%` that
/// would otherwise read as one of those encodings, so that no two values give the same level.
package struct TopicTemplate: Sendable, Equatable {
    private enum Part: Sendable, Equatable {
        case text(String)
        case column(String)
    }
    private let parts: [Part]

    /// What is wrong with a template's text; an operator mends it.
    package enum ParseError: Error, Sendable, Equatable, CustomStringConvertible {
        /// A `{` without its `}`, or the other way round, at a byte offset.
        case unbalanced(template: String, at: Int)
        /// `{name}` is no column of the query.
        case unknownColumn(template: String, column: String, known: [String])

        package var description: String {
            switch self {
            case .unbalanced(let template, let at):
                "topic \"\(template)\": the brace at character \(at + 1) has no partner"
            case .unknownColumn(let template, let column, let known):
                "topic \"\(template)\": no column \"\(column)\"; there are \(known.joined(separator: ", "))"
            }
        }
    }

    /// - Parameters:
    ///   - template: text with `{column}` places.
    ///   - columns: the names that may stand in places; nil allows any.
    package init(_ template: String, columns: [String]? = nil) throws(ParseError) {
        var parts: [Part] = []
        var text: [UInt8] = []
        var openAt: Int?
        for (index, byte) in template.utf8.enumerated() {
            switch byte {
            case UInt8(ascii: "{"):
                guard openAt == nil else { throw .unbalanced(template: template, at: index) }
                openAt = index
                if !text.isEmpty { parts.append(.text(String(decoding: text, as: UTF8.self))) }
                text = []
            case UInt8(ascii: "}"):
                guard openAt != nil else { throw .unbalanced(template: template, at: index) }
                openAt = nil
                let column = String(decoding: text, as: UTF8.self)
                if let columns, !columns.contains(column) {
                    throw .unknownColumn(template: template, column: column, known: columns)
                }
                parts.append(.column(column))
                text = []
            default: text.append(byte)
            }
        }
        if let openAt { throw .unbalanced(template: template, at: openAt) }
        if !text.isEmpty { parts.append(.text(String(decoding: text, as: UTF8.self))) }
        self.parts = parts
    }

    /// The topic of a row. A column that the row does not have reads `null`.
    package func fill(_ row: ResultRow) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(64)
        for part in parts {
            switch part {
            case .text(let text): bytes.append(contentsOf: text.utf8)
            case .column(let name):
                RowTopic.appendLevel(to: &bytes) { Self.append(row[name] ?? .null, to: &$0) }
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The template for rows that have these columns in this order.
    package func rowTopic(columns: [String]) -> RowTopic {
        RowTopic(
            parts: parts.map { part in
                switch part {
                case .text(let text): .text(Array(text.utf8))
                case .column(let name):
                    if let number = columns.firstIndex(of: name) {
                        .column(number)
                    } else {
                        .text(Array("null".utf8))
                    }
                }
            })
    }

    private static func append(_ value: Value, to bytes: inout [UInt8]) {
        switch value {
        case .text(let string): bytes.append(contentsOf: string.utf8)
        case .time(let time): time.appendISO8601(to: &bytes)
        default: value.appendJSON(to: &bytes)
        }
    }
}
