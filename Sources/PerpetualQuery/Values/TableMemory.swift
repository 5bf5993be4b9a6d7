#if canImport(Glibc)
    import Glibc
#endif

/// Memory of tables that are looked into all over.
///
/// Of a large one the system is asked for large pages: a look into it then seldom has to wait for the page's address,
/// and the first look into each part costs a five-hundredth of the faults. Whoever takes memory frees it with
/// `deallocate`.
enum TableMemory {
    private static let largePageBytes = 1 << 21

    /// Not initialized. It begins a cache line.
    static func allocate(byteCount: Int) -> UnsafeMutableRawPointer {
        guard byteCount >= largePageBytes else { return .allocate(byteCount: byteCount, alignment: 64) }
        let memory = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: largePageBytes)
        #if canImport(Glibc)
            // Advice: what the system makes of it does not matter.
            _ = madvise(memory, byteCount, MADV_HUGEPAGE)
        #endif
        return memory
    }

    static func allocate<Element>(_ count: Int, of type: Element.Type) -> UnsafeMutablePointer<Element> {
        allocate(byteCount: count * MemoryLayout<Element>.stride).bindMemory(to: type, capacity: count)
    }
}
