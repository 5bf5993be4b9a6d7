import ArgumentParser
import Fleet
import Glibc
import Hub
import MosquittoClient
import ReferenceFiles

/// `90s`, `3m`, `1h`, `500ms`: a duration with its unit.
struct DurationArgument: ExpressibleByArgument, Sendable {
    var nanoseconds: UInt64

    init?(argument: String) {
        let units: [(String, Double)] = [("ms", 1e6), ("s", 1e9), ("m", 6e10), ("h", 3.6e12), ("d", 8.64e13)]
        for (suffix, scale) in units where argument.hasSuffix(suffix) {
            guard let number = Double(argument.dropLast(suffix.count)), number > 0, number * scale < 9e18
            else { continue }
            nanoseconds = UInt64(number * scale)
            return
        }
        return nil
    }

    var seconds: Double { Double(nanoseconds) / 1e9 }
}

extension HostPort: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

/// An MQTT broker's address on the command line.
struct BrokerArgument: ExpressibleByArgument, Sendable {
    var url: MosquittoURL

    init?(argument: String) {
        guard let url = try? MosquittoURL(argument) else { return nil }
        self.url = url
        // Everybody on the machine reads a command line; the environment only its owner.
        if url.user != nil, url.password == nil, let password = getenv("HEADEND_PASSWORD") {
            self.url.password = String(cString: password)
        }
    }

    var defaultValueDescription: String { url.description }
}

/// What `serve` and `run` have in common.
struct HubOptions: ParsableArguments {
    @Option(name: .long, help: ArgumentHelp("Queues, checkpoints and results live there.", valueName: "dir"))
    var data: String?

    @Option(name: .long, help: "MQTT listener, HOST:PORT; port 0 is any free port. (default: 127.0.0.1:1883)")
    var mqtt: HostPort?

    @OptionGroup(title: "Listeners") var doors: ListenerOptions

    @Option(name: .long, help: "HTTP listener, HOST:PORT. (default: 127.0.0.1:8080)")
    var http: HostPort?

    @Option(
        name: .long,
        help: "Forward result rows to another broker: mqtt://[user:pass@]host[:port][/prefix].")
    var downstream: BrokerArgument?

    @Option(
        name: .customLong("downstream-ca"),
        help: ArgumentHelp(
            "PEM file with the authorities to trust at an mqtts:// downstream. (default: the system's)",
            valueName: "file"))
    var downstreamCA: String?

    @Option(
        name: .long, help: ArgumentHelp("A YAML file with the same settings; options win.", valueName: "file")
    )
    var config: String?

    @Option(
        name: .long,
        help: ArgumentHelp("Users and their passwords, made by `headend user add`.", valueName: "file"))
    var users: String?

    @Flag(
        name: .long,
        help:
            "Let clients in without a user, on every listener; by default on loopback only, while there are no users."
    )
    var anonymous = false

    @Option(
        name: .long,
        help: ArgumentHelp(
            "A query beside the default one; its name is the file's. Repeatable.", valueName: "file"))
    var query: [String] = []

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Reference data that queries join with: CSV, JSON, or SQLite (name=file.db#table). Repeatable.",
            valueName: "name=file"))
    var reference: [String] = []

    @Flag(
        name: .customLong("no-minute-query"),
        help: "Do without the default query: no rows a minute, and nothing for verify to add up.")
    var isWithoutMinuteQuery = false

    func configuration() throws -> HubConfiguration {
        let references = try ReferenceArgument.sources(reference)
        var configuration = try Self.read(config, references: references.map(\.name))
        for source in references {
            // Options win.
            configuration.references.removeAll { $0.name.lowercased() == source.name.lowercased() }
            configuration.references.append(source)
        }
        if let users { configuration.access.users = try UserOptions.read(users) }
        if anonymous { configuration.access.anonymous = true }
        if let data { configuration.dataDirectory = data }
        if let mqtt { configuration.mqtt = mqtt }
        try doors.apply(to: &configuration)
        if let http { configuration.http = http }
        if let downstream {
            // Where the option names another address, the file's authorities stay.
            let authority = configuration.downstream?.authorityFile
            configuration.downstream = downstream.url
            if downstream.url.isSecure { configuration.downstream?.authorityFile = authority }
        }
        if let downstreamCA {
            guard configuration.downstream?.isSecure == true else {
                throw Failure.input("--downstream-ca needs --downstream mqtts://HOST:PORT")
            }
            configuration.downstream?.authorityFile = downstreamCA
        }
        if isWithoutMinuteQuery { configuration.runsMinuteQuery = false }
        for file in query {
            configuration.queries.append(
                QueryDefinition(name: QueryCommand.name(of: file), text: try QueryCommand.text(of: file)))
        }
        return configuration
    }

    /// The configuration of a file; the default one without a file.
    static func read(_ config: String?, references: [String] = []) throws -> HubConfiguration {
        guard let config else { return HubConfiguration() }
        do {
            return try HubConfigurationFile.read(config, references: references)
        } catch let problems as HubConfigurationFile.Problems {
            throw Failure.input(problems.description)
        } catch {
            throw Failure.environment(error)
        }
    }
}
