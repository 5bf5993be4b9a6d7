#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Small numbers for the names of outputs as they come by, in the order they first came. A query has few, and rows
/// of one output mostly come together.
package struct OutputNumbers {
    private var names: [[UInt8]] = []
    private var latest = 0

    package init() {}

    /// The number of an output; one that never came gets the next.
    package mutating func number(of name: UnsafeRawBufferPointer) -> Int {
        if latest < names.count, isName(latest, name) { return latest }
        latest = names.indices.first { isName($0, name) } ?? names.count
        if latest == names.count { names.append(Array(name)) }
        return latest
    }

    private func isName(_ number: Int, _ name: UnsafeRawBufferPointer) -> Bool {
        names[number].withUnsafeBytes { isEqual($0, name) }
    }
}

/// Whether two pieces of memory hold the same bytes.
package func isEqual(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
    guard left.count == right.count else { return false }
    guard let a = left.baseAddress, let b = right.baseAddress else { return true }
    return memcmp(a, b, left.count) == 0
}
