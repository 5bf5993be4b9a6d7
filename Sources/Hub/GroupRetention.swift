import DeviceQueue
import Telemetry

/// What retention has to know of groups that must not miss a record.
protocol GroupRetention: Sendable {
    /// Nothing at or behind the offset is removed until the hold of that name is moved or released.
    func hold(name: String, from: QueueOffset)
    func releaseHold(name: String)
}

/// For a log from which nothing is removed.
struct NoRetention: GroupRetention {
    func hold(name: String, from: QueueOffset) {}
    func releaseHold(name: String) {}
}
