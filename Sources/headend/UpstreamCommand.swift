import ArgumentParser
import Hub

/// The brokers that the hub is bridged to.
struct UpstreamCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "upstream",
        abstract: "Existing brokers that the hub takes messages from and mirrors topics with.",
        subcommands: [Test.self])

    struct Test: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Try to connect and subscribe as the configuration says, and tell what is wrong.",
            discussion: """
                Example: headend upstream test --config hub.yaml --name plant

                Uses a client identifier of its own, so that a running hub is not disturbed, and changes nothing at \
                the other broker. Exit status 1 when something is refused.
                """)

        @Option(name: .long, help: ArgumentHelp("The hub's YAML file.", valueName: "file")) var config: String
        @Option(help: "Only this one of its brokers.") var name: String?

        func run() async throws {
            let all = try HubOptions.read(config).upstreams
            guard !all.isEmpty else { throw Failure.input("\(config): has no upstream:") }
            let chosen = all.filter { name == nil || $0.name == name }
            guard !chosen.isEmpty else {
                let known = all.map(\.name).joined(separator: ", ")
                throw Failure.input(
                    "--name \(name ?? ""): \(config) has no such upstream; there are: \(known)")
            }
            var isGood = true
            for upstream in chosen {
                let steps: [UpstreamProbe.Step]
                do { steps = try UpstreamProbe.run(upstream) } catch { throw Failure.environment(error) }
                for step in steps {
                    Console.line("\(upstream.name)  \(step.isGood ? "ok    " : "failed")  \(step.text)")
                    isGood = isGood && step.isGood
                }
            }
            if !isGood { throw ExitCode(ExitStatus.failed.rawValue) }
        }
    }
}
