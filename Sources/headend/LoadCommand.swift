import ArgumentParser
import Load
import MQTTWire
import MosquittoClient

/// Load on a broker, measured.
struct LoadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load", abstract: "Put load on an MQTT broker and measure it.",
        discussion: """
            Example: headend load --devices 100 --rate 20000 --for 10s --qos 1

            With --rate, messages are due at fixed moments and latency counts from them (open loop), so a \
            broker that stalls cannot hide it. Without, each connection keeps its window full (closed loop). \
            Ends by itself with one JSON line: times in microseconds, unacked and errors 0 after a clean run.

            Exit status: 1 when messages stayed unacknowledged or were refused, 3 when it cannot connect.
            """)

    @Option(help: "The broker: mqtt://[user:pass@]host[:port].")
    var hub = BrokerArgument.local

    @Option(help: "Connections, each a device of its own: PREFIX-00000, PREFIX-00001, …")
    var devices = 100

    @Option(
        help: """
            What the devices' names begin with, up to 56 bytes. (default: load- and eight hex digits that no other \
            run has; the result names it as "prefix")
            """)
    var prefix: String?

    @Option(help: "Messages a second over all devices. (default: as fast as acknowledgements come back)")
    var rate: Double?

    @Option(name: .customLong("for"), help: ArgumentHelp("Time of sending, e.g. 10s.", valueName: "duration"))
    var duration: DurationArgument?

    @Option(help: "End after so many messages. (default: no such end)")
    var count: UInt64?

    @Option(help: "Quality of service, 0 to 2.")
    var qos: UInt8 = 1

    @Option(help: ArgumentHelp("Bytes of a payload, JSON with a unique id.", valueName: "bytes"))
    var payload = 150

    @Option(help: "Messages on the way on a connection, QoS 1 and 2.")
    var window = 100

    @Flag(name: .customLong("v5"), help: "MQTT 5.0 instead of 3.1.1.")
    var isVersion5 = false

    @Option(help: "Also report the CPU time of this process, the broker's for example.")
    var pid: Int32?

    func validate() throws {
        if hub.url.isSecure { throw ValidationError("--hub: load speaks mqtt:// only, not mqtts://") }
        if hub.url.prefix != nil {
            throw ValidationError("--hub: load has no topic prefix: mqtt://host:port")
        }
        guard QoS(rawValue: qos) != nil else { throw ValidationError("--qos must be 0, 1 or 2") }
        if let problem = plan().problem { throw ValidationError(problem) }
    }

    func run() throws {
        let plan = plan()
        let result: LoadResult
        do {
            result = try LoadRunner(plan).run()
        } catch {
            switch error {
            case .invalidPlan: throw Failure.input(error.description)
            case .cannotConnect, .environment: throw Failure.environment(error)
            }
        }
        Console.line(result.json(plan))
        if !result.isClean { throw Failure(status: .failed, message: explanation(result)) }
    }

    private func plan() -> LoadPlan {
        var plan = LoadPlan()
        plan.host = hub.url.host
        plan.port = hub.url.port
        plan.userName = hub.url.user
        plan.password = hub.url.password
        plan.version = isVersion5 ? .v5 : .v311
        plan.connections = devices
        plan.namePrefix = prefix
        plan.rate = rate
        if let duration {
            plan.sendNanoseconds = duration.nanoseconds
        } else if count != nil {
            // The count is the end; the day is only what a broker that stops answering cannot pass.
            plan.sendNanoseconds = LoadLimits.sendNanosecondsMax
        }
        plan.messagesMax = count
        plan.qos = QoS(rawValue: qos) ?? .atLeastOnce
        plan.payloadBytes = payload
        plan.window = window
        plan.observedProcess = pid
        return plan
    }

    private func explanation(_ result: LoadResult) -> String {
        let first = result.firstError.map { "; first: \($0)" } ?? ""
        return "\(result.unacknowledged) messages unacknowledged, \(result.unsent) due but never sent, "
            + "\(result.refused) refused, \(result.mismatched) wrong acknowledgements, "
            + "\(result.connectionsLost) connections lost\(first)"
    }
}
