import QueryLanguage

/// An input as the engine reads it: its declared columns, and `_at`, a time attribute that lies one tick of the
/// engine before the event's time. So a window `(start, end]` here is the window `[start, end)` there.
struct ExportSource {
    /// The input's name, as files are given for it.
    var input: String
    /// What the engine calls it: an input read with two times is two tables.
    var table: String
    var columns: [ColumnDeclaration]
    /// The event time in terms of the columns.
    var time: String
}

/// The rows of a step.
struct ExportView {
    var name: String
    var query: String
}

/// Rows that go to an output.
struct ExportOutput {
    var name: String
    var query: String
    var columns: [(name: String, type: SQLType)]
}

/// What a script is made of, in the order in which it stands there.
struct ExportPieces {
    var sources: [ExportSource] = []
    var views: [ExportView] = []
    var outputs: [ExportOutput] = []
    /// How far events may be out of order, in ticks.
    var tolerance: Int64 = 0
    /// The name of the time attribute.
    static let time = "_at"
}
