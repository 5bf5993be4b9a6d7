import ArgumentParser
import Platform
import SimulationKit

/// The hub in simulated worlds where everything goes wrong.
struct TortureCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "torture", abstract: "Run the hub in simulated worlds where everything goes wrong.",
        discussion: """
            Example: headend torture --minutes 10

            Each seed is a world of its own: the real connections, queue, query and sinks on a simulated disk, network \
            and clock, with power cuts in the middle of writes, full and failing disks, torn and cut packets, \
            takeovers and clock steps. Then the faults stop, everything must drain, and what is stored and counted is \
            compared with the truth. The same seed always gives the same world.

            Exit status: 1 when something that must hold did not; the seed and the command to repeat it are printed.
            """)

    @Option(
        help:
            "The first seed; with no --seeds and no --minutes only this one. (default: chosen anew each time)"
    )
    var seed: UInt64?

    @Option(help: ArgumentHelp("How many seeds.", valueName: "count"))
    var seeds: Int?

    @Option(
        help: ArgumentHelp(
            "Go on with new seeds for so long. (default: 1 when nothing else is said)", valueName: "minutes"))
    var minutes: Double?

    @Flag(help: "Print every event of the worlds.")
    var trace = false

    @Option(
        help:
            "A deliberate bug that must be found: \(Canary.allCases.map(\.rawValue).joined(separator: ", "))."
    )
    var canary: Canary?

    func validate() throws {
        if let seeds, seeds < 1 { throw ValidationError("--seeds must be at least 1") }
        if let minutes, !(minutes > 0) { throw ValidationError("--minutes must be more than 0") }
    }

    func run() throws {
        let clock = SystemClock()
        let started = clock.monotonicNanoseconds()
        let nanoseconds = (minutes ?? (seed == nil && seeds == nil ? 1 : nil)).map {
            UInt64($0 * 60_000_000_000)
        }
        let seedsMax = seeds ?? (nanoseconds == nil ? 1 : Int.max)
        // 32 bits: easier to type again.
        let first = seed ?? UInt64.random(in: 0...UInt64(UInt32.max))
        var totals = Totals()
        var shown = started
        while totals.seeds < seedsMax {
            let report = torture(first &+ UInt64(totals.seeds))
            totals.add(report)
            if let violation = report.violation { throw failure(violation) }
            let now = clock.monotonicNanoseconds()
            if now - shown >= 5_000_000_000 {
                Console.note(totals.line(after: now - started))
                shown = now
            }
            if let nanoseconds, now - started >= nanoseconds { break }
        }
        Console.line(totals.line(after: clock.monotonicNanoseconds() - started) + ": everything held")
        Console.line(totals.places)
        if seedsMax == 1 { Console.line("trace \(String(totals.lastTraceHash, radix: 16))") }
    }

    private func torture(_ seed: UInt64) -> Torture.Report {
        let onTrace: ((String) -> Void)? = trace ? { Console.line($0) } : nil
        return Torture(plan: TorturePlan(seed: seed), canary: canary, onTrace: onTrace).run()
    }

    private func failure(_ violation: Violation) -> Failure {
        let bug = canary.map { " --canary \($0.rawValue)" } ?? ""
        return Failure(
            status: .failed,
            message: "\(violation)\nrepeat it with: headend torture --seed \(violation.seed)\(bug) --trace")
    }

    private struct Totals {
        var seeds = 0
        var lives = 0
        var faults = 0
        var messages = 0
        var windows = 0
        var acknowledged = 0
        var reached: [Place: Int] = [:]
        var lastTraceHash: UInt64 = 0

        mutating func add(_ report: Torture.Report) {
            seeds += 1
            lives += report.lives
            faults += report.faults
            messages += report.messages
            windows += report.windows
            acknowledged += report.acknowledged
            reached.merge(report.reached) { $0 + $1 }
            lastTraceHash = report.traceHash
        }

        func line(after nanoseconds: UInt64) -> String {
            "\(nanoseconds / 1_000_000_000) s: \(seeds) seeds, \(lives) lives of the hub, \(faults) faults, "
                + "\(messages) messages, \(acknowledged) acknowledged, \(windows) windows"
        }

        var places: String {
            Place.allCases.map { "\(reached[$0] ?? 0) \($0.rawValue)" }.joined(separator: ", ")
        }
    }
}

extension Canary: ExpressibleByArgument {}
