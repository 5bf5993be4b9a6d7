import ResultSink
import Telemetry

/// The topics of result rows: `headend/minute/{device}/{field}`, and `headend/_late/{device}` or
/// `headend/_errors/{device}` for the system streams.
struct ResultTopics: Sendable {
    private let windowed: TopicTemplate
    private let late: TopicTemplate
    private let errors: TopicTemplate

    init() throws {
        windowed = try TopicTemplate("headend/minute/{device}/{field}", columns: ["device", "field"])
        late = try TopicTemplate("headend/_late/{device}", columns: ["device"])
        errors = try TopicTemplate("headend/_errors/{device}", columns: ["device"])
    }

    func topic(of row: ResultRow) -> String {
        switch row.output {
        case "_late": late.fill(row)
        case "_errors": errors.fill(row)
        default: windowed.fill(row)
        }
    }
}
