import Foundation
import Glibc
import Testing

/// A disk that is slow or fails, and a clock that steps, at the test's word, for a hub that is started with `launcher`: a small library
/// in front of libc (Scripts/disk_faults.c), compiled here.
///
/// `@unchecked Sendable`: the words are shared with another process and only touched one whole word at a time.
final class FaultyDisk: @unchecked Sendable {
    private enum Word: Int {
        case syncError, syncMicroseconds, writeError, syncCalls, writeCalls, failedCalls, callsLeft,
            clockSeconds
    }

    private static let compiler = "/usr/bin/cc"
    private static let wordCount = 9
    private let directory: TemporaryDirectory
    private let words: UnsafeMutablePointer<Int64>
    private let path: String

    /// - Parameter path: only files whose paths contain it are touched; all when nil.
    /// - Returns: nil, with a line that says so, when there is no C compiler.
    init?(path: String = "/") throws {
        guard Programs.areInstalled(Self.compiler) else { return nil }
        self.path = path
        directory = try TemporaryDirectory()
        let source = try Programs.script("disk_faults", extension: "c")
        let library = directory.path + "/disk_faults.so"
        let built = try run(
            Self.compiler, ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, source, "-ldl"],
            seconds: 60)
        guard built.status == 0 else { throw ProcessFailure(description: built.transcript) }
        let file = open(directory.path + "/words", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        let byteCount = Self.wordCount * 8
        guard file >= 0, ftruncate(file, byteCount) == 0,
            let memory = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0),
            memory != MAP_FAILED
        else { throw ProcessFailure(description: "cannot map \(directory.path)/words") }
        close(file)
        words = memory.bindMemory(to: Int64.self, capacity: Self.wordCount)
    }

    deinit { munmap(words, Self.wordCount * 8) }

    /// What a program is started with so that this is its disk.
    var launcher: [String] {
        [
            "/usr/bin/env", "LD_PRELOAD=\(directory.path)/disk_faults.so",
            "DISK_FAULTS=\(directory.path)/words", "DISK_FAULTS_PATH=\(path)",
        ]
    }

    /// What every sync answers: an errno, 0 for none.
    func failSyncs(_ code: Int32) { words[Word.syncError.rawValue] = Int64(code) }
    /// What every write answers: an errno, 0 for none.
    func failWrites(_ code: Int32) { words[Word.writeError.rawValue] = Int64(code) }
    /// How much longer every sync takes.
    func delaySyncs(milliseconds: Int) { words[Word.syncMicroseconds.rawValue] = Int64(milliseconds) * 1_000 }

    /// SIGKILL at the n-th write, sync or rename from now, which is not made any more.
    func kill(atCall number: Int) { words[Word.callsLeft.rawValue] = Int64(number) }
    /// How far the program's wall clock is from the real one.
    func moveClock(seconds: Int) { words[Word.clockSeconds.rawValue] = Int64(seconds) }

    /// Calls that came through here; 0 means the program does not go through libc and nothing is tested.
    var syncCalls: Int { Int(words[Word.syncCalls.rawValue]) }
    var writeCalls: Int { Int(words[Word.writeCalls.rawValue]) }
    var failedCalls: Int { Int(words[Word.failedCalls.rawValue]) }
}
