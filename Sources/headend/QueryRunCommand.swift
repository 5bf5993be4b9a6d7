import ArgumentParser
import PerpetualQuery
import Platform
import QueryReplay
import ReferenceFiles
import Telemetry

/// A query over files.
struct QueryRunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Run a query over files of events.",
        discussion: """
            Inputs are JSON lines, a JSON array, or CSV with a header line (by the name's end). Windows that are open \
            at the end of the input are closed. Without --arrival, events arrive at the time that TIMESTAMP BY gives \
            them. Exit status 0; 1 when a row cannot be computed, with the event shown.

            Example: headend query run minute.sql --input events.jsonl --out-of-order 30s --output -
            """)

    @Argument(help: "The file with the query; - reads standard input.") var file: String
    @Option(help: ArgumentHelp("The events of an input. Repeatable.", valueName: "[name=]file"))
    var input: [String] = []
    @Option(
        help: ArgumentHelp(
            "Reference data to join with: CSV, JSON, or SQLite (name=file.db#table). Repeatable.",
            valueName: "name=file"))
    var reference: [String] = []
    @Option(
        help: ArgumentHelp("Where rows go; - is standard output. Repeatable.", valueName: "[name=]file"))
    var output: [String] = []
    @Option(
        help: ArgumentHelp(
            "Fields that name an event, comma-separated: the first of a name counts.",
            valueName: "field,field"))
    var dedup: String?
    @Option(
        name: .customLong("dedup-for"),
        help: ArgumentHelp(
            "How long --dedup remembers a name at least, in event time; by default for ever.",
            valueName: "duration"))
    var dedupFor: DurationArgument?
    @Option(help: ArgumentHelp("The field with the time of arrival.", valueName: "field")) var arrival:
        String?
    @OptionGroup var time: QueryTimeOptions
    @Flag(help: "End each row with its _rid.") var ids = false
    @Flag(help: "No summary on standard error.") var quiet = false

    func run() throws {
        let files = PosixFileStore()
        var replay = QueryReplay(
            text: try QueryCommand.text(of: file), name: QueryCommand.name(of: file), files: files)
        replay.inputs = input.map { QueryReplay.NamedFile(argument: $0) }
        replay.references = try ReferenceArgument.sources(reference)
        replay.settings = try time.settings()
        if let dedupFor {
            guard dedup != nil else { throw Failure.input("--dedup-for goes with --dedup FIELD,FIELD") }
            replay.settings.deduplicationHorizonTicks = Int64(dedupFor.nanoseconds / 100)
        }
        replay.deduplication = dedup?.split(separator: ",").map(String.init) ?? []
        replay.arrivalField = arrival
        do throws(ReplayError) {
            let plan = try replay.plan(title: file)
            let outputs = try Outputs(output, plan, withIDs: ids, files)
            defer { try? outputs.flush() }
            let summary = try replay.run(plan, title: file) { (rows) throws(ReplayError) in
                try outputs.write(rows)
            }
            try outputs.flush()
            if !quiet {
                for note in replay.notes(plan) { Console.note("note: \(note)") }
                if summary.counters.withoutTime > 0 {
                    let events = Counted.text(summary.counters.withoutTime, "event")
                    Console.note(
                        "note: TIMESTAMP BY gives no time of the years 1 to 9998 for \(events): in no result")
                }
                Console.note(Self.text(summary.counters))
            }
        } catch {
            throw Failure(error)
        }
    }

    private static func text(_ counters: StreamCounters) -> String {
        var parts = [Counted.text(counters.events, "event"), Counted.text(counters.rows, "row")]
        let others: [(UInt64, String, String)] = [
            (counters.duplicates, "duplicate", "duplicates"), (counters.late, "late", "late"),
            (counters.outOfOrder, "out of order", "out of order"), (counters.early, "early", "early"),
            (counters.withoutTime, "without time", "without time"),
            (counters.mistyped, "of another type than declared", "of another type than declared"),
            (counters.errors, "row in error", "rows in error"),
        ]
        for (count, one, many) in others where count > 0 { parts.append(Counted.text(count, one, many)) }
        return parts.joined(separator: ", ")
    }
}

extension Failure {
    init(_ error: ReplayError) {
        let status: ExitStatus =
            switch error.kind {
            case .input: .usage
            case .failed: .failed
            case .environment: .environment
            }
        self.init(status: status, message: error.message)
    }
}

/// The files that the rows of a query go to.
final class Outputs {
    /// By the plan's output, then `_late` and `_errors`.
    private var byName: [String: RowOutput] = [:]
    /// The same, by the plan's number of the output.
    private var byNumber: [RowOutput?] = []
    private var all: [RowOutput] = []

    init(_ arguments: [String], _ plan: StreamPlan, withIDs: Bool, _ files: any FileStore) throws(ReplayError)
    {
        let known = plan.outputs + [StreamPlan.lateOutput, StreamPlan.errorOutput]
        let targets = arguments.isEmpty ? ["-"] : arguments
        for named in targets.map({ QueryReplay.NamedFile(argument: $0) }) {
            let target: RowOutput.Target =
                named.path == "-"
                ? .stream { (bytes) throws(ReplayError) in Console.raw(String(decoding: bytes, as: UTF8.self))
                }
                : .file(named.path)
            let output = try RowOutput(target, withIDs: withIDs, files: files)
            all.append(output)
            if let name = named.name {
                guard let found = known.first(where: { $0.lowercased() == name.lowercased() }) else {
                    let hint = Suggestion.nearest(to: name, in: known).map { "; did you mean \($0)?" } ?? ""
                    throw ReplayError(
                        .input,
                        "the query has no output \(name): it has \(plan.outputs.joined(separator: ", "))\(hint)"
                    )
                }
                byName[found] = output
            } else if plan.outputs.count == 1 || targets.count == 1 && named.path == "-" {
                for name in plan.outputs { byName[name] = output }
            } else {
                throw ReplayError(
                    .input,
                    "--output \(named.path): the query has the outputs \(plan.outputs.joined(separator: ", ")); "
                        + "write --output NAME=\(named.path)")
            }
        }
        byNumber = plan.outputs.map { byName[$0] }
    }

    func write(_ rows: RowBuffer) throws(ReplayError) {
        for row in 0..<rows.count { try byNumber[rows.output(of: row)]?.append(row, of: rows) }
        for row in rows.systemRows { try byName[row.output]?.append(row) }
    }

    func flush() throws(ReplayError) {
        for output in all { try output.flush() }
    }
}
