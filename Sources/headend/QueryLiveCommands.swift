import ArgumentParser
import Foundation
import Telemetry

/// What a query is given beside its text, on the command line.
struct QuerySettingOptions: ParsableArguments {
    @Option(help: ArgumentHelp("How late an event may arrive: 5s, or unlimited.", valueName: "duration"))
    var late: String?
    @Option(
        name: .customLong("out-of-order"),
        help: ArgumentHelp("How far events may be out of order: 0, 30s.", valueName: "duration"))
    var outOfOrder: String?
    @Option(help: ArgumentHelp("How far an event may be ahead of its arrival: 5m.", valueName: "duration"))
    var early: String?
    @Option(help: "adjust, drop or divert what is later, or more out of order.") var policy: String?
    @Option(
        name: .customLong("watermark-over"),
        help: ArgumentHelp(
            "Time waits for the device that is furthest behind: which fields name a device.",
            valueName: "fields"))
    var watermarkOver: String?
    @Option(
        name: .customLong("idle-after"),
        help: ArgumentHelp(
            "With --watermark-over, how long a device may be silent until it is not waited for. (default: 1m)",
            valueName: "duration"))
    var idleAfter: String?
    @Option(name: .customLong("start-at"), help: "now, earliest or an ISO 8601 time. (default: now)")
    var startAt: String?
    @Option(
        name: .customLong("on-error"),
        help: "Rows that cannot be computed: divert (to _errors), drop, stop or retry. (default: divert)")
    var onError: String?
    @Option(
        help: ArgumentHelp(
            "Where rows are published: OUTPUT=alerts/{device}; OUTPUT= for nowhere. Repeatable.",
            valueName: "output=template"))
    var topic: [String] = []

    @Option(
        help: ArgumentHelp(
            "Whether its last row stays on each topic: OUTPUT=true. (default: for topics with {…})",
            valueName: "output=bool"))
    var retain: [String] = []
    @Option(
        name: .customLong("file"),
        help: ArgumentHelp(
            "Whether rows go to files: OUTPUT=false. (default: true)", valueName: "output=bool"))
    var file: [String] = []
    @Option(
        help: ArgumentHelp(
            "Whether rows are forwarded to the hub's downstream too: OUTPUT=true. (default: false)",
            valueName: "output=bool"))
    var downstream: [String] = []

    var settings: [(String, String)] {
        let named = [
            ("late", late), ("outOfOrder", outOfOrder), ("early", early), ("action", policy),
            ("watermarkOver", watermarkOver), ("idleAfter", idleAfter), ("startAt", startAt),
            ("onError", onError),
        ]
        return named.compactMap { name, value in value.map { (name, $0) } } + topic.map { ("topic", $0) }
            + retain.map { ("retain", $0) } + file.map { ("file", $0) }
            + downstream.map { ("downstream", $0) }
    }
}

extension GroupHubOptions {
    func queries() throws -> QueryClient { QueryClient(base: try client().base) }
}

struct QueryAddCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Add a query to a running hub.",
        discussion: "Example: headend query add hot.sql --http http://127.0.0.1:8080 --late 30s")

    @OptionGroup var hub: GroupHubOptions
    @Argument(help: "The file with the query; - reads standard input.") var file: String
    @Option(help: "The query's name. (default: the file's)") var name: String?
    @OptionGroup var options: QuerySettingOptions

    func run() async throws {
        let text = try QueryCommand.text(of: file)
        let name = name ?? QueryCommand.name(of: file)
        let client = try hub.queries()
        if try await client.find(name) {
            throw Failure(
                status: .failed, message: "there is a query \(name): headend query edit \(name) \(file)")
        }
        Console.line("\(name): \(try await client.put(name, text, options.settings).effect)")
    }
}

struct QueryEditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "edit", abstract: "Give a running query another text or other settings.",
        discussion: """
            Keeps the query's state when its meaning does not change; else it says what would happen, and does it \
            only with --reset-state. Settings that are not given have their defaults.

            Example: headend query edit hot hot.sql --check
            """)

    @OptionGroup var hub: GroupHubOptions
    @Argument(help: "The query.") var name: String
    @Argument(help: "The file with the text; - reads standard input.") var file: String
    @OptionGroup var options: QuerySettingOptions
    @Flag(name: .customLong("reset-state"), help: "Begin anew when the state cannot be kept.") var reset =
        false
    @Flag(help: "Only say what would happen.") var check = false

    func run() async throws {
        let text = try QueryCommand.text(of: file)
        let client = try hub.queries()
        guard try await client.find(name) else {
            throw Failure(status: .usage, message: "no query \(name): headend query list")
        }
        let settings = options.settings + (reset ? [("reset", "true")] : [])
        let effect =
            check
            ? try await client.check(name, text, settings) : try await client.put(name, text, settings)
        Console.line("\(name): \(effect.effect)")
    }
}

