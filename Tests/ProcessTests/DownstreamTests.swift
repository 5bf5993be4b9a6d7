import Foundation
import Glibc
import Testing

@Suite("Results on another broker", .ownThread, .timeLimit(.minutes(5)))
struct DownstreamTests {
    @Test(
        "Each row arrives, the same under its _rid, with the broker away and the hub killed between"
    )
    func brokerAwayHubKilled() throws {
        guard Programs.areInstalled(Programs.broker, Programs.publisher, Programs.subscriber) else { return }
        let broker = try Broker()
        try broker.makeInbox()
        let hub = try HubProcess(["--downstream", "mqtt://127.0.0.1:\(broker.port)/site-7"])
        // One time for all, so that all rows are of one minute.
        let now = epochMilliseconds()
        for device in 1...25 {
            let body = #"{"id":"1","ts":\#(now),"a":\#(device),"b":0.5,"c":-3,"d":12345678}"#
            #expect(try ClientTests.publish(hub, "devices/down-\(device)/telemetry", body).status == 0)
        }
        let isClosed = try poll(seconds: 150) { try offered(hub) >= 100 ? true : nil }
        #expect(isClosed != nil, "no rows after 150 s: \(hub.transcript)")
        #expect(try hub.status()["stored"] as? Int == 25)
        hub.kill()
        try hub.start()
        try broker.start()
        let inbox = try broker.readInbox()
        let hasFirst = poll(seconds: 60) { inbox.output.contains("\n") ? true : nil }
        #expect(hasFirst != nil, "nothing arrived within 60 s: \(hub.transcript)")
        hub.kill()
        try hub.start()
        let files = try ResultRows.read(hub.data + "/results/minute")
        #expect(Set(files.map(\.rid)).count == 100)
        let hasAll = try poll(seconds: 60) { try received(inbox).count >= files.count ? true : nil }
        #expect(hasAll != nil, "rows are missing: \(hub.transcript)")
        let isEmpty = try poll(seconds: 20) { try outbox(hub) == 0 ? true : nil }
        #expect(isEmpty != nil, "the outbox does not drain")
        let rows = try received(inbox)
        for row in files { #expect(rows[row.rid] == [row.text], "\(row.key)") }
        #expect(rows.count == files.count)
        #expect(try hub.stop() == 0, "\(hub.transcript)")
    }

    private func sink(_ hub: HubProcess) throws -> [String: Any] {
        let sinks = try #require(try hub.status()["sinks"] as? [[String: Any]])
        return try #require(
            sinks.first { ($0["name"] as? String)?.hasPrefix("downstream") == true },
            "no downstream: \(sinks)")
    }

    private func offered(_ hub: HubProcess) throws -> Int { try sink(hub)["offered"] as? Int ?? 0 }
    private func outbox(_ hub: HubProcess) throws -> Int { try sink(hub)["outbox"] as? Int ?? 0 }

    /// Every text that came under a rid; the topic must be the row's.
    private func received(_ inbox: ChildProcess) throws -> [String: Set<String>] {
        var rows: [String: Set<String>] = [:]
        // The last piece may be half a line still.
        for line in inbox.output.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            let parts = line.split(separator: " ", maxSplits: 1)
            try #require(parts.count == 2, "\(line)")
            let row = try ResultRow(parts[1])
            let names = row.key.split(separator: " ")
            #expect(parts[0] == "site-7/headend/minute/\(names[0])/\(names[1])")
            rows[row.rid, default: []].insert(row.text)
        }
        return rows
    }
}

/// Debian's mosquitto, which keeps the inbox of a subscriber that is away, over its own absences too.
private final class Broker {
    let port: UInt16
    private let directory: TemporaryDirectory
    private var process: ChildProcess?
    private var starts = 0

    init() throws {
        directory = try TemporaryDirectory()
        port = try RawSocket.freePort()
        try directory.write(
            "mosquitto.conf",
            """
            user root
            listener \(port) 127.0.0.1
            allow_anonymous true
            persistence true
            persistence_location \(directory.path)/
            max_queued_messages 0
            log_dest stderr

            """)
    }

    deinit { process?.kill() }

    func start() throws {
        starts += 1
        let child = try ChildProcess(
            Programs.broker, ["-c", directory.path + "/mosquitto.conf"], directory: directory.path,
            label: "broker-\(starts)")
        let isOpen = poll(seconds: 10) { (try? RawSocket(port: port)) == nil ? nil : true }
        guard isOpen != nil else { throw ProcessFailure(description: "no broker: \(child.transcript)") }
        process = child
    }

    /// Subscribes once, and leaves with the broker: what is sent from then on waits for `readInbox`.
    func makeInbox() throws {
        try start()
        let ended = try run(Programs.subscriber, words + ["-E"])
        #expect(ended.status == 0, "\(ended.transcript)")
        process?.signal(SIGTERM)
        try process?.wait(seconds: 10)
    }

    func readInbox() throws -> ChildProcess {
        try ChildProcess(
            Programs.subscriber, words + ["-F", "%t %p"], directory: directory.path, label: "inbox")
    }

    private var words: [String] {
        ["-h", "127.0.0.1", "-p", "\(port)", "-c", "-i", "inbox", "-q", "1", "-t", "site-7/#"]
    }
}
