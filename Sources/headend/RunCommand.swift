import ArgumentParser
import Fleet
import Hub
import MosquittoClient
import UnixSignals
import Verify

/// Hub, fleet and proof in one process.
struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Run hub and fleet in one process, and prove the result at the end.",
        discussion: """
            Example: headend run devices --for 3m

            Ends with a summary and the verdict of `verify`; exit status 1 when a reading was lost, counted twice \
            or put into a wrong window. SIGHUP reads certificates, users and access rules again, as with serve.
            """)

    @Argument(help: "The folder of device types.") var directory = "devices"
    @OptionGroup var hubOptions: HubOptions
    @OptionGroup var fleetOptions: FleetOptions

    func run() async throws {
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
        let plan = try fleetOptions.plan(directory)
        let configuration = try hubOptions.configuration()
        guard configuration.takesFleet else {
            throw Failure.input(
                "the fleet has no users and the hub takes none without: give --anonymous, or use headend serve and "
                    + "headend simulate --hub mqtt://USER@HOST")
        }
        let hub = try await HubStarter.start(hubOptions)
        let runner: FleetRunner
        do {
            runner = try makeRunner(plan, hub, configuration)
        } catch {
            await hub.stop()
            throw Failure.environment(error)
        }
        Console.line("fleet: \(plan.devices.count) devices of \(plan.types.count) types, seed \(runner.seed)")
        let view = LiveView(hub: hub, runner: runner)
        runner.start()
        let drawing = Task { await view.run() }
        let options = hubOptions
        await FleetEnd.wait(runner, signals) { await HubStarter.reloadAll(hub, options) }
        drawing.cancel()
        await drawing.value
        Console.line("stopping the fleet")
        let fleet: FleetStatistics
        do {
            fleet = try await FleetEnd.stop(runner)
        } catch {
            await hub.stop()
            throw Failure.environment(error)
        }
        let status = hub.status
        await hub.stop()
        Console.line(FleetEnd.text(fleet))
        Console.line(RunSummary.text(status))
        guard let key = runner.answerKeyPath else { return }
        let report = try await VerifyCommand.report(
            answerKey: key, source: StoppedHub(path: configuration.dataDirectory),
            results: configuration.dataDirectory + "/results")
        Console.line(report.text)
        if !report.passed { throw ExitCode(ExitStatus.failed.rawValue) }
    }

    private func makeRunner(
        _ plan: FleetPlan, _ hub: Hub, _ configuration: HubConfiguration
    ) throws -> FleetRunner {
        guard var address = hub.mqttAddress else {
            throw Failure.input(
                "the fleet of run speaks plain MQTT: add a listener of type mqtt, or use serve")
        }
        if address.host == "0.0.0.0" || address.host == "::" { address.host = "127.0.0.1" }
        let url = try MosquittoURL("mqtt://" + address.description)
        var options = try fleetOptions.runnerOptions(hub: url)
        if options.answerKeyPath == nil, plan.answerKeyPath == nil {
            options.answerKeyPath = configuration.dataDirectory + "/answer-key.jsonl"
        }
        return try FleetRunner(plan: plan, options: options) { Console.note($0) }
    }
}

/// The last lines of a run.
enum RunSummary {
    static func text(_ status: HubStatus) -> String {
        let setAside = status.quarantined.map { "\($0.reason) \($0.count)" }.joined(separator: ", ")
        let rejected = status.rejected.reduce(0) { $0 + $1.count }
        return "received \(status.received) = stored \(status.stored) + duplicate \(status.duplicate)"
            + " + rejected \(rejected) + quarantined \(status.quarantined.reduce(0) { $0 + $1.count })"
            + (setAside.isEmpty ? "" : " (\(setAside))")
            + (status.quarantineRemoved == 0
                ? "" : " + removed from quarantine by retention \(status.quarantineRemoved)")
            + "\nwindows closed \(status.windowsClosed), late readings \(status.late)"
            + ", windows still open \(status.openWindows)"
    }
}
