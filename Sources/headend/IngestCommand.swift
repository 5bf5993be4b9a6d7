import ArgumentParser
import Hub
import Telemetry

/// The ingest rules.
struct IngestCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ingest", abstract: "Which topics are telemetry, and what the hub reads out of them.",
        subcommands: [Rules.self, Test.self])

    struct Rules: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the ingest rules in the order in which they are tried.",
            discussion: "Example: headend ingest rules --config hub.yaml")

        @OptionGroup var file: IngestFile

        func run() async throws {
            let configuration = try file.read()
            for rule in configuration.ingest {
                Console.line("\(rule.topic)  (\(rule.name))")
                Console.line("  device  \(rule.device.text)")
                Console.line("  id      \(Self.text(rule.ids, none: "none"))")
                Console.line("  time    \(Self.text(rule.times, none: "arrival"))")
            }
            Console.line("registration \(configuration.registration.rawValue)")
            for note in configuration.notes { Console.note(note) }
        }

        private static func text(_ places: [IngestRule.Place], none: String) -> String {
            (places.map(\.description) + [none]).joined(separator: ", else ")
        }
    }

    struct Test: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show which rule takes a message, and what it reads out of it.",
            discussion: """
                Example: headend ingest test --config hub.yaml --topic plant/a/p1/telemetry --payload '{"id":7}'

                Exit status 1 when no rule takes the topic or the message would be quarantined.
                """)

        @OptionGroup var file: IngestFile
        @Option(help: "The topic it is published to.") var topic: String
        @Option(help: "The payload.") var payload = "{}"
        @Option(name: .customLong("property"), help: "An MQTT 5 user property, NAME=VALUE (repeatable).")
        var properties: [String] = []
        @Option(name: .customLong("client-id"), help: "The publisher's client identifier.")
        var client = "client"
        @Flag(help: "One JSON object.") var json = false

        func validate() throws {
            for property in properties where !property.contains("=") {
                throw ValidationError("--property \(property): is NAME=VALUE")
            }
            guard !topic.isEmpty, !topic.contains("+"), !topic.contains("#") else {
                throw ValidationError("--topic: is a topic name, without wildcards")
            }
        }

        func run() async throws {
            let pairs = properties.map { property in
                let parts = property.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                return (name: String(parts[0]), value: String(parts[1]))
            }
            let probe = IngestProbe(
                try file.read(), topic: topic, payload: Array(payload.utf8), properties: pairs, client: client
            )
            Console.line(json ? probe.json : probe.text)
            if probe.rule == nil || probe.reason != nil { throw ExitCode(ExitStatus.failed.rawValue) }
        }
    }
}

/// The configuration file whose rules are meant.
struct IngestFile: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp("The hub's YAML file; without it the default rules.", valueName: "file"))
    var config: String?

    func read() throws -> HubConfiguration { try HubOptions.read(config) }
}

extension IngestRule.Device {
    fileprivate var text: String {
        switch self {
        case .template(let template): template.description
        case .field(let place): place.description
        }
    }
}

extension IngestProbe {
    fileprivate var text: String {
        guard let rule else { return "no rule takes this topic: it is ordinary broker traffic" }
        var lines = [
            "rule    \(rule.topic)  (\(rule.name))",
            "device  \(device.map { "\($0)  from \(rule.device.text)" } ?? "none that is allowed")",
        ]
        let id =
            messageID.map { "\($0)  from \(messageIDPlace?.description ?? "")" }
            ?? (reason == .badMessageID
                ? "none that is usable: text or a whole number, 128 bytes at most" : nil)
        lines.append("id      \(id ?? "none: stored as often as it is sent")")
        let time = eventTime.map { "\($0)  from \(eventTimePlace?.description ?? "")" }
        let noTime = eventTimePlace.map { "none in \($0): ISO 8601 or an epoch number" }
        lines.append("time    \(time ?? noTime ?? "arrival")")
        lines.append("result  \(reason.map { "quarantined: \($0)" } ?? "stored")")
        return lines.joined(separator: "\n")
    }

    fileprivate var json: String {
        func text(_ value: String?) -> Value { value.map { .text($0) } ?? .null }
        var bytes: [UInt8] = []
        Column.appendJSON(
            [
                Column("rule", text(rule?.topic.description)), Column("ruleAt", text(rule?.name)),
                Column("device", text(device)), Column("messageId", text(messageID)),
                Column("messageIdFrom", text(messageIDPlace?.description)),
                Column("eventTime", eventTime.map { .time($0) } ?? .null),
                Column("eventTimeFrom", text(eventTimePlace?.description)),
                Column("reason", text(reason?.description)),
            ], to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}
