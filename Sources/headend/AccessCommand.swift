import Access
import ArgumentParser
import Hub

/// The access rules.
struct AccessCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "acl", abstract: "Which client may do what, and which rule says so.",
        subcommands: [Test.self, Rules.self])

    struct Rules: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the access rules in the order in which they are tried, the hub's own last.",
            discussion: "Example: headend acl rules --config hub.yaml")

        @OptionGroup var file: IngestFile

        func run() async throws {
            let configuration = try file.read()
            for rule in configuration.access.accessRules(ingest: configuration.ingest).rules {
                Console.line("\(rule.text)  (\(rule.place))")
            }
        }
    }

    struct Test: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Say whether a client may publish to a topic or subscribe to a filter, and why.",
            discussion: """
                Example: headend acl test --config hub.yaml --client pump-1 --publish devices/pump-1/telemetry

                Exit status 0 for yes, 1 for no.
                """)

        @OptionGroup var file: IngestFile
        @Option(help: "The client identifier.") var client: String
        @Option(help: "The user whose password it gave. (default: the user of that name, else none)")
        var user: String?
        @Option(help: "The name in the certificate it showed.") var certificate: String?
        @Option(help: "The topic of a message of its.") var publish: String?
        @Option(help: "The topic filter of a subscription of its.") var subscribe: String?

        func validate() throws {
            guard (publish == nil) != (subscribe == nil) else {
                throw ValidationError("give --publish TOPIC or --subscribe FILTER")
            }
            guard !client.isEmpty else { throw ValidationError("--client: is not empty") }
            if let publish, publish.isEmpty || publish.utf8.contains(where: { $0 == 0x2B || $0 == 0x23 }) {
                throw ValidationError("--publish: is a topic name, without wildcards")
            }
        }

        func run() async throws {
            let configuration = try file.read()
            let access = configuration.access
            if let user, let users = access.users, users[user] == nil {
                throw Failure.input("--user \(user): is not among the users of the configuration")
            }
            // Nobody but this user may use its name as a client identifier.
            let name = certificate ?? user ?? (access.users?[client] == nil ? nil : client)
            let identity = ClientIdentity(
                client: client, user: name, hasCertificate: certificate != nil)
            let rights = access.accessRules(ingest: configuration.ingest).rights(of: identity)
            let decision =
                publish.map { rights.decisionToPublish($0) }
                ?? rights.decisionToSubscribe(subscribe ?? "")
            let reason =
                decision.rule.map { "\($0.place): \($0.text)" }
                ?? "no rule is about it, and what no rule allows is denied"
            Console.line("\(decision.isAllowed ? "yes" : "no")  \(reason)")
            if decision.isPartial {
                Console.line("     messages on topics of it that an earlier rule denies are not delivered")
            }
            if client != identity.user, access.users?[client] != nil {
                Console.line("     but it is not let in: only the user \(client) may be called \(client)")
            }
            if access.isUnset {
                Console.note("note: without users: and acl: listeners on loopback are open to everybody")
            }
            if !decision.isAllowed { throw ExitCode(ExitStatus.failed.rawValue) }
        }
    }
}
