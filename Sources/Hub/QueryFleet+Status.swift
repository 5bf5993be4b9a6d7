import PerpetualQuery
import Platform
import Telemetry

// What the hub shows of its queries.
extension QueryFleet {
    private static let lookNanoseconds: UInt64 = 1_000_000_000

    /// What others may know of the queries now.
    func statuses() -> [QueryStatus] {
        bundle.settle()
        return slots.map { status(of: $0) }
    }

    func status(of slot: Slot) -> QueryStatus {
        if let job = slot.job {
            let missing = slot.lastStatus.missingFields
            slot.lastStatus = job.status
            slot.lastStatus.missingFields = missing
            look(slot)
        }
        slot.lastStatus.definition = slot.opener.definition
        slot.lastStatus.state =
            slot.isPaused
            ? .paused
            : slot.job == nil
                ? (slot.isStopped
                    ? .stopped
                    : slot.failure == nil ? .catchingUp : slot.blockedAttempts > 0 ? .blocked : .failed)
                : slot.isTogether ? .running : .catchingUp
        if slot.failure == nil { slot.lastStatus.failure = nil }
        return slot.lastStatus
    }

    /// Which fields of a query no event has, now and then.
    private func look(_ slot: Slot) {
        let now = clock.monotonicNanoseconds()
        guard now >= slot.lookedAt &+ Self.lookNanoseconds || slot.lookedAt == 0 else { return }
        slot.lookedAt = now
        slot.lastStatus.missingFields = census.missing(slot.opener.plan?.inputs.first?.fields ?? [])
    }
}
