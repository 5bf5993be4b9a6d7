import PerpetualQuery
import ResultSink
import Telemetry

/// The topics of a query's rows: `headend/minute/{device}/{field}` of the default query, `headend/{query}/{output}` of
/// any other unless its definition says otherwise, and `headend/_late/{device}` or `headend/_errors/{device}` (of
/// other queries `headend/{query}/_late` …) for the system streams.
struct ResultTopics: Sendable {
    private var templates: [String: TopicTemplate] = [:]
    /// By SELECT that gives rows; nil when the row has no topic.
    private var ways: [Way?] = []

    private enum Way {
        case fixed(RowTopic)
        /// The columns depend on the event.
        case template(TopicTemplate)
    }

    /// Outputs whose last row of each topic is kept by the broker.
    let retained: Set<String>

    /// - Throws: `.invalid` for a template that is none, or names a column that the output lacks.
    init(_ definition: QueryDefinition, _ plan: StreamPlan) throws(QueryRequestError) {
        retained = Set(definition.outputs.filter(\.isRetained).map(\.name))
        if let silent = definition.outputs.first(where: { $0.isDownstream && $0.topic == "" }) {
            throw QueryRequestError(
                .invalid,
                "\(definition.name): the rows of \(silent.name) go downstream under their topic, and it has none"
            )
        }
        do throws(TopicTemplate.ParseError) {
            for (number, output) in plan.outputs.enumerated() {
                let setting = definition.outputs.first { $0.name == output }
                let text = setting?.topic ?? "headend/\(definition.name)/\(output)"
                if text.isEmpty { continue }
                templates[output] = try TopicTemplate(text, columns: plan.columns(ofOutput: number))
            }
            ways = plan.columnsByEmit.map { emit in
                templates[plan.outputs[emit.output]].map { template in
                    emit.columns.map { .fixed(template.rowTopic(columns: $0)) } ?? .template(template)
                }
            }
            let folder = definition.isDefault ? "headend" : "headend/\(definition.name)"
            for output in [StreamPlan.lateOutput, StreamPlan.errorOutput] {
                templates[output] = try TopicTemplate("\(folder)/\(output)/{device}", columns: ["device"])
            }
        } catch {
            throw QueryRequestError(.invalid, "\(definition.name): \(error)")
        }
        let bad = templates.values.first { template in
            let text = template.fill(
                ResultRow(output: "", id: ResultID(high: 0, low: 0), time: EventTime(ticks: 0), columns: []))
            return text.contains("#") || text.contains("+") || text.hasPrefix("$") || text.contains("\0")
        }
        if bad != nil {
            throw QueryRequestError(
                .invalid,
                "\(definition.name): a topic that is published to has no #, + or NUL, and no $ first")
        }
    }

    /// Appends the topic of a row; nothing when it has none.
    func append(of row: Int, _ rows: RowBuffer, to bytes: inout [UInt8]) {
        switch ways[rows.emit(of: row)] {
        case .fixed(let topic):
            topic.append(to: &bytes) { rows.appendText(of: row, column: $0, to: &$1) }
        case .template(let template): bytes.append(contentsOf: template.fill(rows.resultRow(row)).utf8)
        case nil: break
        }
    }

    /// Empty: the row has none.
    func topic(of row: ResultRow) -> String { templates[row.output]?.fill(row) ?? "" }
}
