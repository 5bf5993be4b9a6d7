/// Where a piece of the text stands: lines and columns count from 1, columns in Unicode scalars.
///
/// Two spans always compare equal: a position is no part of what a query means. So syntax trees compare by
/// meaning, and an expression of the SELECT list can be found among the grouping keys.
package struct SourceSpan: Sendable {
    package var line: Int
    package var column: Int
    package var endLine: Int
    /// The column after the last one.
    package var endColumn: Int

    package init(line: Int, column: Int, endLine: Int, endColumn: Int) {
        self.line = line
        self.column = column
        self.endLine = endLine
        self.endColumn = endColumn
    }

    /// Columns to underline on the first line; 1 when the piece goes on over several lines.
    package var length: Int { endLine == line ? max(1, endColumn - column) : 1 }

    /// From the start of this one to the end of the other.
    package func through(_ last: SourceSpan) -> SourceSpan {
        SourceSpan(line: line, column: column, endLine: last.endLine, endColumn: last.endColumn)
    }

    /// The place just behind: where something is missing.
    package var after: SourceSpan {
        SourceSpan(line: endLine, column: endColumn, endLine: endLine, endColumn: endColumn + 1)
    }
}

extension SourceSpan: Hashable {
    package static func == (left: SourceSpan, right: SourceSpan) -> Bool { true }
    package func hash(into hasher: inout Hasher) {}
}
