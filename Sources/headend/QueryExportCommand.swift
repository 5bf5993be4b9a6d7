import ArgumentParser
import Foundation
import PerpetualQuery
import QueryExport
import QueryLanguage

extension ExportEngine: ExpressibleByArgument {}

/// A query in the SQL of a distributed engine.
struct QueryExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write a query for Spark Structured Streaming or Flink SQL.",
        discussion: """
            Filters, projections, and tumbling and hopping windows are carried over; what has no counterpart is \
            refused with its place. Inputs need types (CREATE TABLE) and TIMESTAMP BY. Exit status 0, or 2 when \
            something is refused.

            Example: headend query export minute.sql --to spark --out-of-order 5s > minute.py
            """)

    @Argument(help: "The file with the query; - reads standard input.") var file: String
    @Option(help: "spark (a PySpark script) or flink (statements for the SQL client).") var to: ExportEngine
    @Option(
        name: .customLong("out-of-order"),
        help: ArgumentHelp("How far events may be out of order.", valueName: "duration"))
    var outOfOrder: ToleranceArgument?

    func run() throws {
        let text = try QueryCommand.text(of: file)
        let name = QueryCommand.name(of: file)
        var errors = QueryPlanner.plan(text: text, name: name).errors
        if let outOfOrder, outOfOrder.ticks == TimePolicy.unlimited {
            throw Failure.input("--out-of-order unlimited: windows would never close; give a duration")
        }
        if errors.isEmpty {
            do {
                let script = try QueryExporter.script(
                    QueryParser.parse(text).document, for: to, name: name, outOfOrder: outOfOrder?.ticks ?? 0)
                FileHandle.standardOutput.write(Data(script.utf8))
                return
            } catch { errors = [error] }
        }
        for error in errors { Console.note(error.render(source: text, name: file)) }
        throw ExitCode(ExitStatus.usage.rawValue)
    }
}
