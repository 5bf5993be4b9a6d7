import ArgumentParser
import Fleet
import MosquittoClient
import Platform
import Telemetry
import UnixSignals

/// What `simulate` and `run` have in common.
struct FleetOptions: ParsableArguments {
    @Option(
        name: .customLong("for"),
        help: ArgumentHelp("Stop by itself, e.g. 90s, 3m, 1h.", valueName: "duration"))
    var duration: DurationArgument?

    @Option(help: "Same seed and same start: same bytes. (default: that of fleet.yaml, else 1)")
    var seed: UInt64?

    @Option(
        name: .customLong("answer-key"),
        help: ArgumentHelp("Where the truth is written. (default: that of fleet.yaml)", valueName: "file"))
    var answerKey: String?

    @Option(
        help: ArgumentHelp("The fleet's own time at the start, ISO 8601. (default: now)", valueName: "time"))
    var start: String?

    @Option(help: ArgumentHelp("1x, 60x or max. (default: that of fleet.yaml, else 1x)", valueName: "speed"))
    var speed: String?

    func plan(_ directory: String) throws -> FleetPlan {
        do {
            return try FleetPlan.load(directory: directory)
        } catch {
            throw Failure.input(error.description)
        }
    }

    func runnerOptions(hub: MosquittoURL) throws -> FleetRunner.Options {
        var options = FleetRunner.Options(hub: hub)
        options.duration = duration.map { .nanoseconds(Int64($0.nanoseconds)) }
        options.seed = seed
        options.answerKeyPath = answerKey
        if let start {
            guard let time = EventTime.parse(start) else {
                throw Failure.input(
                    "--start \(start): not an ISO 8601 time, for example 2026-01-01T00:00:00Z")
            }
            options.start = time
        }
        if let speed {
            do {
                options.speed = try FleetSpeed(parsing: speed)
            } catch {
                throw Failure.input("--speed: \(error.message)")
            }
        }
        return options
    }
}

/// The fleet alone, against any MQTT broker.
struct SimulateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate", abstract: "Run the fleet alone, against any MQTT broker.",
        discussion: """
            Example: headend simulate devices --hub mqtt://127.0.0.1:1883 --for 90s --answer-key out/truth.jsonl
            """)

    @Argument(help: "The folder of device types.") var directory = "devices"
    @OptionGroup var fleet: FleetOptions
    @Option(help: "The broker: mqtt[s]://[user:pass@]host[:port].") var hub = BrokerArgument.local
    @OptionGroup(title: "Over mqtts") var tls: TLSClientOptions

    func run() async throws {
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        let plan = try fleet.plan(directory)
        try tls.check(hub)
        var options = try fleet.runnerOptions(hub: hub.url)
        options.authorityFile = tls.ca
        options.certificate = try tls.certificate()
        let runner: FleetRunner
        do {
            runner = try FleetRunner(plan: plan, options: options) {
                Console.note($0)
            }
        } catch {
            throw Failure.environment(error)
        }
        Console.line(
            "\(plan.devices.count) devices, seed \(runner.seed), start \(runner.startTime), \(hub.url)")
        runner.start()
        await FleetEnd.wait(runner, signals)
        do {
            let last = try await FleetEnd.stop(runner)
            Console.line(FleetEnd.text(last))
            if let path = runner.answerKeyPath { Console.line("answer key: \(path)") }
            if last.unacknowledged + last.waiting > 0 {
                throw Failure(
                    status: .environment,
                    message:
                        "\(last.unacknowledged + last.waiting) readings were not acknowledged before the end")
            }
        } catch {
            throw Failure.environment(error)
        }
    }
}

/// How a fleet ends, for both commands.
enum FleetEnd {
    /// Returns when the fleet's time is over or a signal came that ends it.
    ///
    /// - Parameter reload: what SIGHUP asks for, where it is among the signals.
    static func wait(
        _ runner: FleetRunner, _ signals: UnixSignalsSequence,
        reload: @escaping @Sendable () async -> Void = {}
    ) async {
        let (ends, announce) = AsyncStream.makeStream(of: Void.self)
        let signalled = Task {
            for await signal in signals {
                guard signal == .sighup else { break }
                await reload()
            }
            announce.yield()
        }
        // Ends at the latest when the runner is stopped.
        Task {
            await runner.untilOver()
            announce.yield()
        }
        for await _ in ends { break }
        signalled.cancel()
    }

    /// Drains the fleet on a thread of its own: it blocks until all is acknowledged.
    static func stop(_ runner: FleetRunner) async throws -> FleetStatistics {
        try await withCheckedThrowingContinuation { continuation in
            _ = NamedThread("headend-drain") {
                continuation.resume(with: Result { try runner.stop(drain: .seconds(8)) })
            }
        }
    }

    static func text(_ count: FleetStatistics) -> String {
        "\(count.readings) readings made, \(count.sent) sent, \(count.duplicatesSent) duplicates sent on purpose, "
            + "\(count.lost) lost on purpose, \(count.malformed) malformed, \(count.acknowledged) acknowledged"
    }
}
