import ArgumentParser
import PerpetualQuery
import QueryLanguage
import Telemetry

/// A duration, or `unlimited`.
struct ToleranceArgument: ExpressibleByArgument, Sendable {
    var ticks: Int64

    init?(argument: String) {
        if argument == "unlimited" {
            ticks = TimePolicy.unlimited
        } else if ["0", "0ms", "0s", "0m", "0h", "0d"].contains(argument) {
            ticks = 0
        } else if let duration = DurationArgument(argument: argument) {
            ticks = Int64(duration.nanoseconds / 100)
        } else {
            return nil
        }
    }
}

extension TimePolicy.Action: ExpressibleByArgument {
    package init?(argument: String) {
        switch argument {
        case "adjust": self = .adjust
        case "drop": self = .drop
        case "divert": self = .divert
        default: return nil
        }
    }
}

/// What a query does with events that are early, late or out of order.
struct QueryTimeOptions: ParsableArguments {
    @Option(help: ArgumentHelp("How late an event may arrive, or unlimited.", valueName: "duration"))
    var late: ToleranceArgument?
    @Option(
        name: .customLong("out-of-order"),
        help: ArgumentHelp("How far events may be out of order.", valueName: "duration"))
    var outOfOrder: ToleranceArgument?
    @Option(help: ArgumentHelp("How far an event may be ahead of its arrival.", valueName: "duration"))
    var early: ToleranceArgument?
    @Option(help: "adjust, drop or divert what is later, or more out of order. Diverted rows go to _late.")
    var policy: TimePolicy.Action?
    @Option(
        name: .customLong("watermark-over"),
        help: ArgumentHelp(
            "Time waits for the device that is furthest behind: which fields name a device.",
            valueName: "fields"))
    var watermarkOver: String?
    @Option(
        name: .customLong("idle-after"),
        help: ArgumentHelp(
            "With --watermark-over, how long a device may be silent until it is not waited for, or unlimited. "
                + "(default: 1m)", valueName: "duration"))
    var idleAfter: ToleranceArgument?
    @Option(
        help: ArgumentHelp(
            "stop, or divert rows that cannot be computed to _errors.", valueName: "stop|divert"))
    var errors: String?

    func settings() throws -> StreamSettings {
        var settings = StreamSettings()
        if let late { settings.timePolicy.lateToleranceTicks = late.ticks }
        if let outOfOrder {
            guard outOfOrder.ticks != TimePolicy.unlimited else {
                throw Failure.input("--out-of-order unlimited: events would wait for ever; give a duration")
            }
            settings.timePolicy.outOfOrderToleranceTicks = outOfOrder.ticks
        }
        if let early { settings.timePolicy.earlyToleranceTicks = early.ticks }
        if let policy { settings.timePolicy.lateAction = policy }
        if let watermarkOver {
            do throws(QueryError) {
                settings.minimumWatermark = try MinimumWatermark(
                    fields: watermarkOver, idleTicks: idleAfter?.ticks)
            } catch {
                throw Failure.input(error.render(source: watermarkOver, name: "--watermark-over"))
            }
        } else if idleAfter != nil {
            throw Failure.input(
                "--idle-after says how long --watermark-over waits for a silent device: give that too")
        }
        switch errors {
        case nil, "stop": break
        case "divert": settings.errorPolicy = .divert
        default: throw Failure.input("--errors \(errors ?? ""): stop or divert")
        }
        return settings
    }
}
