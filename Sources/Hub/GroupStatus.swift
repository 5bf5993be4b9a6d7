import ConsumerGroups
import Platform
import Telemetry

/// One look at a group.
struct GroupStatus: Sendable {
    var name: String
    /// Why it cannot be used; the rest is empty then.
    var failure: String?
    var definition: GroupDefinition?
    var snapshot: GroupSnapshot?
    /// Records of its devices that are stored and not committed.
    var lagRecords: UInt64 = 0
    /// How long the first of them has been there; nil when it is not known yet.
    var lagTicks: Int64?

    var value: Value {
        guard let definition, let snapshot else {
            return .record([
                Column("name", .text(name)), Column("failure", failure.map { .text($0) } ?? .null),
            ])
        }
        let devices: Value =
            if case .names(let names) = definition.devices {
                .array(names.map { .text($0) })
            } else {
                .text(definition.devices.description)
            }
        return .record([
            Column("name", .text(name)),
            Column("devices", devices),
            Column("from", .text(definition.start.description)),
            Column("mustNotMiss", .boolean(definition.mustNotMiss)),
            Column("created", .time(EventTime(ticks: definition.createdTicks))),
            Column("cursor", .bigint(Int64(clamping: snapshot.cursor.bytes))),
            Column("lagRecords", .bigint(Int64(clamping: lagRecords))),
            Column("lagSeconds", lagTicks.map { .float(Double($0) / 1e7) } ?? .null),
            Column("inFlight", .bigint(Int64(snapshot.inFlight))),
            Column("missed", .bigint(Int64(clamping: snapshot.missed))),
            Column(
                "lastCommit",
                snapshot.lastCommitTicks == 0 ? .null : .time(EventTime(ticks: snapshot.lastCommitTicks))),
            Column("delivered", .bigint(Int64(clamping: snapshot.counters.delivered))),
            Column("redelivered", .bigint(Int64(clamping: snapshot.counters.redelivered))),
            Column("committed", .bigint(Int64(clamping: snapshot.counters.committed))),
            Column("members", .array(snapshot.members.map(Self.value(of:)))),
            Column("failure", failure.map { .text($0) } ?? .null),
        ])
    }

    private static func value(of member: MemberSnapshot) -> Value {
        .record([
            Column("member", .text(member.name)),
            Column("inFlight", .bigint(Int64(member.inFlight))),
            // A member over MQTT has no lease: it is there as long as its connection.
            Column(
                "leaseSeconds",
                member.leaseLeftNanoseconds > 1 << 62
                    ? .null : .float(Double(member.leaseLeftNanoseconds / 1_000_000) / 1e3)),
        ])
    }

    /// The gauges and counters of all groups in Prometheus' text format 0.0.4; empty without groups.
    static func prometheusText(_ groups: [GroupStatus]) -> String {
        guard !groups.isEmpty else { return "" }
        var text = ""
        func metric(_ name: String, _ kind: String, _ help: String, _ value: (GroupStatus) -> String?) {
            text += "# HELP headend_group_\(name) \(help)\n# TYPE headend_group_\(name) \(kind)\n"
            for group in groups {
                guard let value = value(group) else { continue }
                text += "headend_group_\(name){group=\"\(group.name)\"} \(value)\n"
            }
        }
        metric("usable", "gauge", "1 when the group can be used and its place can be saved.") {
            $0.failure == nil ? "1" : "0"
        }
        metric("lag_records", "gauge", "Records stored and not committed by the group.") {
            $0.snapshot == nil ? nil : String($0.lagRecords)
        }
        metric("lag_seconds", "gauge", "Age of the first record that is not committed.") {
            $0.lagTicks.map { String(Double($0) / 1e7) }
        }
        metric("members", "gauge", "Members of the group.") {
            $0.snapshot.map { String($0.members.count) }
        }
        metric("missed_total", "counter", "Records that retention removed before the group had them.") {
            $0.snapshot.map { String($0.missed) }
        }
        metric("delivered_total", "counter", "Records handed out, repetitions included.") {
            $0.snapshot.map { String($0.counters.delivered) }
        }
        metric("redelivered_total", "counter", "Records handed out again.") {
            $0.snapshot.map { String($0.counters.redelivered) }
        }
        metric("committed_total", "counter", "Records committed.") {
            $0.snapshot.map { String($0.counters.committed) }
        }
        return text
    }
}

extension GroupWorker {
    func statuses() -> [GroupStatus] { names.compactMap { try? status($0) } }

    /// - Throws: `.unknownGroup`.
    func status(_ name: String) throws -> GroupStatus {
        if let failure = failure(name) { return GroupStatus(name: name, failure: failure) }
        let runner = try group(name)
        let now = clock.monotonicNanoseconds()
        runner.expire(now: now)
        runner.noticeRemoval()
        runner.lookAhead()
        let snapshot = runner.core.snapshot(now: now)
        var status = GroupStatus(
            name: name, failure: runner.savingFailure ?? runner.readingFailure, definition: runner.definition,
            snapshot: snapshot)
        status.lagRecords = runner.lag(snapshot)
        if let arrival = snapshot.oldestArrivalTicks {
            status.lagTicks = max(0, clock.wallTicks() - arrival)
        } else if status.lagRecords == 0 {
            status.lagTicks = 0
        }
        return status
    }
}
