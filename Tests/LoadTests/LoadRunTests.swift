import Foundation
import Glibc
import MQTTWire
import Testing

@testable import Load

/// The generator against Debian's mosquitto, in memory.
@Suite("Load run", .serialized, .timeLimit(.minutes(2)))
struct LoadRunTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var qos: QoS
        var version: ProtocolVersion
        var rate: Double?
        var testDescription: String {
            "QoS \(qos.rawValue), level \(version.rawValue), " + (rate.map { "\(Int($0))/s" } ?? "flat out")
        }
    }

    static let cases = [
        Case(qos: .atLeastOnce, version: .v311, rate: nil),
        Case(qos: .exactlyOnce, version: .v5, rate: nil),
        Case(qos: .atMostOnce, version: .v311, rate: nil),
        Case(qos: .atLeastOnce, version: .v5, rate: 3_000),
        Case(qos: .exactlyOnce, version: .v311, rate: 3_000),
        Case(qos: .atMostOnce, version: .v5, rate: 3_000),
    ]

    @Test(
        "every message is acknowledged, at each QoS, in both versions, flat out and on schedule",
        .enabled(if: MosquittoProcess.isInstalled, MosquittoProcess.missing), arguments: cases)
    func clean(which: Case) throws {
        let broker = try MosquittoProcess()
        defer { broker.stop() }
        var plan = LoadPlan()
        plan.port = broker.port
        plan.connections = 20
        plan.window = 10
        plan.qos = which.qos
        plan.version = which.version
        plan.rate = which.rate
        plan.sendNanoseconds = which.rate == nil ? 400_000_000 : 2_000_000_000
        plan.observedProcess = broker.processIdentifier
        let result = try LoadRunner(plan).run()
        #expect(result.isClean, "\(result)")
        #expect(result.firstError == nil)
        #expect(result.messages == result.sent)
        #expect(result.observedSeconds != nil)
        if which.rate != nil {
            #expect(result.messages == 6_000)
            #expect(result.seconds > 1.9)
        } else {
            #expect(result.messages > 20)
        }
        #expect((result.latency == nil) == (which.qos == .atMostOnce))
        if let latency = result.latency {
            #expect(latency.p50 > 0)
            #expect(latency.p50 <= latency.p90 && latency.p90 <= latency.p99)
            #expect(latency.p999 <= latency.max)
        }
    }

    @Test(
        "a subscriber of the broker gets as many messages as the run counts, each with an id of its own",
        .enabled(if: MosquittoProcess.isInstalled && MosquittoProcess.hasClients, MosquittoProcess.missing))
    func endToEnd() throws {
        let broker = try MosquittoProcess()
        defer { broker.stop() }
        // A session that keeps what is published while its client is away.
        _ = try broker.subscriber(["-E"])
        var plan = LoadPlan()
        plan.port = broker.port
        plan.connections = 5
        plan.messagesMax = 2_000
        let result = try LoadRunner(plan).run()
        #expect(result.messages == 2_000)
        let lines = try broker.subscriber(["-C", "2000", "-W", "20"]).split(separator: "\n")
        #expect(lines.count == 2_000)
        #expect(Set(lines.compactMap { $0.split(separator: "\"").dropFirst(3).first }).count == 2_000)
    }

    @Test(
        "a count ends the run after exactly so many messages",
        .enabled(if: MosquittoProcess.isInstalled, MosquittoProcess.missing), arguments: [nil, 100_000.0])
    func counted(rate: Double?) throws {
        let broker = try MosquittoProcess()
        defer { broker.stop() }
        var plan = LoadPlan()
        plan.port = broker.port
        plan.connections = 7
        plan.messagesMax = 1_001
        plan.rate = rate
        let result = try LoadRunner(plan).run()
        #expect(result.messages == 1_001)
        #expect(result.isClean)
    }

    @Test("nobody listening: cannot connect, and the error says where")
    func nobody() throws {
        var plan = LoadPlan()
        plan.port = try MosquittoProcess.freePort()
        plan.connections = 3
        #expect {
            _ = try LoadRunner(plan).run()
        } throws: { error in
            guard case LoadError.cannotConnect(let address, let explanation)? = error as? LoadError else {
                return false
            }
            return address == "127.0.0.1:\(plan.port)" && explanation.contains("refused")
        }
    }

    @Test(
        "a broker that stops answering leaves messages unacknowledged and unsent, all of them counted",
        .enabled(if: MosquittoProcess.isInstalled, MosquittoProcess.missing))
    func stalled() throws {
        let broker = try MosquittoProcess()
        defer { broker.stop() }
        var plan = LoadPlan()
        plan.port = broker.port
        plan.connections = 4
        plan.window = 5
        plan.rate = 1_000
        plan.sendNanoseconds = 2_000_000_000
        plan.drainNanoseconds = 300_000_000
        let shell = try broker.disturb("sleep 0.3; kill -STOP")
        let result = try LoadRunner(plan).run()
        shell.waitUntilExit()
        #expect(!result.isClean)
        #expect(result.unacknowledged > 0)
        #expect(result.unsent > 0)
        #expect(result.messages + result.unacknowledged + result.unsent == 2_000)
    }

    @Test(
        "a stall shows in every message that was due in it, not only in those on the way",
        .enabled(if: MosquittoProcess.isInstalled, MosquittoProcess.missing))
    func openLoop() throws {
        let broker = try MosquittoProcess()
        defer { broker.stop() }
        var plan = LoadPlan()
        plan.port = broker.port
        plan.connections = 4
        plan.window = 1
        plan.rate = 1_000
        plan.sendNanoseconds = 3_000_000_000
        // A third of the time, so a third of the messages wait, up to a second.
        let shell = try broker.disturb("sleep 0.3; kill -STOP", "sleep 1; kill -CONT")
        let result = try LoadRunner(plan).run()
        shell.waitUntilExit()
        #expect(result.isClean, "\(result)")
        #expect(result.messages == 3_000)
        let latency = try #require(result.latency)
        #expect(latency.max > 800_000_000)
        #expect(latency.p90 > 300_000_000)
        #expect(latency.p50 < 500_000_000)
    }
}

