import Foundation
import Glibc
import Testing

/// Thousands of connections that all have something to say at once.
@Suite("A crowd", .ownThread, .timeLimit(.minutes(3)))
struct CrowdTests {
    private static let connections = 5_000
    private static let readings = 20
    private static let rounds = 4
    /// Bytes of RAM of an idle connection with its session.
    private static let idleBytesMax = 8 << 10
    /// Bytes of RAM a connection, with its device, at the end of bursts of 20 readings of each.
    private static let busyBytesMax = 24 << 10
    /// Seconds for 100,000 readings that come in one instant, until the last connection is answered.
    private static let secondsMax = 15.0

    @Test("5,000 connections send bursts: each is answered in time, the account adds up, memory stays small")
    func bursts() throws {
        guard Self.mayOpen(files: Self.connections + 500) else { return }
        let hub = try HubProcess()
        let before = hub.residentBytes
        let crowd = try Crowd(count: Self.connections, port: hub.mqttPort)
        let idleBytes = (hub.residentBytes - before) / Self.connections
        #expect(idleBytes < Self.idleBytesMax, "\(idleBytes) bytes an idle connection")
        var busyBytes = 0
        for round in 0..<Self.rounds {
            let time = crowd.exchange(seconds: 60) { (Self.burst($0, round), Self.readings) }
            busyBytes = max(busyBytes, (hub.residentBytes - before) / Self.connections)
            print(
                "crowd: round \(round): first \(time.first) s, last \(time.last) s, idle \(idleBytes) B, busy \(busyBytes) B"
            )
            #expect(time.missing == 0, "round \(round): \(time.missing) were not answered")
            #expect(time.last < Self.secondsMax, "round \(round): the last waited \(time.last) s")
        }
        #expect(busyBytes < Self.busyBytesMax, "\(busyBytes) bytes a busy connection")
        #expect(crowd.closedCount == 0)
        let status = try hub.status()
        let stored = Self.connections * Self.readings * Self.rounds
        #expect(status["stored"] as? Int == stored, "\(status)")
        #expect(status["received"] as? Int == stored, "\(status)")
        #expect(status["devices"] as? Int == Self.connections)
        #expect(status["connections"] as? Int == Self.connections)
        #expect(try hub.stop() == 0, "\(hub.transcript)")
        let verify = try run(Programs.headend, ["queue", "verify", "--data", hub.data], seconds: 60)
        #expect(verify.status == 0 && verify.output.contains("\(stored) records"), "\(verify.transcript)")
    }

    private static func burst(_ number: Int, _ round: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        for reading in 1...readings {
            let id = round * readings + reading
            bytes += MQTTPackets.publish(
                "devices/crowd-\(number)/telemetry", #"{"id":"\#(id)","temperature":21.5,"humidity":40}"#,
                qos: 1, identifier: UInt16(reading))
        }
        return bytes
    }

    /// Lets this process, and the hub that it starts, open so many files.
    static func mayOpen(files: Int) -> Bool {
        var limit = rlimit()
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        getrlimit(resource, &limit)
        if limit.rlim_cur < UInt64(files) {
            limit.rlim_cur = limit.rlim_max
            setrlimit(resource, &limit)
        }
        if limit.rlim_cur >= UInt64(files) { return true }
        print("skipped: needs ulimit -n of at least \(files), has \(limit.rlim_max)")
        return false
    }
}
