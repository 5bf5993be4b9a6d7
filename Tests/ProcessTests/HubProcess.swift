import Foundation
import Glibc
import Testing

/// The real hub in a process of its own, on free ports and a data directory that goes with the object.
final class HubProcess {
    let directory: TemporaryDirectory
    let data: String
    /// The ports it was given; kept over `kill` and `start`.
    private(set) var mqttPort: UInt16 = 0
    private(set) var httpPort: UInt16 = 0
    /// What every start has said on standard error.
    private(set) var errors = ""
    private let options: [String]
    private let openFilesMax: Int?
    private var process: ChildProcess?
    private var starts = 0

    /// Starts it and returns when it is ready.
    ///
    /// - Parameters:
    ///   - options: after those for data and listeners.
    ///   - configuration: the text of a file for `--config`.
    ///   - openFilesMax: how many descriptors the system gives it; nil for as many as the test has.
    init(_ options: [String] = [], configuration: String? = nil, openFilesMax: Int? = nil) throws {
        let directory = try TemporaryDirectory()
        self.directory = directory
        data = directory.path + "/data"
        let file = try configuration.map { ["--config", try directory.write("hub.yaml", $0)] }
        self.options = options + (file ?? [])
        self.openFilesMax = openFilesMax
        try start()
    }

    deinit { process?.kill() }

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
        let arguments =
            [
                "serve", "--data", data, "--mqtt", "127.0.0.1:\(mqttPort)", "--http", "127.0.0.1:\(httpPort)",
            ] + options
        let label = "hub-\(starts)"
        guard let openFilesMax else {
            return try ChildProcess(Programs.headend, arguments, directory: directory.path, label: label)
        }
        let limited = ["-c", "ulimit -n \(openFilesMax); exec \"$0\" \"$@\"", Programs.headend]
        return try ChildProcess("/bin/sh", limited + arguments, directory: directory.path, label: label)
    }

    private func port(_ name: String, _ output: String) throws -> UInt16 {
        let start = "listening \(name) 127.0.0.1:"
        let line = try #require(
            output.split(separator: "\n").first { $0.hasPrefix(start) }, "no line: \(start)")
        return try #require(UInt16(line.dropFirst(start.count)), "no port in: \(line)")
    }

    /// SIGKILL.
    func kill() {
        process?.kill()
        errors += process?.errorOutput ?? ""
        process = nil
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

    // MARK: HTTP

    func get(_ path: String) throws -> Data {
        let socket = try RawSocket(port: httpPort)
        socket.send(Array("GET \(path) HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n".utf8))
        let reply = socket.receiveUntilClosed(seconds: 20).bytes
        let text = String(decoding: reply, as: UTF8.self)
        guard text.hasPrefix("HTTP/1.1 200"), let blank = text.range(of: "\r\n\r\n") else {
            throw ProcessFailure(description: "GET \(path): \(text.prefix(200))")
        }
        return Data(text[blank.upperBound...].utf8)
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
