import Foundation
import Glibc
import Testing

/// A disk of a few megabytes: a tmpfs in a mount namespace of its own, which goes with the process that holds
/// it. Programs started with `launcher` see it at `path`; the test looks at it through `outsidePath`.
final class SmallDisk {
    private static let unshare = "/usr/bin/unshare"
    private static let enter = "/usr/bin/nsenter"
    private let directory: TemporaryDirectory
    private let holder: ChildProcess
    let path: String
    let launcher: [String]

    var outsidePath: String { "/proc/\(holder.identifier)/root" + path }
    private var ballast: String { outsidePath + "/ballast" }

    /// - Returns: nil, with a line that says so, when this machine lets us mount nothing.
    init?(megabytes: Int) throws {
        guard Programs.areInstalled(Self.unshare, Self.enter) else { return nil }
        directory = try TemporaryDirectory()
        path = directory.path + "/disk"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        let isRoot = geteuid() == 0
        let script =
            "mount -t tmpfs -o size=\(megabytes)m headend-test '\(path)' && echo ready && exec sleep 900"
        holder = try ChildProcess(
            Self.unshare,
            (isRoot ? [] : ["--user", "--map-root-user"])
                + ["--mount", "--propagation", "private", "/bin/sh", "-c", script],
            directory: directory.path, label: "disk")
        launcher =
            [Self.enter, "--target", "\(holder.identifier)"]
            + (isRoot ? [] : ["--user", "--preserve-credentials"]) + ["--mount", "--"]
        let holder = holder
        let isMounted = poll(seconds: 10) { () -> Bool? in
            if holder.output.contains("ready") { return true }
            return holder.exitStatus == nil ? nil : false
        }
        guard isMounted == true else {
            print("skipped: needs root or user namespaces to mount a tmpfs (\(holder.errorOutput))")
            return nil
        }
    }

    /// Leaves no more than `bytesLeft` free.
    func fill(bytesLeft: Int = 0) throws {
        let file = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw ProcessFailure(description: "cannot write \(ballast)") }
        defer { close(file) }
        lseek(file, 0, SEEK_END)
        let zeros = [UInt8](repeating: 0, count: 1 << 16)
        while bytesFree > bytesLeft, write(file, zeros, zeros.count) > 0 {}
        // The last page or so.
        if bytesLeft == 0 { while write(file, zeros, 512) > 0 {} }
    }

    /// Makes room again.
    func empty() { unlink(ballast) }

    var bytesFree: Int {
        var state = statvfs()
        return statvfs(outsidePath, &state) == 0 ? Int(state.f_bavail) * Int(state.f_frsize) : 0
    }
}
