/// Counts for people: `1 row`, `2 rows`.
package enum Counted {
    /// - Parameters:
    ///   - one: what there is one of.
    ///   - many: what there are several of; nil for `one` with an s.
    package static func text(_ count: some BinaryInteger, _ one: String, _ many: String? = nil) -> String {
        "\(count) \(count == 1 ? one : many ?? one + "s")"
    }
}
