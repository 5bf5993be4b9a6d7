import CEpoll
import Glibc

/// The system calls of the generator, with their results in a form that a loop can switch over.
enum LoadSocket {
    enum Transfer {
        case bytes(Int)
        /// Nothing now; the kernel will say when.
        case blocked
        /// The peer or the system ended the connection; `errno`, 0 when the peer closed it.
        case ended(Int32)
    }

    /// An address to connect to.
    struct Address {
        fileprivate var storage: sockaddr_storage
        fileprivate var byteCount: socklen_t
    }

    /// Looks a host up once; IPv4 first, which is what `localhost` most often means.
    static func resolve(host: String, port: UInt16) throws(LoadError) -> Address {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, String(port), &hints, &list)
        guard code == 0, let first = list else {
            let text = gai_strerror(code).map { String(cString: $0) } ?? "code \(code)"
            throw .cannotConnect(address: "\(host):\(port)", explanation: "\(text); check the host's name")
        }
        defer { freeaddrinfo(list) }
        var chosen = first
        var next: UnsafeMutablePointer<addrinfo>? = first
        while let entry = next {
            if entry.pointee.ai_family == AF_INET {
                chosen = entry
                break
            }
            next = entry.pointee.ai_next
        }
        var address = Address(storage: sockaddr_storage(), byteCount: chosen.pointee.ai_addrlen)
        withUnsafeMutableBytes(of: &address.storage) { target in
            let source = UnsafeRawBufferPointer(
                start: chosen.pointee.ai_addr, count: min(Int(chosen.pointee.ai_addrlen), target.count))
            target.copyMemory(from: source)
        }
        return address
    }

    /// Starts a connection; the kernel reports the socket writable when it stands or has failed.
    static func connect(to address: Address) -> Result<Int32, SystemError> {
        var address = address
        let descriptor = socket(
            Int32(address.storage.ss_family),
            Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return .failure(SystemError(code: errno)) }
        var one: Int32 = 1
        // Without it a small message waits for the acknowledgement of the one before.
        setsockopt(
            descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        let result = withUnsafePointer(to: &address.storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, address.byteCount)
            }
        }
        guard result == 0 || errno == EINPROGRESS else {
            let code = errno
            close(descriptor)
            return .failure(SystemError(code: code))
        }
        return .success(descriptor)
    }

    /// The error a connection attempt ended with; 0 when it stands.
    static func pendingError(_ descriptor: Int32) -> Int32 {
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size) == 0 else { return errno }
        return code
    }

    /// Guard: `bytes` points to at least `count` bytes.
    static func send(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Transfer {
        while true {
            let sent = Glibc.send(descriptor, bytes, count, Int32(MSG_NOSIGNAL))
            if sent >= 0 { return .bytes(sent) }
            if errno == EINTR { continue }
            return errno == EAGAIN ? .blocked : .ended(errno)
        }
    }

    /// Guard: `bytes` points to at least `count` bytes, and `count` is not 0.
    static func receive(_ descriptor: Int32, _ bytes: UnsafeMutableRawPointer, _ count: Int) -> Transfer {
        while true {
            let received = recv(descriptor, bytes, count, 0)
            if received > 0 { return .bytes(received) }
            if received == 0 { return .ended(0) }
            if errno == EINTR { continue }
            return errno == EAGAIN ? .blocked : .ended(errno)
        }
    }

    static func register(
        _ epoll: Int32, _ operation: Int32, _ descriptor: Int32, mark: Int, wantsWrite: Bool
    ) {
        var event = epoll_event()
        event.events = EPOLLIN.rawValue | (wantsWrite ? EPOLLOUT.rawValue : 0)
        event.data.u64 = UInt64(mark)
        epoll_ctl(epoll, operation, descriptor, &event)
    }

    /// Waits for events, with a timeout finer than a millisecond where the kernel has one (5.11).
    ///
    /// Guard: `events` has room for `count`.
    static func wait(
        _ epoll: Int32, _ events: UnsafeMutablePointer<epoll_event>, _ count: Int, nanoseconds: UInt64
    ) -> Int {
        var timeout = timespec(
            tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
        var ready = epoll_pwait2(epoll, events, Int32(count), &timeout, nil)
        if ready < 0, errno == ENOSYS || errno == EPERM {
            ready = epoll_wait(
                epoll, events, Int32(count), Int32(clamping: (nanoseconds + 999_999) / 1_000_000))
        }
        return max(0, Int(ready))
    }

    /// The CPU time of a process, user and system, in seconds; nil when it is gone or not ours to read.
    static func processorSeconds(of process: Int32) -> Double? {
        let descriptor = open("/proc/\(process)/stat", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 1_024)
        let count = read(descriptor, &buffer, buffer.count)
        // The name in parentheses may hold spaces: the fields that count stand after the last parenthesis.
        guard count > 0, let end = buffer[..<count].lastIndex(of: UInt8(ascii: ")")) else { return nil }
        let fields = buffer[(end + 1)..<count].split(separator: UInt8(ascii: " "))
        guard fields.count > 12, let user = Double(String(decoding: fields[11], as: UTF8.self)),
            let system = Double(String(decoding: fields[12], as: UTF8.self))
        else { return nil }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// The CPU time of this process, user and system, in seconds.
    static func ownProcessorSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}

/// An `errno` with its text.
struct SystemError: Error, CustomStringConvertible {
    var code: Int32

    var description: String {
        guard code != 0 else { return "the broker closed the connection" }
        return strerror(code).map { String(cString: $0) } ?? "errno \(code)"
    }
}
