/// Why a file gives no rows; one line that begins with the place.
package struct ReferenceError: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Kind: Hashable, Sendable {
        /// The file is wrong, or what it is asked for. (Its author.)
        case input
        /// It is missing, or the disk refuses. (Operator.)
        case environment
        /// Somebody else is at it: the next look may succeed. (Retry.)
        case busy
    }

    package var kind: Kind
    package var description: String

    package init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}
