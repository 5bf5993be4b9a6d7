import Foundation
import Glibc
import Testing

/// The real hub in a process of its own, on free ports and a data directory that goes with the object.
final class HubProcess {
    let directory: TemporaryDirectory
    let data: String
    private let kept: TemporaryDirectory?
    /// The ports it was given; kept over `kill` and `start`.
    private(set) var mqttPort: UInt16 = 0
    private(set) var httpPort: UInt16 = 0
    /// What every start has said on standard error.
    private(set) var errors = ""
    private let options: [String]
    private let launcher: [String]
    private var process: ChildProcess?
    private var starts = 0

    /// Starts it and returns when it is ready.
    ///
    /// - Parameters:
    ///   - options: after those for data and listeners.
    ///   - configuration: the text of a file for `--config`.
    ///   - data: the data directory; one that goes with the object when nil.
    ///   - launcher: a program that becomes the hub (`FaultyDisk`, `SmallDisk`), with its arguments.
    ///   - openFilesMax: how many descriptors the system gives it; nil for as many as the test has.
    ///   - kept: another folder that goes with the object: where `data` is.
    init(
        _ options: [String] = [], configuration: String? = nil, data: String? = nil, launcher: [String] = [],
        openFilesMax: Int? = nil, kept: TemporaryDirectory? = nil
    ) throws {
        self.kept = kept
        let directory = try TemporaryDirectory()
        self.directory = directory
        self.data = data ?? directory.path + "/data"
        let limit = openFilesMax.map { ["/bin/sh", "-c", "ulimit -n \($0); exec \"$0\" \"$@\""] }
        self.launcher = launcher + (limit ?? [])
        let file = try configuration.map { ["--config", try directory.write("hub.yaml", $0)] }
        self.options = options + (file ?? [])
        try start()
    }

    deinit { process?.kill() }

    /// 0 when it does not run.
    var processIdentifier: pid_t { process?.identifier ?? 0 }
    var isRunning: Bool { process.map { $0.exitStatus == nil } ?? false }
    var transcript: String { errors + (process?.transcript ?? "") }
    var url: String { "http://127.0.0.1:\(httpPort)" }

    /// Starts it again, on the ports it had.
    func start() throws {
        // A connection that some program opens while the hub is down may have been given the hub's port.
        for _ in 0..<50 {
            let child = try launch()
            let isReady = poll(seconds: 30) { () -> Bool? in
                if child.output.contains("ready\n") { return true }
                return child.exitStatus == nil ? nil : false
            }
            guard let isReady else {
                throw ProcessFailure(description: "the hub was not ready within 30 s: \(child.transcript)")
            }
            if isReady {
                process = child
                mqttPort = try port("mqtt", child.output)
                httpPort = try port("http", child.output)
                return
            }
            guard child.exitStatus == 3, starts > 1, child.errorOutput.contains("in use") else {
                throw ProcessFailure(description: "the hub ended: \(child.transcript)")
            }
            Glibc.poll(nil, 0, 50)
        }
        throw ProcessFailure(description: "port \(mqttPort) or \(httpPort) stays in use")
    }

    private func launch() throws -> ChildProcess {
        starts += 1
        let words =
            launcher + [
                Programs.headend, "serve", "--data", data, "--mqtt", "127.0.0.1:\(mqttPort)", "--http",
                "127.0.0.1:\(httpPort)",
            ] + options
        return try ChildProcess(
            words[0], Array(words[1...]), directory: directory.path, label: "hub-\(starts)")
    }

    /// The addresses of one kind of listener, in the order of the configuration.
    func listeners(_ kind: String) -> [String] {
        (process?.output ?? "").split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            return words.count == 3 && words[0] == "listening" && words[1] == kind ? String(words[2]) : nil
        }
    }

    private func port(_ name: String, _ output: String) throws -> UInt16 {
        let start = "listening \(name) 127.0.0.1:"
        let line = try #require(
            output.split(separator: "\n").first { $0.hasPrefix(start) }, "no line: \(start)")
        return try #require(UInt16(line.dropFirst(start.count)), "no port in: \(line)")
    }

    /// The port of another listener: mqtts, ws, wss.
    func port(of listener: String) throws -> UInt16 { try port(listener, process?.output ?? "") }

    /// SIGHUP.
    func reload() { process?.signal(SIGHUP) }

    /// SIGKILL.
    func kill() {
        process?.kill()
        errors += process?.errorOutput ?? ""
        process = nil
    }

    /// Starts it again and kills it at some moment, whether it is ready by then or not.
    func startAndKill(at moment: () -> Void) throws {
        let child = try launch()
        moment()
        child.kill()
        errors += child.errorOutput
    }

    /// SIGTERM; the exit status, which must come within 10 s.
    func stop() throws -> Int32 {
        let child = try #require(process, "the hub does not run")
        child.signal(SIGTERM)
        let status = try child.wait(seconds: 10)
        errors += child.errorOutput
        process = nil
        return status
    }

    /// What the running hub has said on standard error.
    var errorOutput: String { process?.errorOutput ?? "" }

    /// Memory of the process that is in RAM, of this moment.
    var residentBytes: Int {
        let path = "/proc/\(process?.identifier ?? 0)/status"
        let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("VmRSS:") } ?? ""
        return line.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 * 1_024 } ?? 0
    }

    // MARK: HTTP

    func get(_ path: String) throws -> Data {
        let reply = try answer(path)
        guard reply.status == 200 else {
            throw ProcessFailure(description: "GET \(path): \(reply.status) \(reply.body.prefix(200))")
        }
        return Data(reply.body.utf8)
    }

    /// The answer to a GET, whatever its status.
    func answer(_ path: String) throws -> (status: Int, body: String) {
        let socket = try RawSocket(port: httpPort)
        socket.send(Array("GET \(path) HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n".utf8))
        let text = String(decoding: socket.receiveUntilClosed(seconds: 20).bytes, as: UTF8.self)
        guard text.hasPrefix("HTTP/1.1 "), let status = Int(text.dropFirst(9).prefix(3)),
            let blank = text.range(of: "\r\n\r\n")
        else { throw ProcessFailure(description: "GET \(path): \(text.prefix(200))") }
        return (status, String(text[blank.upperBound...]))
    }

    /// The answer to a GET, for failure messages.
    func text(_ path: String) -> String { (try? answer(path))?.body ?? "no answer to \(path)" }

    /// Whether the hub says it is ready, and its reasons when it is not.
    func readiness() throws -> (isReady: Bool, problems: String) {
        let reply = try answer("/readyz")
        return (reply.status == 200, reply.body)
    }

    func object(_ path: String) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: try get(path)) as? [String: Any])
    }

    func array(_ path: String) throws -> [[String: Any]] {
        try #require(try JSONSerialization.jsonObject(with: try get(path)) as? [[String: Any]])
    }

    func object(_ path: String, at index: Int) throws -> [String: Any] {
        let all = try array(path)
        return try #require(
            all.indices.contains(index) ? all[index] : nil, "\(path) has \(all.count) entries")
    }

    func status() throws -> [String: Any] { try object("/api/v1/status") }

    /// Up to where the per-minute query has closed its windows, ISO 8601, nil at first.
    func completeThrough() throws -> String? {
        try object("/api/v1/queries", at: 0)["completeThrough"] as? String
    }
}
