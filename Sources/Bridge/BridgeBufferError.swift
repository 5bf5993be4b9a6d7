package import Platform

/// Why the buffer of a bridge cannot be used.
package enum BridgeBufferError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The disk refused; `isRetriable` tells whether it is worth trying again.
    case file(FileError)
    /// The bytes are not what was written: an operator decides.
    case damaged(path: String, offset: UInt64, advice: String)
    /// Written by a newer program.
    case newerFormat(path: String, version: UInt16)

    package var description: String {
        switch self {
        case .file(let error): error.description
        case .damaged(let path, let offset, let advice): "\(path): damaged at byte \(offset); \(advice)"
        case .newerFormat(let path, let version):
            "\(path): format \(version) is newer than this program's; use the newer program"
        }
    }

    /// No room: goes on by itself when there is some.
    package var isRetriable: Bool {
        if case .file(let error) = self { return error.kind == .full }
        return false
    }
}

/// Runs file calls with the error in the buffer's own terms.
func onDisk<Value>(_ body: () throws(FileError) -> Value) throws(BridgeBufferError) -> Value {
    do throws(FileError) { return try body() } catch { throw .file(error) }
}
