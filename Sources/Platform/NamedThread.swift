import CPlatform
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// A thread with a name, for the blocking work that must stay off the cooperative pool: disk syncs, the query,
/// C libraries. The body runs once; `join()` waits for it.
package final class NamedThread: Sendable {
    private let handle: Mutex<pthread_t?>

    /// - Parameters:
    ///   - name: shown by `top -H`; the kernel keeps 15 bytes.
    ///   - isBackground: its work can wait: other threads go first when the processors are busy.
    package init(_ name: String, isBackground: Bool = false, _ body: @escaping @Sendable () -> Void) {
        let box = Unmanaged.passRetained(Body(name: name, isBackground: isBackground, run: body))
        var thread = pthread_t()
        let result = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                let body = Unmanaged<Body>.fromOpaque(argument).takeRetainedValue()
                headend_name_thread(String(body.name.prefix(15)))
                if body.isBackground { headend_lower_thread_priority() }
                body.run()
                return nil
            }, box.toOpaque())
        precondition(result == 0, "the system refused a thread")
        handle = Mutex(thread)
    }

    /// Returns when the body has returned; a second call returns at once.
    package func join() {
        let thread = handle.withLock { stored in
            defer { stored = nil }
            return stored
        }
        if let thread { pthread_join(thread, nil) }
    }

    private final class Body: Sendable {
        let name: String
        let isBackground: Bool
        let run: @Sendable () -> Void
        init(name: String, isBackground: Bool, run: @escaping @Sendable () -> Void) {
            self.name = name
            self.isBackground = isBackground
            self.run = run
        }
    }
}

/// A lock with a condition: threads wait for a predicate over the guarded state instead of sleeping.
///
/// `@unchecked Sendable`: `state` is touched under `mutex` only.
package final class Monitor<State>: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var state: State

    package init(_ state: sending State) {
        self.state = state
        pthread_mutex_init(mutex, nil)
        #if canImport(Glibc)
            var attributes = pthread_condattr_t()
            pthread_condattr_init(&attributes)
            pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
            pthread_cond_init(condition, &attributes)
            pthread_condattr_destroy(&attributes)
        #else
            pthread_cond_init(condition, nil)
        #endif
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Runs `body` with the lock held; it must not block.
    package func withLock<Result>(_ body: (inout State) throws -> Result) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&state)
    }

    /// As `withLock`, then wakes every waiter.
    package func update<Result>(_ body: (inout State) throws -> Result) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer {
            pthread_cond_broadcast(condition)
            pthread_mutex_unlock(mutex)
        }
        return try body(&state)
    }

    /// Waits until `ready` holds or the time is over, then runs `body` with the lock still held.
    ///
    /// - Parameter timeoutNanoseconds: nil waits for ever.
    package func wait<Result>(
        timeoutNanoseconds: UInt64? = nil, until ready: (inout State) -> Bool,
        then body: (inout State) throws -> Result
    ) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        if let timeoutNanoseconds {
            var deadline = timespec()
            #if canImport(Glibc)
                clock_gettime(CLOCK_MONOTONIC, &deadline)
            #else
                clock_gettime(CLOCK_REALTIME, &deadline)
            #endif
            let total = UInt64(deadline.tv_nsec) + timeoutNanoseconds % 1_000_000_000
            deadline.tv_sec += Int(timeoutNanoseconds / 1_000_000_000 + total / 1_000_000_000)
            deadline.tv_nsec = Int(total % 1_000_000_000)
            while !ready(&state) {
                if pthread_cond_timedwait(condition, mutex, &deadline) != 0 { break }
            }
        } else {
            while !ready(&state) { pthread_cond_wait(condition, mutex) }
        }
        return try body(&state)
    }
}
