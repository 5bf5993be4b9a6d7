/// What a fleet did so far. Counts of devices and messages; a snapshot is at most a quarter of a second old.
///
/// `readings = sent + lost + dropped + held + waiting`.
package struct FleetStatistics: Equatable, Sendable {
    package var devices = 0
    /// With a connection the hub has accepted.
    package var connected = 0
    /// Off line on purpose.
    package var offline = 0
    package var readings: UInt64 = 0
    /// Readings handed to the connection, malformed ones included; each counts once.
    package var sent: UInt64 = 0
    /// Sent a second time on purpose.
    package var duplicatesSent: UInt64 = 0
    /// Messages, duplicates included, that the hub acknowledged (at QoS 0: that were written).
    package var acknowledged: UInt64 = 0
    /// Held back now: out of order, behind a stall, or while off line.
    package var held = 0
    /// Ready to send now, but the hub is away or slow.
    package var waiting = 0
    /// Sent and not acknowledged yet.
    package var unacknowledged = 0
    /// Never sent on purpose: the fault `lose`, and what `keep` gave up while off line.
    package var lost: UInt64 = 0
    /// Never sent because the hub was away for longer than the device could keep.
    package var dropped: UInt64 = 0
    /// Sent with a payload that is not JSON.
    package var malformed: UInt64 = 0
    /// Refused by the hub with a reason; the reading is sent again where the reason allows it.
    package var refused: UInt64 = 0
    /// Connections that ended without being meant to.
    package var disconnects: UInt64 = 0

    package init() {}

    mutating func add(_ other: FleetStatistics) {
        devices += other.devices
        connected += other.connected
        offline += other.offline
        readings += other.readings
        sent += other.sent
        duplicatesSent += other.duplicatesSent
        acknowledged += other.acknowledged
        held += other.held
        waiting += other.waiting
        unacknowledged += other.unacknowledged
        lost += other.lost
        dropped += other.dropped
        malformed += other.malformed
        refused += other.refused
        disconnects += other.disconnects
    }
}
