import ArgumentParser
import DeviceQueue
import Hub
import UnixSignals

/// The hub alone.
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Run the hub alone, until SIGINT or SIGTERM.",
        discussion: """
            Example: headend serve --data /var/lib/headend --mqtt 0.0.0.0:1883 --users users

            Prints one line a listener (`listening mqtt 127.0.0.1:1883`), then `ready`. SIGHUP reads certificates, \
            users and access rules again.
            """)

    @OptionGroup var options: HubOptions

    func run() async throws {
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
        let hub = try await HubStarter.start(options)
        for await signal in signals {
            guard signal == .sighup else { break }
            await HubStarter.reloadAll(hub, options)
        }
        Console.line("stopping")
        await hub.stop()
        Console.line("stopped")
    }
}

/// Starts a hub for a command and prints where it listens.
enum HubStarter {
    static func start(_ options: HubOptions) async throws -> Hub {
        let configuration = try options.configuration()
        let hub: Hub
        do {
            hub = try await Hub.start(configuration) { Console.note($0) }
        } catch QueueError.invalidLimits(let explanation) {
            throw Failure.input("\(options.config ?? "settings"): queue: segment_bytes: \(explanation)")
        } catch let error as QueryRequestError where error.kind != .unavailable {
            throw Failure.input(error.description)
        } catch {
            throw Failure.environment(error)
        }
        for listener in hub.listeners {
            Console.line("listening \(listener.kind.rawValue) \(listener.address)")
        }
        Console.line("listening http \(hub.httpAddress)")
        Console.line("ready")
        return hub
    }

    /// What SIGHUP asks for.
    static func reloadAll(_ hub: Hub, _ options: HubOptions) async {
        hub.reload()
        await reload(hub, options)
    }

    /// Reads the configuration again; what is wrong with it is told, and then all stays as it was.
    private static func reload(_ hub: Hub, _ options: HubOptions) async {
        do {
            await hub.replaceAccess(by: try options.configuration())
            Console.note("users and access rules: read again")
        } catch {
            let text = (error as? Failure)?.message ?? String(describing: error)
            Console.error("users and access rules: the old ones stay: \(text)")
        }
    }
}
