import ArgumentParser
import Foundation
import PerpetualQuery
import QueryLanguage

/// The query language over files, and the queries of a running hub.
struct QueryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "query", abstract: "Queries: over files, and on a running hub (--http URL).",
        subcommands: [
            Check.self, QueryExplainCommand.self, QueryRunCommand.self, QueryTestCommand.self,
            QueryExportCommand.self,
            QueryAddCommand.self, QueryListCommand.self, QueryShowCommand.self, QueryPauseCommand.self,
            QueryResumeCommand.self, QueryEditCommand.self, QueryRemoveCommand.self,
            QueryResultsCommand.self,
        ])

    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check a query: syntax, names of functions, windows, joins.",
            discussion: """
                Reads Azure Stream Analytics SQL and says what is wrong, with the line and a hint. Exit status 0, or 1 \
                when something is wrong.

                Example: headend query check minute.sql --reference devices
                """)

        @Argument(help: "The file with the query; - reads standard input.") var file: String
        @Option(help: "An input that is reference data, which a JOIN needs no time bound for. Repeatable.")
        var reference: [String] = []
        @Flag(help: "JSON diagnostics, for editors.") var json = false

        func run() throws {
            let text = try QueryCommand.text(of: file)
            let errors = QueryPlanner.plan(text: text, name: "query", referenceInputs: reference).errors
            if json {
                Console.line(QueryCheckReport(errors: errors).json)
            } else {
                for error in errors { Console.note(error.render(source: text, name: file)) }
                if errors.isEmpty { Console.line("\(file): no mistake found") }
            }
            if !errors.isEmpty { throw ExitCode(ExitStatus.failed.rawValue) }
        }
    }

    /// The query in a file, or on standard input for `-`.
    static func text(of file: String) throws -> String {
        let data: Data?
        if file == "-" {
            data = try FileHandle.standardInput.readToEnd() ?? Data()
        } else {
            data = FileManager.default.contents(atPath: file)
        }
        guard let data else {
            var isDirectory: ObjCBool = false
            let isThere = FileManager.default.fileExists(atPath: file, isDirectory: &isDirectory)
            let cause =
                isDirectory.boolValue
                ? "is a directory: name a file"
                : isThere ? "cannot be read: check its permissions" : "no such file: check the path"
            throw Failure(status: .environment, message: "\(file): \(cause)")
        }
        guard let text = String(data: data, encoding: .utf8) else {
            throw Failure.input("\(file): not UTF-8 text: save it as UTF-8")
        }
        return text
    }

    /// A query's name is its file's, without folder and ending.
    static func name(of file: String) -> String {
        file == "-" ? "query" : URL(filePath: file).deletingPathExtension().lastPathComponent
    }
}
