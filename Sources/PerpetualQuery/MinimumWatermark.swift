package import QueryLanguage
import Telemetry

/// The setting with which time goes on only as far as every device is: the least of the devices' own times, those
/// that have been silent for long not counted.
///
/// Windows are then those of all devices together, as without OVER, but a device that is behind the others (its
/// connection broke, and it sends what it kept) is waited for. semantics.md §3, `WATERMARK MIN OVER … IDLE AFTER …`.
package struct MinimumWatermark: Hashable, Sendable {
    /// Default of `idleTicks`: one minute.
    package static let defaultIdleTicks = EventTime.ticksPerMinute

    /// The fields whose values name a device, each as a path.
    let keys: [[PathElement]]
    /// The fields as a query writes them.
    package let text: String
    /// A device of which no event has counted for longer than this, by the clock of arrival, is not waited for;
    /// `TimePolicy.unlimited`: it is as long as the late tolerance says.
    package let idleTicks: Int64

    /// - Parameters:
    ///   - fields: such as `deviceId`, `IoTHub.ConnectionDeviceId` or `plant, line`.
    ///   - idleTicks: nil for the default.
    /// - Throws: what is wrong with the fields, with its place in them.
    package init(fields: String, idleTicks: Int64?) throws(QueryError) {
        let paths = try QueryParser.fields(of: fields)
        keys = paths
        text = paths.map { QueryPrinter.text(of: $0) }.joined(separator: ", ")
        self.idleTicks = idleTicks ?? Self.defaultIdleTicks
    }
}
