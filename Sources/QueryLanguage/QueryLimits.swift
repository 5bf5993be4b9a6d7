/// What a query text may cost the reader. Each limit ends in an error with a position, never in a trap.
package struct QueryLimits: Hashable, Sendable {
    /// UTF-8 bytes of one text. Default 256 KiB: a hundred times the longest query seen in practice.
    package var textBytesMax = 256 * 1024
    /// Open parentheses, calls, CASEs and signs at one place. Default 32: deeper is no query that a
    /// person wrote, and 32 levels fit in 512 KiB of stack (1 MiB in a debug build).
    package var nestingMax = 32
    /// Levels of the expression tree, so that `a + b + c …` stays walkable. Default 400.
    package var expressionHeightMax = 400
    /// Errors reported for one text. Default 20: more are echoes of the first ones.
    package var errorsMax = 20

    package init() {}
}
