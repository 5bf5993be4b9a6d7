package import QueryLanguage

/// Why an engine stopped: a row that cannot be computed with the error policy `stop`, or a limit.
///
/// The engine's state is then undefined between two events: go on from the last checkpoint, or not at all.
/// The author of the query acts.
package struct QueryFailure: Error, Hashable, Sendable, CustomStringConvertible {
    package var reason: RowFailure?
    /// One sentence without a full stop.
    package var text: String
    package var hint: String?
    /// The part of the query that failed; nil when it was none.
    package var span: SourceSpan?
    package var input: String?
    package var device: UInt32 = 0
    package var sequence: UInt64 = 0
    /// The event in hand, as far as it is text.
    package var payload: String?
    /// Of a group, its key as a JSON array.
    package var group: String?

    init(text: String, hint: String? = nil) {
        self.text = text
        self.hint = hint
    }

    init(_ reason: RowFailure, _ span: SourceSpan?) {
        self.reason = reason
        text = reason.text
        hint = reason.hint
        self.span = span
    }

    package var description: String {
        var description = text
        if let span { description += " (line \(span.line), column \(span.column))" }
        if let input { description += ", at event \(sequence) of \(input)" }
        if let group { description += ", of the group \(group)" }
        if let payload { description += ": \(payload)" }
        return description
    }
}

extension QueryFailure {
    /// An event that is no JSON object.
    package init(notJSON place: String) {
        self.init(text: "\(place): not a JSON object: an event is an object on one line")
    }
}
