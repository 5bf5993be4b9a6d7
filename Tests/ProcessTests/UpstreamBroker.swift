import Foundation

/// Debian's mosquitto as the broker that people have already: it keeps its sessions over a stop.
final class UpstreamBroker {
    let port: UInt16
    private let directory: TemporaryDirectory
    private var process: ChildProcess?
    private var starts = 0

    /// - Parameter extra: lines of its configuration; `{directory}` is its folder.
    init(_ extra: [String] = ["allow_anonymous true"], files: [String: String] = [:]) throws {
        directory = try TemporaryDirectory()
        port = try RawSocket.freePort()
        for (name, text) in files { try directory.write(name, text) }
        let lines =
            [
                "user root", "listener \(port) 127.0.0.1", "persistence true",
                "persistence_location \(directory.path)/", "max_queued_messages 0", "log_dest stderr",
            ] + extra.map { $0.replacingOccurrences(of: "{directory}", with: directory.path) }
        try directory.write("mosquitto.conf", lines.joined(separator: "\n") + "\n")
        try start()
    }

    deinit { process?.kill() }

    var url: String { "mqtt://127.0.0.1:\(port)" }

    func start() throws {
        starts += 1
        let child = try ChildProcess(
            Programs.broker, ["-c", directory.path + "/mosquitto.conf"], directory: directory.path,
            label: "broker-\(starts)")
        let isOpen = poll(seconds: 10) { (try? RawSocket(port: port)) == nil ? nil : true }
        guard isOpen != nil else { throw ProcessFailure(description: "no broker: \(child.transcript)") }
        process = child
    }

    /// Ends it in order: what it holds for sessions is on its disk.
    func stop() throws {
        process?.signal(SIGTERM)
        try process?.wait(seconds: 10)
        process = nil
    }

    /// `mosquitto_sub` on it, with its subscriptions when this returns.
    func subscriber(_ filter: String, options: [String] = []) throws -> TopicWitness {
        try TopicWitness(port: port, filter: filter, options: options)
    }

    func publish(_ topic: String, _ body: String, _ options: [String] = ["-q", "1"]) throws -> Ended {
        try run(Programs.publisher, ["-h", "127.0.0.1", "-p", "\(port)", "-t", topic, "-m", body] + options)
    }
}

/// A `mosquitto_sub` that writes down what comes, until it goes.
final class TopicWitness {
    private let directory: TemporaryDirectory
    private let process: ChildProcess

    init(port: UInt16, filter: String, options: [String] = []) throws {
        directory = try TemporaryDirectory()
        process = try ChildProcess(
            // By line also into a file, or its SUBACK would be heard of at its end.
            "/usr/bin/stdbuf",
            [
                "-oL", Programs.subscriber, "-h", "127.0.0.1", "-p", "\(port)", "-d", "-q", "1", "-t", filter,
                "-F",
                "message %t %r %p",
            ] + options, directory: directory.path, label: "witness")
        // -d tells of the SUBACK on standard output.
        let isSubscribed = poll(seconds: 10) { process.output.contains("Subscribed") ? true : nil }
        guard isSubscribed != nil else {
            throw ProcessFailure(description: "no subscription to \(filter): \(process.transcript)")
        }
    }

    deinit { process.kill() }

    /// `topic retained payload`, a line a message.
    var lines: [String] {
        process.output.split(separator: "\n").filter { $0.hasPrefix("message ") }.map {
            String($0.dropFirst(8))
        }
    }

    /// Waits until a message is there.
    func has(_ line: String, seconds: Double = 20) -> Bool {
        poll(seconds: seconds) { lines.contains(line) ? true : nil } ?? false
    }
}
