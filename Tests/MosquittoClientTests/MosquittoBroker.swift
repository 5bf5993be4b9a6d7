import Foundation
import Glibc
import Testing

/// A real mosquitto on a free loopback port, for as long as the object lives.
final class MosquittoBroker {
    static let path = "/usr/sbin/mosquitto"
    static let isInstalled = FileManager.default.isExecutableFile(atPath: path)
    static let missing: Comment = "skipped: needs mosquitto"

    let port: UInt16
    private let directory: URL
    private let extra: [String]
    private var process: Process?

    /// - Parameter extra: lines of configuration after the listener's.
    init(extra: [String] = [], files: [String: Data] = [:]) throws {
        port = try FreePort.find()
        self.extra = extra
        directory = FileManager.default.temporaryDirectory.appending(path: "mosquitto-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        for (name, data) in files { try data.write(to: directory.appending(path: name)) }
        try start()
    }

    deinit {
        stop()
        try? FileManager.default.removeItem(at: directory)
    }

    /// Starts it, again perhaps, and returns when it accepts connections.
    func start() throws {
        let lines =
            [
                "user root", "listener \(port) 127.0.0.1", "allow_anonymous true", "log_dest none",
                "max_queued_messages 0",
            ] + extra.map { $0.replacingOccurrences(of: "{directory}", with: directory.path) }
        let configuration = directory.appending(path: "mosquitto.conf")
        try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: configuration)
        let process = Process()
        process.executableURL = URL(filePath: Self.path)
        process.arguments = ["-c", configuration.path]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        self.process = process
        for _ in 0..<1_000 {
            if FreePort.isOpen(port) { return }
            poll(nil, 0, 10)
        }
        throw FreePort.Failure(description: "mosquitto did not open port \(port)")
    }

    /// Ends it at once, with every connection and all it remembers.
    func stop() {
        guard let process else { return }
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        process.waitUntilExit()
        self.process = nil
    }
}

enum FreePort {
    struct Failure: Error, CustomStringConvertible { var description: String }

    /// A loopback port that was free a moment ago.
    static func find() throws -> UInt16 {
        let (descriptor, port) = try listener(backlog: nil)
        close(descriptor)
        return port
    }

    /// A bound socket and its port; it listens when `backlog` is given.
    static func listener(backlog: Int32?) throws -> (descriptor: Int32, port: UInt16) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = loopback(port: 0)
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(descriptor, generic, size) == 0 && getsockname(descriptor, generic, &size) == 0
            }
        }
        guard bound, backlog.map({ listen(descriptor, $0) == 0 }) ?? true else {
            throw Failure(description: "no free port: errno \(errno)")
        }
        return (descriptor, UInt16(bigEndian: address.sin_port))
    }

    static func isOpen(_ port: UInt16) -> Bool {
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
