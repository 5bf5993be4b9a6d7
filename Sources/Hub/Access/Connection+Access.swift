import Access
import Atomics
import MQTTWire

/// What a client may publish, and what becomes of bytes that come while its password is being checked.
extension Connection {
    static let notAuthorized = WireError(.notAuthorized, "the client may not publish to this topic")

    /// Whether the client may publish to a topic that has a route; asked of the rules once for each.
    func mayPublish(_ topic: UnsafeRawBufferPointer, to route: UInt32, _ rights: HeldRights) -> Bool {
        let version = RouteMarks.Version(routes: loop.routes.generation, rights: rights.generationNow)
        if publishable.has(route, version) { return true }
        guard mayPublish(topic, rights) else { return false }
        publishable.insert(route, version)
        return true
    }

    func mayPublish(_ topic: UnsafeRawBufferPointer, _ rights: HeldRights) -> Bool {
        rights.current.mayPublish(topic)
    }

    /// A message that the client may not publish: MQTT 5 hears why. A client of 3.1.1 cannot be told, and would send
    /// it again for ever: it is acknowledged, dropped and counted.
    @inline(never)
    func denyPublish(_ view: PublishView, _ topic: UnsafeRawBufferPointer) {
        loop.counters.publishesDenied.wrappingIncrement(ordering: .relaxed)
        if loop.ingest.match(topic) != nil { loop.countRejection("not_authorized") }
        var answer = Acknowledgement(packetIdentifier: view.packetIdentifier)
        answer.reason = .notAuthorized
        switch (view.qos, version) {
        case (.atMostOnce, _): break
        case (.atLeastOnce, .v5): write(.puback(answer))
        case (.exactlyOnce, .v5): write(.pubrec(answer))
        // In the order of the messages, behind those that are not on disk yet.
        case (.atLeastOnce, _): loop.fence(self, packetIdentifier: view.packetIdentifier, answer: .puback)
        case (.exactlyOnce, _): loop.fence(self, packetIdentifier: view.packetIdentifier, answer: .pubrec)
        }
    }

    /// Bytes behind others that were not used yet.
    func receiveBehindKept(_ bytes: UnsafeRawBufferPointer, _ now: UInt64) -> Int {
        kept.append(contentsOf: bytes)
        takeKept(now)
        return bytes.count
    }

    /// Goes on with what came while the password was being checked.
    func takeKept(_ now: UInt64) {
        guard !kept.isEmpty else { return }
        guard phase != .authenticating else {
            loop.partialChanged(self, to: kept.count)
            return
        }
        var bytes: [UInt8] = []
        swap(&bytes, &kept)
        let used = bytes.withUnsafeBytes { process($0, now: now) }
        guard used < bytes.count, phase != .closing else { return }
        if used > 0 { bytes.removeFirst(used) }
        kept = bytes
    }
}

/// Routes that were asked about, a few thousand at most, newest first where two share a place.
struct RouteMarks {
    struct Version: Equatable {
        var routes: UInt32
        var rights: UInt32
    }

    /// A gateway's topics; 4 bytes each, taken as they are used.
    private static let marksMax = 4_096
    private var marks: [UInt32] = []
    private var version = Version(routes: 0, rights: 0)

    /// - Parameter version: marks of another one are void.
    mutating func has(_ route: UInt32, _ version: Version) -> Bool {
        if version != self.version {
            marks = []
            self.version = version
        }
        guard !marks.isEmpty else { return false }
        return marks[Int(route) & (marks.count - 1)] == route &+ 1
    }

    mutating func insert(_ route: UInt32, _ version: Version) {
        self.version = version
        if marks.isEmpty { marks = [UInt32](repeating: 0, count: 4) }
        let place = Int(route) & (marks.count - 1)
        if marks[place] != 0, marks.count < Self.marksMax {
            var larger = [UInt32](repeating: 0, count: marks.count * 4)
            for mark in marks where mark != 0 { larger[Int(mark &- 1) & (larger.count - 1)] = mark }
            marks = larger
        }
        marks[Int(route) & (marks.count - 1)] = route &+ 1
    }
}
