import ReferenceFiles
import Telemetry

/// What others may know of an input of reference data.
struct ReferenceStatus: Sendable {
    let source: ReferenceSource
    /// Oldest first; the last one is in force for what comes.
    var entries: [ReferenceHistory.Entry]
    /// Why the file is of no use, when it is of none.
    var failure: String?
    var lookedAt: EventTime?
    /// Since the start, without that at the start.
    var loads: UInt64 = 0
    var failures: UInt64 = 0

    init(_ source: ReferenceSource, _ history: ReferenceHistory) {
        self.source = source
        entries = history.entries
    }

    /// What becomes of queries while the file is of no use.
    var consequence: String {
        entries.isEmpty
            ? "there are no rows of it yet, and the queries that join with it wait"
            : "the rows as they were stay in force"
    }

    var value: Value {
        let newest = entries.last
        return .record([
            Column("name", .text(source.name)), Column("file", .text(source.location)),
            Column("format", .text(source.format.rawValue)),
            Column(
                "refreshSeconds",
                source.refreshNanoseconds.map { .float(Double($0) / 1e9) } ?? .null),
            Column("rows", .bigint(Int64(newest?.rows ?? 0))),
            Column("bytes", .bigint(Int64(newest?.bytes ?? 0))),
            Column("version", newest.map { .text($0.hash.description) } ?? .null),
            Column("loadedAt", newest.map { .time(EventTime(ticks: $0.loadedTicks)) } ?? .null),
            Column("inForceFromOffset", .bigint(Int64(clamping: newest?.offset ?? 0))),
            Column("versionsKept", .bigint(Int64(entries.count))),
            Column("lookedAt", lookedAt.map { .time($0) } ?? .null),
            Column("failure", failure.map { .text($0) } ?? .null),
        ])
    }

    static func prometheusText(_ statuses: [ReferenceStatus]) -> String {
        guard !statuses.isEmpty else { return "" }
        var text = ""
        func metric(_ name: String, _ kind: String, _ help: String, _ value: (ReferenceStatus) -> String) {
            text += "# HELP headend_reference_\(name) \(help)\n# TYPE headend_reference_\(name) \(kind)\n"
            for status in statuses {
                text += "headend_reference_\(name){reference=\"\(status.source.name)\"} \(value(status))\n"
            }
        }
        metric("usable", "gauge", "1 when the file is what is in force.") { $0.failure == nil ? "1" : "0" }
        metric("rows", "gauge", "Rows in force.") { String($0.entries.last?.rows ?? 0) }
        metric("bytes", "gauge", "Bytes of the rows in force, as JSON.") {
            String($0.entries.last?.bytes ?? 0)
        }
        metric("loads_total", "counter", "Changes of the file that were put in force.") { String($0.loads) }
        metric("failures_total", "counter", "Looks at the file that gave nothing to put in force.") {
            String($0.failures)
        }
        return text
    }
}
