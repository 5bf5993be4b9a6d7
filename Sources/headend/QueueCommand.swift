import ArgumentParser
import DeviceQueue
import Foundation
import Hub
import Telemetry

/// The device queues.
struct QueueCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "queue", abstract: "Look into the device queues.",
        discussion: "Works on a stopped hub (--data DIR) and on a running one (--http URL).",
        subcommands: [List.self, Read.self, Verify.self, Tail.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "One line a device: name, records, last arrival.",
            discussion: "Example: headend queue list --data headend-data")

        @OptionGroup var source: SourceOptions
        @Flag(help: "One JSON object a line.") var json = false

        func run() async throws {
            let hub = try source.open()
            defer { hub.close() }
            var after = ""
            while true {
                let page = try await hub.devices(after: after, limit: 1_000)
                for device in page {
                    Console.line(
                        json
                            ? device.json()
                            : "\(device.id)  \(device.records)  \(device.lastArrivalTime ?? "-")"
                                + (device.firstSequence > 1
                                    ? "  (\(device.firstSequence - 1) removed by retention)" : ""))
                }
                guard let last = page.last, page.count == 1_000 else { return }
                after = last.id
            }
        }
    }

    struct Read: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the records of one device, in order.",
            discussion: "Example: headend queue read --device pump-01 --from 100 --limit 10 --json")

        @OptionGroup var source: SourceOptions
        @Option(help: "The device; `--quarantine` instead reads what was set aside.") var device: String?
        @Flag(help: "Read the quarantine queue.") var quarantine = false
        @Option(help: "First sequence.") var from: UInt64 = 1
        @Option(help: "Records at most.") var limit = 100
        @Flag(help: "One JSON object a line.") var json = false

        func validate() throws {
            if (device == nil) == !quarantine { throw ValidationError("give --device ID or --quarantine") }
            if limit < 1 { throw ValidationError("--limit must be at least 1") }
            if from < 1 { throw ValidationError("--from: sequences begin at 1") }
        }

        func run() async throws {
            let hub = try source.open()
            defer { hub.close() }
            var next = from
            var left = limit
            while left > 0 {
                let size = min(left, 1_000)
                let page =
                    if let device {
                        try await hub.records(device: device, from: next, limit: size)
                    } else {
                        try await hub.quarantined(from: next, limit: size)
                    }
                for record in page { Console.line(RecordLine.text(record, json: json)) }
                guard let last = page.last else { return }
                left -= page.count
                next = try RunningHub.next(after: last)
            }
        }
    }

    struct Tail: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the last records of one device.",
            discussion: "Example: headend queue tail --device pump-01 --follow --http http://127.0.0.1:8080")

        @OptionGroup var source: SourceOptions
        @Option(help: "The device.") var device: String
        @Option(help: "How many of the last records.") var lines = 10
        @Flag(help: "Go on printing as records arrive (running hub only).") var follow = false
        @Flag(help: "One JSON object a line.") var json = false

        func validate() throws {
            if follow, source.http == nil {
                throw ValidationError("--follow needs a running hub: --http URL")
            }
            if lines < 0 { throw ValidationError("--lines must not be negative") }
        }

        func run() async throws {
            let hub = try source.open()
            defer { hub.close() }
            let last = try await lastSequence(hub)
            var next = last >= UInt64(lines) ? last - UInt64(lines) + 1 : 1
            repeat {
                let page = try await hub.records(device: device, from: next, limit: 1_000)
                for record in page { Console.line(RecordLine.text(record, json: json)) }
                if let last = page.last { next = try RunningHub.next(after: last) }
                if page.isEmpty, follow { try await Task.sleep(for: .milliseconds(300)) }
                if !follow, page.isEmpty { return }
            } while true
        }

        private func lastSequence(_ hub: any RecordSource) async throws -> UInt64 {
            if let running = hub as? RunningHub {
                let data = try await running.get("api/v1/devices/\(device)")
                return try JSONDecoder().decode(DeviceLine.self, from: data).records
            }
            guard let stopped = hub as? StoppedHub else { return 0 }
            guard let summary = stopped.queue.deviceSummary(DeviceID(device)) else {
                throw Failure.input("no device \"\(device)\" has sent anything")
            }
            return summary.lastSequence
        }
    }

    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Read the whole log and check it: checksums, gapless sequences, ids stored once.",
            discussion: "Example: headend queue verify --data headend-data")

        @Option(name: .long, help: ArgumentHelp("The data directory of a stopped hub.", valueName: "dir"))
        var data = "headend-data"

        func run() async throws {
            let hub = try StoppedHub(path: data)
            defer { hub.close() }
            var check = LogCheck()
            do {
                try hub.queue.scan { record, _ in check.take(record) }
            } catch {
                throw Failure(status: .failed, message: String(describing: error))
            }
            Console.line(
                "\(check.records) records of \(check.devices) devices, \(check.quarantined) quarantined: "
                    + "checksums right, \(check.gaps) sequence gaps, \(check.repeats) ids stored twice")
            for example in check.examples { Console.line("  " + example) }
            if check.gaps + check.repeats > 0 { throw ExitCode(ExitStatus.failed.rawValue) }
        }
    }
}

/// One record for a person, or as it is for a program.
enum RecordLine {
    private struct Parts: Decodable {
        var device: String
        var sequence: UInt64
        var messageId: String?
        var arrivalTime: String
        var eventTime: String
        var reason: String?
    }

    static func text(_ json: [UInt8], json asJSON: Bool) -> String {
        let whole = String(decoding: json, as: UTF8.self)
        guard !asJSON, let parts = try? JSONDecoder().decode(Parts.self, from: Data(json)) else {
            return whole
        }
        let payload =
            whole.range(of: #""payload":"#).map { String(whole[$0.upperBound...].dropLast()) }
            ?? whole.range(of: #""payloadBase64":"#).map { "base64 " + whole[$0.upperBound...].dropLast() }
            ?? ""
        let reason = parts.reason.map { " [\($0)]" } ?? ""
        return
            "\(parts.device) \(parts.sequence) \(parts.eventTime) \(parts.messageId ?? "-")\(reason) \(payload)"
    }
}

/// What `queue verify` checks, record by record in log order.
private struct LogCheck {
    var records = 0
    var quarantined = 0
    var gaps = 0
    var repeats = 0
    var examples: [String] = []
    private var lastSequence: [String: UInt64] = [:]
    private var ids: [String: Set<String>] = [:]

    var devices: Int { lastSequence.count }

    mutating func take(_ record: TelemetryRecord) {
        if record.quarantineReason != nil {
            quarantined += 1
            return
        }
        records += 1
        let device = record.device.text
        if let last = lastSequence[device], record.sequence != last + 1 {
            gaps += 1
            note("\(device): sequence \(record.sequence) follows \(last)")
        }
        lastSequence[device] = record.sequence
        guard let id = record.messageID else { return }
        if !ids[device, default: []].insert(id).inserted {
            repeats += 1
            note("\(device): message id \(id) again at sequence \(record.sequence)")
        }
    }

    private mutating func note(_ text: String) {
        if examples.count < 5 { examples.append(text) }
    }
}