struct QueryListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "One line a query of a running hub: name, state, delay, backlog, rows.",
        discussion: "Example: headend query list")

    @OptionGroup var hub: GroupHubOptions
    @Flag(help: "One JSON object a line.") var json = false

    func run() async throws {
        let data = try await hub.queries().list()
        if json {
            for query in RunningHub.elements(data) { Console.line(query) }
            return
        }
        for query in try JSONDecoder().decode([QueryClient.Query].self, from: data) {
            let delay = query.watermarkDelaySeconds.map { ", delay \($0.rounded()) s" } ?? ""
            Console.line(
                "\(query.name): \(query.state)\(delay), \(Counted.text(query.backlogBytes, "byte")) to read, "
                    + "\(Counted.text(query.counters.events, "event")), "
                    + "\(Counted.text(query.counters.rowsEmitted, "row")), "
                    + "\(query.counters.openWindows) open, \(Counted.text(query.counters.errors, "error"))")
        }
    }
}

struct QueryShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "A query: what it does, where it is, and why there is no output.",
        discussion: "Example: headend query show hot")

    @OptionGroup var hub: GroupHubOptions
    @Argument(help: "The query.") var name: String
    @Flag(help: "JSON.") var json = false

    func run() async throws {
        let data = try await hub.queries().show(name)
        if json {
            Console.line(String(decoding: data, as: UTF8.self).trimmingCharacters(in: .newlines))
            return
        }
        let query = try JSONDecoder().decode(QueryClient.Query.self, from: data)
        let settings = query.definition
        Console.line("\(query.name), version \(settings.version): \(query.state)")
        Console.line("  \(query.why)")
        Console.line(
            "  watermark \(query.watermark ?? "none yet"), \(Counted.text(query.backlogBytes, "byte")) to read, "
                + "state \(Counted.text(query.stateBytes, "byte"))")
        let counters = query.counters
        Console.line(
            "  \(Counted.text(counters.events, "event")): \(counters.late) late, \(counters.early) early, "
                + "\(counters.outOfOrder) out of order; \(Counted.text(counters.openWindows, "group")) open, "
                + "\(Counted.text(counters.waitingRows + counters.joinedRows, "row waits", "rows wait")), "
                + "\(Counted.text(counters.rowsEmitted, "row")), \(Counted.text(counters.errors, "error"))"
        )
        let over =
            settings.watermarkOver.map {
                ", waits for the last \($0), idle after \(settings.idleAfter ?? "")"
            } ?? ""
        Console.line(
            "  late \(settings.late), out of order \(settings.outOfOrder), early \(settings.early), "
                + "\(settings.action)\(over); errors: \(settings.onError); started at \(settings.startAt)")
        if settings.overridden != nil {
            Console.line("  edited while the hub ran: its configuration says otherwise")
        }
        for sink in query.sinks {
            Console.line(
                "  \(sink.name): \(sink.delivered) of \(Counted.text(sink.offered, "row")) delivered, "
                    + Counted.text(sink.outbox, "waits", "wait")
                    + (sink.failure.map { "; \($0)" } ?? ""))
        }
        for error in query.recentErrors { Console.line("  error: \(error)") }
        if let dropped = query.lastDropped { Console.line("  last left out: \(dropped)") }
        for line in settings.sql.split(separator: "\n") { Console.line("    \(line)") }
    }
}

struct QueryPauseCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pause", abstract: "Stop a query where it is; retention waits for it.",
        discussion: "Example: headend query pause hot")

    @OptionGroup var hub: GroupHubOptions
    @Argument(help: "The query.") var name: String

    func run() async throws {
        try await hub.queries().post(name, "pause")
        Console.line("\(name): paused")
    }
}

struct QueryResumeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume", abstract: "Let a query go on where it stopped.",
        discussion: "Example: headend query resume hot")

    @OptionGroup var hub: GroupHubOptions
    @Argument(help: "The query.") var name: String

    func run() async throws {
        try await hub.queries().post(name, "resume")
        Console.line("\(name): resumed")
    }
}

struct QueryRemoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Take a query out; its results stay, its state is set aside.",
        discussion: "Example: headend query remove hot")

    @OptionGroup var hub: GroupHubOptions
    @Argument(help: "The query.") var name: String

    func run() async throws {
        try await hub.queries().delete(name)
        Console.line("\(name): removed")
    }
}

struct QueryResultsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "results", abstract: "The rows of a query so far, one JSON object a line.",
        discussion: """
            Reads what is in the query's files, whether it runs, is paused or has failed. Standard error says with \
            what --since the next rows are read.

            Example: headend query results hot --newest --limit 10
            """)

    @OptionGroup var hub: GroupHubOptions
    @Argument(help: "The query.") var name: String
    @Option(help: "Which output, when it has several; also _late and _errors.") var output: String?
    @Option(
        help: ArgumentHelp(
            "Rows behind this: an ISO 8601 time of windows, a _rid, or what the last call said.",
            valueName: "place"))
    var since: String?
    @Option(help: "How many rows.") var limit = 1_000
    @Flag(help: "The newest first.") var newest = false

    func run() async throws {
        var query = [("limit", String(limit)), ("order", newest ? "newest" : "oldest")]
        if let output { query.append(("output", output)) }
        if let since { query.append(("since", since)) }
        let page = try await hub.queries().results(name, query)
        for row in RunningHub.elements(page.rows) { Console.line(row) }
        if let next = page.next { Console.note("next: --since \(next)") }
    }
}
