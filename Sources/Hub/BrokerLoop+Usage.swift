import DeviceQueue

/// What a loop holds in memory for its peers and for the disk: to be compared with `HubLimits`.
package struct BrokerLoopUsage: Sendable {
    package var connections: Int
    /// Bytes staged and not yet durable, those of the batch being filled included.
    package var stagedBytes: Int
    /// Bytes of the fullest output buffer of a connection.
    package var outputBytes: Int
    /// Sockets are not read until the disk has caught up.
    package var isPaused: Bool
}

extension BrokerLoop {
    package var usage: BrokerLoopUsage {
        var usage = BrokerLoopUsage(
            connections: 0, stagedBytes: stagedBytes + (open?.staging.byteCount ?? 0), outputBytes: 0,
            isPaused: isPaused)
        for case .some(let connection) in slots {
            usage.connections += 1
            usage.outputBytes = max(usage.outputBytes, connection.output.count)
        }
        return usage
    }
}
