import Foundation
import Glibc

/// A failure of the fixture itself, with what the process had said by then.
struct ProcessFailure: Error, CustomStringConvertible {
    var description: String
}

/// A program that runs beside the test, with its output in files.
///
/// Not Foundation's `Process`: a child must inherit none of the test's sockets, or a connection that a test
/// cuts would live on in whatever was started meanwhile.
final class ChildProcess {
    let name: String
    let identifier: pid_t
    private let outputPath: String
    private let errorPath: String
    private var status: Int32?

    /// - Parameters:
    ///   - directory: where `<label>.out` and `<label>.err` are written.
    init(_ path: String, _ arguments: [String], directory: String, label: String) throws {
        name = URL(filePath: path).lastPathComponent
        outputPath = directory + "/" + label + ".out"
        errorPath = directory + "/" + label + ".err"
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        let flags = O_WRONLY | O_CREAT | O_TRUNC
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, outputPath, flags, 0o644)
        posix_spawn_file_actions_addopen(&actions, 2, errorPath, flags, 0o644)
        // Closing what is not open is no error here.
        for descriptor in Int32(3)..<512 { posix_spawn_file_actions_addclose(&actions, descriptor) }
        // The thread that runs the test may block signals, and a child inherits that.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var noSignals = sigset_t()
        sigemptyset(&noSignals)
        posix_spawnattr_setsigmask(&attributes, &noSignals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var words: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) }
        words.append(nil)
        defer { for word in words { free(word) } }
        var child: pid_t = 0
        let code = posix_spawn(&child, path, &actions, &attributes, words, environ)
        guard code == 0 else {
            throw ProcessFailure(description: "cannot start \(path): \(String(cString: strerror(code)))")
        }
        identifier = child
    }

    deinit { if status == nil { kill() } }

    var output: String { (try? String(contentsOfFile: outputPath, encoding: .utf8)) ?? "" }
    var errorOutput: String { (try? String(contentsOfFile: errorPath, encoding: .utf8)) ?? "" }
    /// For failure messages.
    var transcript: String { "\(name):\n\(output)\(errorOutput)" }

    /// The exit status once it has ended, minus the signal's number when a signal ended it.
    var exitStatus: Int32? {
        if let status { return status }
        var raw: Int32 = 0
        guard waitpid(identifier, &raw, WNOHANG) == identifier else { return nil }
        status = Self.decode(raw)
        return status
    }

    /// - Throws: when it has not ended after so many seconds; it is killed then.
    @discardableResult
    func wait(seconds: Double = 20) throws -> Int32 {
        if let status = poll(seconds: seconds, { exitStatus }) { return status }
        kill()
        throw ProcessFailure(description: "\(name) did not end within \(seconds) s. \(transcript)")
    }

    func signal(_ number: Int32) { if exitStatus == nil { Glibc.kill(identifier, number) } }

    /// SIGKILL, and waits for the end.
    func kill() {
        signal(SIGKILL)
        guard status == nil else { return }
        var raw: Int32 = 0
        while waitpid(identifier, &raw, 0) < 0, errno == EINTR {}
        status = Self.decode(raw)
    }

    private static func decode(_ raw: Int32) -> Int32 {
        let number = raw & 0x7F
        return number == 0 ? (raw >> 8) & 0xFF : -number
    }
}

/// Looks every few milliseconds until there is an answer: for states of other processes, which send no event.
///
/// - Returns: nil when there was none within `seconds`.
func poll<Answer>(seconds: Double, _ look: () throws -> Answer?) rethrows -> Answer? {
    let end = monotonicSeconds() + seconds
    while true {
        if let answer = try look() { return answer }
        guard monotonicSeconds() < end else { return nil }
        Glibc.poll(nil, 0, 5)
    }
}

func monotonicSeconds() -> Double {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
}

/// Milliseconds since the epoch, as devices write them into `ts`.
func epochMilliseconds() -> Int {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return now.tv_sec * 1_000 + now.tv_nsec / 1_000_000
}

/// A folder that goes with the object.
final class TemporaryDirectory {
    let path: String

    init() throws {
        var template = Array((FileManager.default.temporaryDirectory.path + "/headend-XXXXXX").utf8CString)
        guard let made = mkdtemp(&template) else {
            throw ProcessFailure(description: "no temporary directory: \(String(cString: strerror(errno)))")
        }
        path = String(cString: made)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file, and the folders above it.
    @discardableResult
    func write(_ name: String, _ text: String) throws -> String {
        let url = URL(filePath: path + "/" + name)
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: url)
        return url.path
    }
}

/// What a program that ran to its end left.
struct Ended {
    var status: Int32
    var output: String
    var error: String
    /// For failure messages.
    var transcript: String { "status \(status)\n\(output)\(error)" }
}

/// Runs a program to its end.
@discardableResult
func run(_ path: String, _ arguments: [String], seconds: Double = 20) throws -> Ended {
    let directory = try TemporaryDirectory()
    let child = try ChildProcess(path, arguments, directory: directory.path, label: "run")
    let status = try child.wait(seconds: seconds)
    return Ended(status: status, output: child.output, error: child.errorOutput)
}
