import Hub

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// The exit statuses that scripts may rely on.
enum ExitStatus: Int32 {
    case success = 0
    /// The check failed.
    case failed = 1
    /// Usage or input error.
    case usage = 2
    /// Port in use, disk, missing file.
    case environment = 3
}

/// An error that ends the command: one line and an exit status.
struct Failure: Error {
    var status: ExitStatus
    var message: String

    static func input(_ message: String) -> Failure { Failure(status: .usage, message: message) }
    /// The environment's fault, unless the error says itself that it is the input's.
    static func environment(_ error: any Error) -> Failure {
        if let failure = error as? Failure { return failure }
        let isInput = (error as? HubError)?.isInput ?? false
        return Failure(status: isInput ? .usage : .environment, message: String(describing: error))
    }
}

/// Lines to standard output and standard error, unbuffered by line even into a pipe.
enum Console {
    static let isTerminal = isatty(1) == 1

    static func line(_ text: String) { write(text + "\n", to: 1) }
    /// Text to standard output; false when it cannot be written, for whom that matters.
    static func write(_ text: String) -> Bool { write(text, to: 1) }
    static func raw(_ text: String) { write(text, to: 1) }
    static func error(_ text: String) {
        write((text.hasPrefix("error:") || text.hasPrefix("Error:") ? "" : "error: ") + text + "\n", to: 2)
    }
    /// Text to standard error, without an end of line.
    static func prompt(_ text: String) { write(text, to: 2) }
    static func note(_ text: String) { write(text + "\n", to: 2) }

    @discardableResult
    private static func write(_ text: String, to descriptor: Int32) -> Bool {
        var copy = text
        return copy.withUTF8 { bytes in
            var done = 0
            while done < bytes.count {
                guard let base = bytes.baseAddress else { return true }
                #if canImport(Glibc)
                    let count = Glibc.write(descriptor, base + done, bytes.count - done)
                #else
                    let count = Darwin.write(descriptor, base + done, bytes.count - done)
                #endif
                if count < 0 {
                    if errno == EINTR { continue }
                    return false
                }
                done += count
            }
            return true
        }
    }
}
