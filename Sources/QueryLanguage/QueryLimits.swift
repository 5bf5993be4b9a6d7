/// What a query text may cost the reader. Each limit ends in an error with a position, never in a trap.
package struct QueryLimits: Hashable, Sendable {
    /// UTF-8 bytes of one text. Default 256 KiB: a hundred times the longest query seen in practice.
    package var textBytesMax = 256 * 1024
    /// Open parentheses, calls, CASEs and signs at one place. Default 32: deeper is no query that a
    /// person wrote, and 32 levels fit in 512 KiB of stack (1 MiB in a debug build).
    package var nestingMax = 32
    /// Levels of the expression tree, so that `a + b + c …` stays walkable. Default 400.
    package var expressionHeightMax = 400
    /// Parts that the windows of one GROUP BY are made of: sizes divided by what size and hop have in common. Each
    /// group keeps a state a part, some 200 bytes, and merges all of them at each hop, at 40 to 90 ns each. Default
    /// 10,000: 2 MB and up to 0.9 ms a group, so that a hundred groups keep up with hops of a second.
    package var windowPartsMax: Int64 = 10_000
    /// Errors reported for one text. Default 20: more are echoes of the first ones.
    package var errorsMax = 20

    package init() {}
}
