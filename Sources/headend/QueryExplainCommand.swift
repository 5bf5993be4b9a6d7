import ArgumentParser
import PerpetualQuery
import Platform
import QueryLanguage
import QueryReplay

/// The plan of a query.
struct QueryExplainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Show how a query is computed: its operators, times and decoded fields.",
        discussion: "Example: headend query explain minute.sql --reference devices")

    @Argument(help: "The file with the query; - reads standard input.") var file: String
    @Option(help: "An input that is reference data. Repeatable.") var reference: [String] = []
    @OptionGroup var time: QueryTimeOptions

    func run() throws {
        let text = try QueryCommand.text(of: file)
        let (plan, errors) = QueryPlanner.plan(
            text: text, name: QueryCommand.name(of: file), settings: try time.settings(),
            referenceInputs: reference)
        guard let plan else {
            for error in errors { Console.note(error.render(source: text, name: file)) }
            throw ExitCode(ExitStatus.usage.rawValue)
        }
        for tree in plan.explanation { for line in tree.lines() { Console.line(line) } }
        for input in plan.inputs {
            let fields = input.fields.isEmpty ? "no field" : input.fields.joined(separator: ", ")
            Console.line(
                "input \(input.name) decodes \(fields)" + (input.needsPayload ? " and keeps the payload" : "")
            )
        }
        for reference in plan.references { Console.line(Self.text(reference)) }
        if plan.needsArrivalTime { Console.line("time of arrival matters: there is no TIMESTAMP BY") }
    }

    /// Which columns of reference data are kept, with their types, and by which of them rows are found.
    private static func text(_ reference: ReferencePlan) -> String {
        let columns = zip(reference.columns, reference.types).map { name, type in
            type.map { "\(name) \($0.rawValue)" } ?? name
        }
        var text = "reference data \(reference.name) keeps "
        let whole = reference.needsRow || columns.isEmpty ? ["whole rows"] : []
        text += (columns + whole).joined(separator: ", ")
        for index in reference.indexes {
            text += "; found by " + index.map { reference.columns[$0] }.joined(separator: ", ")
        }
        return text
    }
}
