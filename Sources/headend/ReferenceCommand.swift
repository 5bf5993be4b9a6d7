import ArgumentParser
import Foundation
import Telemetry

/// The reference data of a running hub.
struct ReferenceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reference", abstract: "Reference data that the queries of a running hub join with.",
        subcommands: [List.self, Reload.self])

    /// A reference as status shows it.
    struct Reference: Decodable {
        var name: String
        var file: String
        var rows: Int
        var bytes: Int
        var version: String?
        var loadedAt: String?
        var failure: String?

        var line: String {
            "\(name): \(Counted.text(rows, "row")), \(Counted.text(bytes, "byte")) of \(file), "
                + "in force since \(loadedAt ?? "never")"
                + ", version \(version?.prefix(12) ?? "none")"
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "One line a reference: rows, file, since when they are in force, what is wrong.",
            discussion: "Example: headend reference list")

        @OptionGroup var hub: GroupHubOptions
        @Flag(help: "One JSON object a line.") var json = false

        func run() async throws {
            let data = try await hub.references().list()
            if json {
                for reference in RunningHub.elements(data) { Console.line(reference) }
                return
            }
            for reference in try JSONDecoder().decode([Reference].self, from: data) {
                Console.line(reference.line)
                if let failure = reference.failure {
                    Console.line("  not in force: \(failure)")
                }
            }
        }
    }

    struct Reload: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Read the file of a reference now.",
            discussion: """
                Exit status 0 when its rows are in force; 2 when the file is of no use: the rows as they were stay.

                Example: headend reference reload sites
                """)

        @OptionGroup var hub: GroupHubOptions
        @Argument(help: "The reference.") var name: String

        func run() async throws {
            let data = try await hub.references().post(name, "reload")
            Console.line(try JSONDecoder().decode(Reference.self, from: data).line)
        }
    }
}

extension GroupHubOptions {
    fileprivate func references() throws -> QueryClient {
        QueryClient(base: try client().base, resource: "references")
    }
}
