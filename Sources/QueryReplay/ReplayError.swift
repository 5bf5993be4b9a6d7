/// Why a replay cannot go on: an input is not what it must be, or the query stops. The person at the
/// keyboard acts.
package struct ReplayError: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Kind: Hashable, Sendable {
        /// The query, an option or an input is wrong.
        case input
        /// A row could not be computed.
        case failed
        /// A file is missing, or the disk refuses.
        case environment
    }

    package var kind: Kind
    package var message: String

    package init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    package var description: String { message }
}
