import Platform
import Testing

/// What callbacks left behind, with a bounded wait for more.
final class Inbox<Element: Sendable>: Sendable {
    private let contents = Monitor([Element]())

    func append(_ element: Element) { contents.update { $0.append(element) } }

    var all: [Element] { contents.withLock { $0 } }

    /// Waits until the condition holds; after `seconds` it returns what there is, and expectations judge
    /// that.
    @discardableResult
    func wait(seconds: UInt64 = 20, until ready: ([Element]) -> Bool) -> [Element] {
        contents.wait(timeoutNanoseconds: seconds * 1_000_000_000, until: { ready($0) }, then: { $0 })
    }

    @discardableResult
    func wait(count: Int, seconds: UInt64 = 20) -> [Element] { wait(seconds: seconds) { $0.count >= count } }
}
