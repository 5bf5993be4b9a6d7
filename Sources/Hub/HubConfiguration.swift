package import DeviceQueue
package import MosquittoClient
package import ReferenceFiles

/// What a hub is started with.
package struct HubConfiguration: Sendable {
    /// Where queues, checkpoints and results live.
    package var dataDirectory = "headend-data"
    /// A listener for MQTT over plain TCP, besides `listeners`; where neither is set, 127.0.0.1:1883.
    package var mqtt: HostPort?
    package var listeners: [ListenerSettings] = []
    /// Threads that own sockets. With 1 the broker's thread reads and writes the plain ones itself.
    package var loops = 1
    package var http = HostPort(host: "127.0.0.1", port: 8080)
    /// Result rows go there too, when it is set.
    package var downstream: MosquittoURL?
    /// Brokers that the hub takes messages from and mirrors topics with.
    package var upstreams: [UpstreamSettings] = []
    package var limits = HubLimits()
    /// Seconds between two publications of `$SYS/broker/…`; 0 is never.
    package var systemTopicsSeconds = 10
    /// Who may connect and what he may do.
    package var access = AccessSettings()
    /// Which topics are telemetry, in the order in which the rules are tried.
    package var ingest = IngestPreset.standard
    package var registration = Registration.open
    /// What in the configuration may surprise: told once at the start.
    package var notes: [String] = []
    /// Bytes of a log segment; nil for the queue's default.
    package var segmentBytes: Int?
    /// Whether sealed segments are compressed once there is enough log behind them.
    package var isCompressing = true
    /// Bytes of the newest log that stay uncompressed; nil for the queue's default.
    package var plainBytes: Int?
    /// What is removed from the front of the log; nothing as it stands.
    package var retention = RetentionPolicy()

    /// Whether the query that ships with the product runs.
    package var runsMinuteQuery = true
    /// What queries may join with.
    package var references: [ReferenceSource] = []
    /// Queries beside the one that ships with the product.
    package var queries: [QueryDefinition] = []

    package init() {}

    /// The doors that are opened, in the order of `ConnectionOrigin.listener`.
    package var allListeners: [ListenerSettings] {
        if let mqtt { return [ListenerSettings(.mqtt, mqtt, place: "mqtt")] + listeners }
        if !listeners.isEmpty { return listeners }
        return [ListenerSettings(.mqtt, HostPort(host: "127.0.0.1", port: 1883), place: "mqtt")]
    }

    /// The rules, compiled.
    package var ingestTable: IngestTable {
        IngestTable(
            rules: ingest, registration: registration, payloadBytesMax: limits.ingestPayloadBytesMax)
    }

    var queueLimits: QueueLimits {
        var queueLimits = QueueLimits()
        if let segmentBytes { queueLimits.segmentBytes = segmentBytes }
        if let plainBytes { queueLimits.plainBytes = plainBytes }
        if !isCompressing { queueLimits.plainBytes = nil }
        queueLimits.retention = retention
        return queueLimits
    }
}

/// `HOST:PORT`, with `[…]` around an IPv6 address; port 0 is any free port.
package struct HostPort: Sendable, Equatable, CustomStringConvertible {
    package var host: String
    package var port: Int

    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// - Returns: nil when the text is not `HOST:PORT` with a port of 0 to 65535.
    package init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (0...65_535).contains(port)
        else { return nil }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        guard !host.isEmpty else { return nil }
        self.host = host
        self.port = port
    }

    package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// What keeps a hub from starting; each case says who can act. Exit status 3, or 2 where `isInput`.
package struct HubError: Error, Sendable, CustomStringConvertible {
    package var description: String
    /// What the hub was given is wrong, such as a file that is there and of no use; not what is around it.
    package var isInput: Bool

    package init(_ description: String, isInput: Bool = false) {
        self.description = description
        self.isInput = isInput
    }
}
