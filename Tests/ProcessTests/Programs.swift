import Foundation
import Testing

/// The programs that these tests start.
enum Programs {
    /// The product: what HEADEND_BINARY names, else the one built with these tests.
    static let headend: String = {
        if let path = ProcessInfo.processInfo.environment["HEADEND_BINARY"] { return path }
        let tests = URL(filePath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        var folder = tests.deletingLastPathComponent()
        // The test bundle is a file beside the product on Linux and a folder on other systems.
        for _ in 0..<4 {
            let candidate = folder.appending(path: "headend").path
            if FileManager.default.isExecutableFile(atPath: candidate) { return candidate }
            folder = folder.deletingLastPathComponent()
        }
        return tests.deletingLastPathComponent().appending(path: "headend").path
    }()

    static let publisher = "/usr/bin/mosquitto_pub"
    static let subscriber = "/usr/bin/mosquitto_sub"
    static let requester = "/usr/bin/mosquitto_rr"
    static let node = "/usr/bin/node"
    static let compiler = "/usr/bin/cc"
    static let openssl = "/usr/bin/openssl"
    static let broker = "/usr/sbin/mosquitto"
    /// The interpreter that `scripts/bootstrap --with-tests` gives paho-mqtt.
    static let python = repository.appending(path: ".build-python/bin/python3").path

    static let repository = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    static func script(_ name: String, extension kind: String = "py") throws -> String {
        try #require(
            Bundle.module.url(forResource: name, withExtension: kind, subdirectory: "Scripts"),
            "the script \(name).\(kind) is not in the test bundle"
        ).path
    }

    /// False, with a line that says so, when a foreign client is not installed.
    static func areInstalled(_ paths: String...) -> Bool {
        let missing = paths.filter { !FileManager.default.isExecutableFile(atPath: $0) }
        if !missing.isEmpty {
            print("skipped: needs \(missing.joined(separator: ", ")) (scripts/bootstrap --with-tests)")
        }
        return missing.isEmpty
    }
}

/// Runs each test on a thread of its own: these tests wait for other processes, and blocked threads of the
/// cooperative pool (as many as processors) would make them run one after the other.
struct OwnThread: TestTrait, SuiteTrait, TestScoping {
    var isRecursive: Bool { true }

    @concurrent
    func provideScope(
        for test: Test, testCase: Test.Case?,
        performing function: @Sendable @concurrent () async throws -> Void
    ) async throws {
        try await withTaskExecutorPreference(ThreadPerJob()) { try await function() }
    }

    private final class ThreadPerJob: TaskExecutor {
        func enqueue(_ job: consuming ExecutorJob) {
            let job = UnownedJob(job)
            let thread = Thread { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
            thread.stackSize = 8 << 20
            thread.start()
        }
    }
}

extension Trait where Self == OwnThread {
    static var ownThread: OwnThread { OwnThread() }
}
