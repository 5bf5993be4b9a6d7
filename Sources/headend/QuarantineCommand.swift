import ArgumentParser
import Foundation
import Hub
import Telemetry

extension QuarantineReason: ExpressibleByArgument {
    public init?(argument: String) {
        guard let reason = Self.allCases.first(where: { $0.description == argument }) else { return nil }
        self = reason
    }

    public static var allValueStrings: [String] { allCases.map(\.description) }
}

/// What the hub set aside.
struct QuarantineCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quarantine",
        abstract: "The messages that the hub set aside: list, read, replay after a fix.",
        discussion: "Works on a stopped hub (--data DIR, not for replay) and on a running one (--http URL).",
        subcommands: [List.self, Read.self, Replay.self])

    struct Selection: ParsableArguments {
        @Option(
            help: ArgumentHelp("Only those that wait for this reason.", valueName: "reason"))
        var reason: QuarantineReason?
        @Option(help: "Only those of this device.") var device: String?
        @Option(help: "First sequence in the quarantine.") var from: UInt64 = 1

        func validate() throws {
            if from < 1 { throw ValidationError("--from: sequences begin at 1") }
        }

        /// Calls `each` with the selected messages in order, `limit` at most.
        func forEach(
            _ hub: any RecordSource, limit: Int, withKept: Bool, _ each: ([UInt8]) throws -> Void
        ) async throws {
            var page = QuarantinePage()
            page.reason = reason
            page.device = device
            page.from = from
            page.withKept = withKept
            var left = limit
            while left > 0 {
                page.limit = min(left, 1_000)
                let objects = try await hub.quarantined(page)
                for object in objects { try each(object) }
                guard let last = objects.last, let sequence = QuarantineLine.parts(last)?.sequence else {
                    return
                }
                left -= objects.count
                page.from = sequence + 1
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "One line a message that waits: sequence, arrival, reason, device, topic.",
            discussion: "Example: headend quarantine list --reason not_json --http http://127.0.0.1:8080")

        @OptionGroup var source: SourceOptions
        @OptionGroup var selection: Selection
        @Option(help: "Messages at most.") var limit = 1_000
        @Flag(help: "One JSON object a line.") var json = false

        func run() async throws {
            let hub = try source.open()
            defer { hub.close() }
            var counts: [String: Int] = [:]
            try await selection.forEach(hub, limit: limit, withKept: false) { object in
                Console.line(json ? String(decoding: object, as: UTF8.self) : QuarantineLine.short(object))
                counts[QuarantineLine.parts(object)?.reason ?? "", default: 0] += 1
            }
            let total = counts.values.reduce(0, +)
            let byReason = counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
            let end = total == limit ? ", more may wait: --limit" : ""
            Console.note("\(total) waiting\(total == 0 ? "" : ": " + byReason.joined(separator: ", "))\(end)")
        }
    }

    struct Read: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the messages that wait, with their payloads; a conflict with both bodies.",
            discussion: "Example: headend quarantine read --reason conflict --limit 10 --json")

        @OptionGroup var source: SourceOptions
        @OptionGroup var selection: Selection
        @Option(help: "Messages at most.") var limit = 100
        @Flag(help: "One JSON object a line.") var json = false

        func run() async throws {
            let hub = try source.open(asksForIDs: true)
            defer { hub.close() }
            try await selection.forEach(hub, limit: limit, withKept: true) { object in
                Console.line(json ? String(decoding: object, as: UTF8.self) : QuarantineLine.long(object))
            }
        }
    }

    struct Replay: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Put messages that wait through the hub's current ingest rules again.",
            discussion: """
                Example: headend quarantine replay --reason bad_timestamp --http http://127.0.0.1:8080

                Each is stored once, whatever crashes in between, and leaves the quarantine; what is still bad stays. \
                Its arrival time is the replay's; without a time of its own its event time is the original arrival. A \
                reading whose minute is closed goes to the stream _late, never into a row that was sent.
                """)

        @Option(name: .long, help: ArgumentHelp("The running hub.", valueName: "url"))
        var http = "http://127.0.0.1:8080"
        @OptionGroup var selection: Selection
        @Option(help: "Messages at most; without it all.") var limit: Int?
        @Flag(name: .customLong("dry-run"), help: "Only say what would happen.") var dryRun = false
        @Flag(help: "One JSON object.") var json = false

        private struct Answer: Decodable {
            var examined: Int
            var stored: Int
            var duplicate: Int
            var stillQuarantined: [String: Int]
            var next: UInt64?
        }

        func run() async throws {
            var source = SourceOptions()
            source.data = nil
            source.http = http
            guard let hub = try source.open() as? RunningHub else {
                throw Failure.input("--http: give an address")
            }
            var total = Answer(
                examined: 0, stored: 0, duplicate: 0, stillQuarantined: [:], next: 1)
            total.next = selection.from
            while let next = total.next, limit.map({ total.examined < $0 }) ?? true {
                let size = min(limit.map { $0 - total.examined } ?? 10_000, 10_000)
                let answer = try JSONDecoder().decode(
                    Answer.self,
                    from: try await hub.post("api/v1/quarantine/replay", query(from: next, limit: size)))
                total.examined += answer.examined
                total.stored += answer.stored
                total.duplicate += answer.duplicate
                total.stillQuarantined.merge(answer.stillQuarantined, uniquingKeysWith: +)
                total.next = answer.next
            }
            report(total)
        }

        private func query(from: UInt64, limit: Int) -> [(String, String)] {
            var query = [("from", String(from)), ("limit", String(limit)), ("dryRun", String(dryRun))]
            if let reason = selection.reason { query.append(("reason", reason.description)) }
            if let device = selection.device { query.append(("device", device)) }
            return query
        }

        private func report(_ answer: Answer) {
            let waiting = answer.stillQuarantined.sorted { $0.key < $1.key }
            guard json else {
                let still = waiting.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
                let count = waiting.reduce(0) { $0 + $1.value }
                Console.line(
                    "examined \(answer.examined): \(dryRun ? "would be " : "")stored \(answer.stored), "
                        + "duplicate \(answer.duplicate), still quarantined \(count)"
                        + (still.isEmpty ? "" : " (\(still))"))
                return
            }
            var bytes: [UInt8] = []
            Column.appendJSON(
                [
                    Column("examined", .bigint(Int64(answer.examined))),
                    Column("stored", .bigint(Int64(answer.stored))),
                    Column("duplicate", .bigint(Int64(answer.duplicate))),
                    Column(
                        "stillQuarantined",
                        .record(waiting.map { Column($0.key, .bigint(Int64($0.value))) })),
                    Column("dryRun", .boolean(dryRun)),
                ], to: &bytes)
            Console.line(String(decoding: bytes, as: UTF8.self))
        }
    }
}

