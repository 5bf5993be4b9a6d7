import Fleet
import Hub
import Telemetry

/// What `run` shows while it runs: a few calm lines redrawn each second on a terminal, one plain line every ten
/// seconds elsewhere.
struct LiveView: Sendable {
    let hub: Hub
    let runner: FleetRunner

    func run() async {
        var previous = hub.status
        var drawn = 0
        var seconds = 0
        while !Task.isCancelled {
            do {
                try await Task.sleep(for: .seconds(1))
            } catch {
                break
            }
            seconds += 1
            let status = hub.status
            if Console.isTerminal {
                let lines = Self.panel(status, previous, runner.statistics())
                let erase = drawn > 0 ? "\u{1B}[\(drawn)A\u{1B}[J" : ""
                Console.raw(erase + lines.joined(separator: "\n") + "\n")
                drawn = lines.count
                previous = status
            } else if seconds % 10 == 0 {
                Console.line(Self.line(status, previous, over: 10))
                previous = status
            }
        }
    }

    private static func line(_ status: HubStatus, _ previous: HubStatus, over seconds: Int) -> String {
        "\(clock(status.uptimeSeconds))  devices \(status.devices)"
            + "  messages/s \((status.received - previous.received) / seconds)"
            + "  duplicates caught \(status.duplicate)  windows closed \(status.windowsClosed)  late \(status.late)"
    }

    private static func panel(_ status: HubStatus, _ previous: HubStatus, _ fleet: FleetStatistics)
        -> [String]
    {
        var lines = [
            "",
            "  \(clock(status.uptimeSeconds))   devices \(status.devices)   connected \(fleet.connected)"
                + "   offline \(fleet.offline)",
            "  messages/s \(status.received - previous.received)   stored \(status.stored)"
                + "   duplicates caught \(status.duplicate)"
                + "   quarantined \(status.quarantined.reduce(0) { $0 + $1.count })",
            "  windows closed \(status.windowsClosed)   open \(status.openWindows)   late \(status.late)",
        ]
        for sink in status.sinks where sink.failure != nil || sink.outbox > 0 {
            lines.append("  \(sink.name): \(sink.outbox) rows wait" + (sink.failure.map { " (\($0))" } ?? ""))
        }
        if status.storageState != "running" { lines.append("  storage: \(status.storageState)") }
        lines.append("  last results")
        if status.recentRows.isEmpty {
            lines.append("    none yet: a minute closes a minute after its end")
        }
        for row in status.recentRows.suffix(5) { lines.append("    " + short(row)) }
        return lines.map { String($0.prefix(79)) }
    }

    /// `12:01  pump-01 rpm  count 30  min 1478  max 1482  avg 1480.1`: a row that fits a terminal's line.
    private static func short(_ json: String) -> String {
        var copy = json
        var texts: [String: String] = [:]
        _ = copy.withUTF8 { bytes in
            JSONFieldScanner.forEachTopLevelField(UnsafeRawBufferPointer(bytes)) { name, value in
                let key = String(decoding: name, as: UTF8.self)
                switch value {
                case .text(let raw, _): texts[key] = String(decoding: raw, as: UTF8.self)
                case .bigint(let number): texts[key] = String(number)
                case .float(let number): texts[key] = String((number * 100).rounded() / 100)
                default: break
                }
            }
        }
        func part(_ name: String) -> String { texts[name] ?? "-" }
        return "\(part("windowEnd").dropFirst(11).prefix(5))  \(part("device")) \(part("field"))"
            + "  count \(part("count"))  min \(part("min"))  max \(part("max"))  avg \(part("avg"))"
    }

    private static func clock(_ seconds: Int) -> String {
        let minutes = String(seconds / 60)
        let rest = String(seconds % 60)
        return minutes + ":" + (rest.count < 2 ? "0" : "") + rest
    }
}
