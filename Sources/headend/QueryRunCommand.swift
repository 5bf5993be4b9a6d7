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

            With --checkpoint, the same command goes on where a run was cut off (kill, power, a full disk, an event \
            that fails), and the outputs are in the end as if it never had been. A run that ends well takes the file \
            away. It is refused, and nothing is written, when the query, a setting, a file before its place or an \
            output is not what it was; lines that were appended to an input since are taken.

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
    @Option(
        help: ArgumentHelp(
            "Save there how far the run has come, and go on from there if it was cut off.",
            valueName: "file"))
    var checkpoint: String?
    @Option(
        name: .customLong("checkpoint-every"),
        help: ArgumentHelp(
            "The least time between checkpoints; large ones are further apart. (default: 1s)",
            valueName: "duration"))
    var checkpointEvery: DurationArgument?
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
        let checkpointing = try checkpointOptions()
        do throws(ReplayError) {
            let plan = try replay.plan(title: file)
            let summary = try replay.run(
                plan, title: file, to: output.map { QueryReplay.NamedFile(argument: $0) }, withIDs: ids,
                checkpoint: checkpointing,
                standardOutput: { Console.raw(String(decoding: $0, as: UTF8.self)) },
                resumed: { events in
                    let done = Counted.text(events, "event")
                    if !quiet { Console.note("note: goes on from \(checkpoint ?? ""), \(done) done") }
                })
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

    private func checkpointOptions() throws -> CheckpointOptions? {
        guard let checkpoint else {
            if checkpointEvery != nil {
                throw Failure.input("--checkpoint-every goes with --checkpoint FILE")
            }
            return nil
        }
        if checkpoint.isEmpty { throw Failure.input("--checkpoint: name a file") }
        return CheckpointOptions(
            path: checkpoint, everyNanoseconds: checkpointEvery?.nanoseconds ?? 1_000_000_000,
            clock: SystemClock())
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
