/// How a device speaks MQTT.
package struct ConnectionModel: Equatable, Sendable {
    /// The protocol version.
    package enum Version: Equatable, Sendable {
        case v311
        case v5
    }
    /// 0, 1 or 2; default 1. With 0 a reading can be lost with a connection, as MQTT says.
    package var qos: Int = 1
    /// Seconds; default 30.
    package var keepAliveSeconds: Int = 30
    /// Seconds the broker keeps the session after a disconnect; default 3,600. On 3.1.1: not 0 = kept.
    package var sessionExpirySeconds: Int = 3_600
    package var version: Version = .v5
    /// nil: the device is always on line.
    package var offline: OfflineModel?

    package init() {}
}

/// A device that leaves the network now and then, keeps its readings, and sends them when it is back.
package struct OfflineModel: Equatable, Sendable {
    package enum SendOrder: Equatable, Sendable {
        /// The backlog first, in order; fresh readings wait behind it.
        case oldestFirst
        /// The freshest first; fresh readings go out at once, before the backlog.
        case newestFirst
    }
    /// The mean time from the end of one absence to the begin of the next (exponential); milliseconds.
    package var meanTimeBetweenMilliseconds: Int64
    /// How long an absence lasts; milliseconds.
    package var durationMilliseconds: ClosedRange<Int64>
    /// Readings kept; the oldest beyond that are never sent. Default 10,000.
    package var keep: Int
    package var order: SendOrder
    /// Readings a second while the backlog is sent; nil: at once.
    package var ratePerSecond: Double?

    package init(
        meanTimeBetweenMilliseconds: Int64, durationMilliseconds: ClosedRange<Int64>, keep: Int,
        order: SendOrder, ratePerSecond: Double?
    ) {
        self.meanTimeBetweenMilliseconds = meanTimeBetweenMilliseconds
        self.durationMilliseconds = durationMilliseconds
        self.keep = keep
        self.order = order
        self.ratePerSecond = ratePerSecond
    }
}
