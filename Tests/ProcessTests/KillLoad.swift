import Foundation
import Glibc
import MosquittoClient
import Platform
import Testing

/// What one sender has to show at the end.
struct Sent {
    var device: String
    /// Messages 1…count were sent, in this order.
    var count: Int
    /// Those the hub acknowledged.
    var acked: [Int]
}

/// What every sender sends; the text is there to fill segments.
func reading(_ device: String, _ number: Int) -> String {
    #"{"id":"\#(device):\#(number)","ts":\#(epochMilliseconds()),"value":\#(number),"text":"\#(filling)"}"#
}

private let filling = String(repeating: "x", count: 250)

/// A device on libmosquitto that sends, keeps a window of 20, and comes back whenever it is cut off.
///
/// `@unchecked Sendable`: confined to the loop's thread but for `state`, which is locked.
final class LibraryDevice: @unchecked Sendable {
    struct State {
        var isStopping = false
        var isDrained = false
        var count = 0
        var acked: [Int] = []
        var refused: [String] = []
    }

    static let window = 20
    let name: String
    let state = Monitor(State())
    private let client: MosquittoClient
    private let loop: MosquittoLoop
    private let qos: UInt8
    private var underWay: [Int32: Int] = [:]

    init(_ name: String, loop: MosquittoLoop, version: MosquittoVersion, qos: UInt8, port: UInt16) throws {
        self.name = name
        self.loop = loop
        self.qos = qos
        client = try MosquittoClient(
            loop: loop, identifier: name, cleanStart: false, version: version, sessionExpirySeconds: 3_600,
            inflightMax: UInt16(Self.window))
        loop.perform { self.begin(port) }
    }

    private func begin(_ port: UInt16) {
        client.reconnects = true
        client.backoff = MosquittoBackoff(initial: .milliseconds(20), maximum: .milliseconds(50))
        client.onPublished = { [unowned self] identifier, reason in
            let number = underWay.removeValue(forKey: identifier)
            state.update {
                if reason >= 128 { $0.refused.append("\(name):\(number ?? 0): reason \(reason)") }
                if reason < 128, let number { $0.acked.append(number) }
            }
            topUp()
        }
        client.onConnect = { [unowned self] _, _ in topUp() }
        do { try client.connect(host: "127.0.0.1", port: port) } catch { refuse(error) }
        turn()
    }

    /// A little load at a time: this is about moments, not about speed.
    private func turn() {
        topUp()
        let isStopping = state.withLock { $0.isStopping }
        if isStopping, underWay.isEmpty {
            client.disconnect()
            state.update { $0.isDrained = true }
            return
        }
        loop.schedule(after: .milliseconds(10)) { self.turn() }
    }

    private func topUp() {
        guard !state.withLock({ $0.isStopping }) else { return }
        while client.isConnected, underWay.count < Self.window / 2 {
            let number = state.withLock { $0.count } + 1
            do {
                let identifier = try client.publish(
                    topic: "devices/\(name)/telemetry", payload: Array(reading(name, number).utf8), qos: qos)
                underWay[identifier] = number
                state.update { $0.count = number }
            } catch {
                refuse(error)
                return
            }
        }
    }

    private func refuse(_ error: MosquittoError) { state.update { $0.refused.append("\(name): \(error)") } }

    func stop() { state.update { $0.isStopping = true } }

    func drained(seconds: UInt64) throws -> Sent {
        let end = state.wait(
            timeoutNanoseconds: seconds * 1_000_000_000, until: { $0.isDrained }, then: { $0 })
        #expect(end.isDrained, "\(name): \(end.count - end.acked.count) messages were never acknowledged")
        #expect(end.refused == [])
        return Sent(device: name, count: end.count, acked: end.acked)
    }
}

/// A device that is a `mosquitto_pub` for every message: status 0 means acknowledged, else the same id again.
final class CommandDevice: Sendable {
    struct State {
        var isStopping = false
        var acked: [Int] = []
        var failure: String?
    }

    let name: String
    let state = Monitor(State())
    private let thread = Monitor<NamedThread?>(nil)

    init(_ name: String, options: [String], port: UInt16) {
        self.name = name
        let state = state
        let started = NamedThread("mosquitto_pub") {
            var number = 0
            while !state.withLock({ $0.isStopping }) {
                number += 1
                let words =
                    ["-h", "127.0.0.1", "-p", "\(port)", "-t", "devices/\(name)/telemetry"]
                    + ["-m", reading(name, number)] + options
                let end = monotonicSeconds() + 60
                // A kill may leave it waiting for an answer; it is not its end that counts but its status.
                while (try? run(Programs.publisher, words, seconds: 3))?.status != 0 {
                    guard monotonicSeconds() < end else {
                        let lost = number
                        state.update { $0.failure = "\(name): message \(lost) was never acknowledged" }
                        return
                    }
                    poll(nil, 0, 10)
                }
                let acked = number
                state.update { $0.acked.append(acked) }
            }
        }
        thread.update { $0 = started }
    }

    func stop() { state.update { $0.isStopping = true } }

    func drained() -> Sent {
        thread.withLock { $0 }?.join()
        let end = state.withLock { $0 }
        #expect(end.failure == nil)
        return Sent(device: name, count: end.acked.count, acked: end.acked)
    }
}

/// A device that is Scripts/paho_publisher.py.
final class PahoDevice {
    let name: String
    private let directory: String
    private let process: ChildProcess

    init(_ name: String, version: String, qos: Int, hub: HubProcess) throws {
        self.name = name
        directory = hub.directory.path
        process = try ChildProcess(
            Programs.python,
            [
                try Programs.script("paho_publisher"), "\(hub.mqttPort)", version, "\(qos)", name,
                "\(directory)/\(name).acked", "\(directory)/stop",
            ], directory: directory, label: name)
    }

    var acked: [Int] {
        let text = (try? String(contentsOfFile: "\(directory)/\(name).acked", encoding: .utf8)) ?? ""
        return text.split(separator: "\n").compactMap { Int($0) }
    }

    func stop() throws { try Data().write(to: URL(filePath: directory + "/stop")) }

    func drained() throws -> Sent {
        let status = try process.wait(seconds: 90)
        #expect(status == 0, "\(process.transcript)")
        let count = try #require(
            Int(process.output.split(separator: "\n").last ?? ""), "\(process.transcript)")
        return Sent(device: name, count: count, acked: acked)
    }
}

/// Repeatable random numbers (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var bits = state
        bits = (bits ^ (bits >> 30)) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ (bits >> 27)) &* 0x94D0_49BB_1331_11EB
        return bits ^ (bits >> 31)
    }
}
