import ArgumentParser
import Hub
import MosquittoClient

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// The entry point: parses the command line and turns every error into one line and an exit status.
@main
enum Main {
    static func main() async {
        // A peer or a pipe that goes away must not end the process; writes report it instead.
        signal(SIGPIPE, SIG_IGN)
        MosquittoLibrary.raiseOpenFileLimit()
        do {
            var command = try Headend.parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch let failure as Failure {
            Console.error(failure.message)
            exit(failure.status.rawValue)
        } catch let status as ExitCode {
            exit(status.rawValue)
        } catch {
            let code = Headend.exitCode(for: error)
            if code == .success {
                print(Headend.fullMessage(for: error))
                exit(0)
            }
            if code == .failure || code == .validationFailure {
                Console.error(Headend.fullMessage(for: error))
                exit(code == .validationFailure ? ExitStatus.usage.rawValue : ExitStatus.failed.rawValue)
            }
            exit(code.rawValue)
        }
    }
}

/// `headend`: every reading counted once, in the right minute, and a command that proves it.
struct Headend: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "headend",
        abstract: "IoT gateway simulator and ingestion hub: every reading counted once, in the right minute.",
        discussion: """
            Start with `headend run devices`: a hub and a simulated fleet in one process, with results per minute.

            Exit status: 0 success, 1 a check failed, 2 usage or input error, 3 environment (port in use, disk, \
            missing file).
            """,
        version: HubVersion.text,
        subcommands: [
            RunCommand.self, ServeCommand.self, SimulateCommand.self, LoadCommand.self, SubscribeCommand.self,
            VerifyCommand.self, TortureCommand.self,
            QueueCommand.self, QuarantineCommand.self, ReferenceCommand.self, GroupCommand.self,
            ConsumeCommand.self,
            IngestCommand.self, UpstreamCommand.self, UserCommand.self, AccessCommand.self,
            DeviceCommand.self,
            QueryCommand.self,
        ])
}
