import ArgumentParser
import Foundation

/// Consumer groups.
struct GroupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "group", abstract: "Consumer groups: durable places in the log that consumers share.",
        discussion: "Works on a running hub (--http URL). `headend consume` reads as a member of a group.",
        subcommands: [List.self, Create.self, Show.self, Seek.self, Delete.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "One line a group: name, devices, lag, members.",
            discussion: "Example: headend group list")

        @OptionGroup var hub: GroupHubOptions
        @Flag(help: "One JSON object a line.") var json = false

        func run() async throws {
            let data = try await hub.client().list()
            if json {
                for group in RunningHub.elements(data) { Console.line(group) }
                return
            }
            for group in try JSONDecoder().decode([GroupClient.Group].self, from: data) {
                Console.line(GroupText.line(group))
            }
        }
    }

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a group; one that is there and the same is left as it is.",
            discussion:
                "Example: headend group create billing --devices 'meter-*' --from earliest --must-not-miss")

        @OptionGroup var hub: GroupHubOptions
        @Argument(help: "The group.") var name: String
        @Option(help: "Its devices: a,b or a pattern with * and ?. (default: all)") var devices: String?
        @Option(
            help: "earliest, latest, an ISO 8601 time, or a sequence of the only device. (default: earliest)")
        var from: String?
        @Flag(help: "Retention waits for the group.") var mustNotMiss = false
        @Flag(help: "JSON.") var json = false

        func run() async throws {
            try GroupText.show(
                try await hub.client().create(name, devices: devices, from: from, mustNotMiss: mustNotMiss),
                json: json)
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "A group: its place, its lag, its members.",
            discussion: "Example: headend group show billing")

        @OptionGroup var hub: GroupHubOptions
        @Argument(help: "The group.") var name: String
        @Flag(help: "JSON.") var json = false

        func run() async throws { try GroupText.show(try await hub.client().show(name), json: json) }
    }

    struct Seek: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Move a group to another place; what is delivered and not committed is void.",
            discussion: "Example: headend group seek billing --to 2026-11-23T00:00:00Z")

        @OptionGroup var hub: GroupHubOptions
        @Argument(help: "The group.") var name: String
        @Option(help: "earliest, latest, an ISO 8601 time, or a sequence of the only device.") var to: String
        @Flag(help: "JSON.") var json = false

        func run() async throws { try GroupText.show(try await hub.client().seek(name, to: to), json: json) }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Remove a group and its place; the records stay.",
            discussion: "Example: headend group delete billing")

        @OptionGroup var hub: GroupHubOptions
        @Argument(help: "The group.") var name: String

        func run() async throws { try await hub.client().delete(name) }
    }
}

/// Groups for people.
private enum GroupText {
    static func line(_ group: GroupClient.Group) -> String {
        if group.devices == nil { return "\(group.name)  cannot be used: \(group.failure ?? "")" }
        return "\(group.name)  \(group.devices?.description ?? "")  lag \(lag(group))  "
            + "members \(group.members?.count ?? 0)"
    }

    private static func lag(_ group: GroupClient.Group) -> String {
        let records = group.lagRecords ?? 0
        let seconds = group.lagSeconds.map { String(format: "%.1f s", $0) } ?? "unknown time"
        return records == 0 ? "0" : "\(records) records, \(seconds)"
    }

    static func show(_ data: Data, json: Bool) throws {
        if json {
            Console.raw(String(decoding: data, as: UTF8.self))
            return
        }
        let group = try JSONDecoder().decode(GroupClient.Group.self, from: data)
        Console.line("group         \(group.name)")
        if let devices = group.devices {
            Console.line("devices       \(devices)")
            Console.line("began at      \(group.from ?? "")")
            Console.line("must not miss \(group.mustNotMiss == true ? "yes: retention waits for it" : "no")")
            Console.line("lag           \(lag(group))")
            Console.line("in flight     \(group.inFlight ?? 0)")
            Console.line("missed        \(group.missed ?? 0)")
            Console.line("last commit   \(group.lastCommit ?? "-")")
        }
        for member in group.members ?? [] {
            let lease = String(format: "%.0f", member.leaseSeconds)
            Console.line("member        \(member.member): \(member.inFlight) in flight, lease \(lease) s")
        }
        if let failure = group.failure { Console.line("failure       \(failure)") }
    }
}

extension RunningHub {
    /// The elements of a JSON array of objects, each as the text that it is.
    static func elements(_ data: Data) -> [String] {
        var texts: [String] = []
        var depth = 0
        var start = 0
        var isInText = false
        var isEscaped = false
        let bytes = Array(data)
        for (at, byte) in bytes.enumerated() {
            if isInText {
                if isEscaped {
                    isEscaped = false
                } else if byte == 0x5C {
                    isEscaped = true
                } else if byte == 0x22 {
                    isInText = false
                }
                continue
            }
            switch byte {
            case 0x22: isInText = true
            case 0x7B:
                if depth == 0 { start = at }
                depth += 1
            case 0x7D:
                depth -= 1
                if depth == 0 { texts.append(String(decoding: bytes[start...at], as: UTF8.self)) }
            default: break
            }
        }
        return texts
    }
}
