import ArgumentParser

/// The devices a hub knows.
struct DeviceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "device", abstract: "The devices a hub knows.", subcommands: [List.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "One line a device.",
            discussion: "Example: headend device list --http http://127.0.0.1:8080")

        @OptionGroup var source: SourceOptions
        @Flag(help: "One JSON object a line.") var json = false

        func run() async throws {
            var list = QueueCommand.List()
            list.source = source
            list.json = json
            try await list.run()
        }
    }
}