/// Debian's mosquitto on a free loopback port, for as long as the object lives.
final class MosquittoProcess {
    static let path = "/usr/sbin/mosquitto"
    static let isInstalled = FileManager.default.isExecutableFile(atPath: path)
    static let clientPath = "/usr/bin/mosquitto_sub"
    static let hasClients = FileManager.default.isExecutableFile(atPath: clientPath)
    static let missing: Comment = "skipped: needs mosquitto and mosquitto-clients"

    struct Failure: Error, CustomStringConvertible { var description: String }

    let port: UInt16
    private let process = Process()
    private let configuration: URL

    var processIdentifier: Int32 { process.processIdentifier }

    init() throws {
        port = try Self.freePort()
        configuration = FileManager.default.temporaryDirectory.appending(path: "load-\(port).conf")
        let lines = [
            "listener \(port) 127.0.0.1", "allow_anonymous true", "persistence false", "log_dest none",
            "max_inflight_messages 0", "max_queued_messages 0",
        ]
        try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: configuration)
        process.executableURL = URL(filePath: Self.path)
        process.arguments = ["-c", configuration.path]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        for _ in 0..<1_000 {
            if Self.isOpen(port) { return }
            poll(nil, 0, 10)
        }
        throw Failure(description: "mosquitto did not open port \(port)")
    }

    /// Ends it at once. Called explicitly: an object may go away after its last use, before the run ends.
    func stop() {
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        try? FileManager.default.removeItem(at: configuration)
    }

    /// Sends signals after a while, from a shell: the run under test holds the thread of the test.
    func disturb(_ commands: String...) throws -> Process {
        let shell = Process()
        shell.executableURL = URL(filePath: "/bin/sh")
        shell.arguments = ["-c", commands.map { "\($0) \(processIdentifier)" }.joined(separator: "; ")]
        try shell.run()
        return shell
    }

    /// What a subscriber with a lasting session prints until it ends by itself.
    func subscriber(_ options: [String]) throws -> String {
        let client = Process()
        let output = Pipe()
        client.executableURL = URL(filePath: Self.clientPath)
        client.arguments = ["-p", "\(port)", "-i", "listener", "-c", "-q", "1", "-t", "devices/#"] + options
        client.standardOutput = output
        try client.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        client.waitUntilExit()
        return String(decoding: data, as: UTF8.self)
    }

    /// A loopback port that was free a moment ago.
    static func freePort() throws -> UInt16 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = loopback(port: 0)
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) == 0 && getsockname(descriptor, $0, &size) == 0
            }
        }
        guard isBound else { throw Failure(description: "no free port: errno \(errno)") }
        return UInt16(bigEndian: address.sin_port)
    }

    private static func isOpen(_ port: UInt16) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = loopback(port: port)
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }

    private static func loopback(port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return address
    }
}