/// A quarantined message for a person.
enum QuarantineLine {
    struct Parts: Decodable {
        var device: String
        var sequence: UInt64
        var messageId: String?
        var arrivalTime: String
        var topic: String
        var reason: String?
    }

    static func parts(_ json: [UInt8]) -> Parts? { try? JSONDecoder().decode(Parts.self, from: Data(json)) }

    static func short(_ json: [UInt8]) -> String {
        guard let parts = parts(json) else { return String(decoding: json, as: UTF8.self) }
        let device = parts.device.isEmpty ? "-" : parts.device
        return "\(parts.sequence)  \(parts.arrivalTime)  \(parts.reason ?? "-")  \(device)  \(parts.topic)"
    }

    /// The line and the payload; below a conflict the record that was kept.
    static func long(_ json: [UInt8]) -> String {
        var message = json
        var kept: [UInt8]?
        let isJSON = json.withUnsafeBytes { bytes in
            JSONFieldScanner.forEachTopLevelField(bytes) { name, value in
                guard name.elementsEqual("kept".utf8), case .nested(let raw) = value,
                    let base = bytes.baseAddress,
                    let start = raw.baseAddress
                else { return }
                kept = Array(raw)
                message = Array(json[..<(start - base - #","kept":"#.utf8.count)]) + [0x7D]
            }
        }
        guard isJSON else { return String(decoding: json, as: UTF8.self) }
        let line = RecordLine.text(message, json: false)
        return kept.map { "\(line)\n  kept: \(RecordLine.text($0, json: false))" } ?? line
    }
}
