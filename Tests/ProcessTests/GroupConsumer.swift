import Foundation
import Glibc
import Platform
import Testing

extension HubProcess {
    /// A request with any method, and what came back; nil when nothing did.
    static func request(
        _ method: String, _ path: String, _ body: String = "", port: UInt16, seconds: Double = 20
    ) -> (status: Int, text: String)? {
        guard let socket = try? RawSocket(port: port) else { return nil }
        socket.send(
            Array(
                ("\(method) \(path) HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n"
                    + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)").utf8))
        let reply = String(decoding: socket.receiveUntilClosed(seconds: seconds).bytes, as: UTF8.self)
        guard reply.hasPrefix("HTTP/1.1 "), let status = Int(reply.dropFirst(9).prefix(3)),
            let blank = reply.range(of: "\r\n\r\n")
        else { return nil }
        return (status, String(reply[blank.upperBound...]))
    }

    func request(_ method: String, _ path: String, _ body: String = "") throws -> (status: Int, text: String)
    {
        try #require(Self.request(method, path, body, port: httpPort), "\(method) \(path): no answer")
    }

    func group(_ name: String) throws -> [String: Any] { try object("/api/v1/groups/\(name)") }

    /// Stores readings `from`…`to` of a device.
    func store(_ device: String, _ numbers: ClosedRange<Int>) throws {
        for number in numbers {
            let sent = try run(
                Programs.publisher,
                [
                    "-h", "127.0.0.1", "-p", "\(mqttPort)", "-q", "1", "-t", "devices/\(device)/telemetry",
                    "-m",
                    #"{"id":"\#(device):\#(number)","value":\#(number)}"#,
                ])
            #expect(sent.status == 0, "\(sent.transcript)")
        }
    }
}

/// A record as a group's answer has it.
struct GroupRecordLine: Decodable, Sendable {
    var device: String
    var sequence: Int
    var delivery: Int
    var commit: String

    var key: String { "\(device) \(sequence)" }
}

struct GroupAnswer: Decodable {
    var session: String
    var commit: String?
    var records: [GroupRecordLine]
}

/// What all consumers of a test know together.
struct GroupLedger {
    var delivered: Set<String> = []
    /// The hub has said that they are committed.
    var committed: Set<String> = []
    /// What must not happen.
    var violations: [String] = []
    var isStopping = false
    var crashes = 0
}

/// A consumer over HTTP that now and then forgets what it has, as if it were killed, and comes back.
final class GroupConsumer: Sendable {
    private let ledger: Monitor<GroupLedger>
    private let thread: Monitor<NamedThread?>

    init(_ name: String, group: String, port: UInt16, seed: UInt64, ledger: Monitor<GroupLedger>) {
        self.ledger = ledger
        thread = Monitor(nil)
        let started = NamedThread("consumer") {
            var generator = SeededGenerator(state: seed)
            while !ledger.withLock({ $0.isStopping }) {
                Self.turn(name, group, port, ledger, &generator)
            }
        }
        thread.update { $0 = started }
    }

    func join() { thread.withLock { $0 }?.join() }

    private static func turn(
        _ name: String, _ group: String, _ port: UInt16, _ ledger: Monitor<GroupLedger>,
        _ generator: inout SeededGenerator
    ) {
        let path = "/api/v1/groups/\(group)"
        guard
            let reply = HubProcess.request(
                "POST", "\(path)/fetch?member=\(name)&max=50&wait=200ms&lease=1s", port: port, seconds: 5),
            reply.status == 200,
            let answer = try? JSONDecoder().decode(GroupAnswer.self, from: Data(reply.text.utf8))
        else {
            poll(nil, 0, 10)
            return
        }
        ledger.update { ledger in
            var last: [String: Int] = [:]
            for record in answer.records {
                if ledger.committed.contains(record.key) {
                    ledger.violations.append("\(record.key) again after its commit")
                }
                if let before = last[record.device], record.sequence != before + 1 {
                    ledger.violations.append("\(record.key) behind \(before)")
                }
                last[record.device] = record.sequence
                ledger.delivered.insert(record.key)
            }
        }
        guard !answer.records.isEmpty else { return }
        if UInt8.random(in: 0..<10, using: &generator) == 0 {
            ledger.update { $0.crashes += 1 }
            return
        }
        let count = Int.random(in: 1...answer.records.count, using: &generator)
        let token = answer.records[count - 1].commit
        let done = HubProcess.request(
            "POST", "\(path)/commit", #"{"member":"\#(name)","commit":"\#(token)"}"#, port: port, seconds: 5)
        if done?.status == 204 {
            ledger.update { $0.committed.formUnion(answer.records.prefix(count).map(\.key)) }
        }
    }
}
