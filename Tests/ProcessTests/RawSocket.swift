import Glibc

/// A TCP connection to a loopback port, for bytes that no client library would send.
final class RawSocket {
    private let descriptor: Int32

    /// - Parameter receiveBytes: of the kernel's buffer, for one that soon has no room; its usual size when nil.
    init(port: UInt16, receiveBytes: Int32? = nil) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        if var receiveBytes {
            setsockopt(
                descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBytes, socklen_t(MemoryLayout<Int32>.size))
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let code = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard code == 0 else {
            let reason = String(cString: strerror(errno))
            close(descriptor)
            throw ProcessFailure(description: "cannot connect to 127.0.0.1:\(port): \(reason)")
        }
    }

    deinit { close(descriptor) }

    /// Sends everything; a peer that has closed is no error here, what it answers is looked at.
    func send(_ bytes: [UInt8]) {
        var done = 0
        while done < bytes.count {
            let count = bytes[done...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return }
            done += count
        }
    }

    /// Sends what the peer takes without being waited for longer than that.
    ///
    /// - Returns: how many bytes it took.
    @discardableResult
    func send(upTo bytes: [UInt8], from start: Int, seconds: Double) -> Int {
        var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        guard start < bytes.count, Glibc.poll(&request, 1, Int32(seconds * 1_000)) > 0 else { return 0 }
        let count = bytes[start...].withUnsafeBytes {
            Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
        }
        return max(count, 0)
    }

    /// One read: what is there, or comes in time.
    func receive(upTo count: Int, seconds: Double) -> [UInt8] {
        var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard Glibc.poll(&request, 1, Int32(seconds * 1_000)) > 0 else { return [] }
        var bytes = [UInt8](repeating: 0, count: count)
        return Array(bytes[..<max(recv(descriptor, &bytes, count, 0), 0)])
    }

    /// What comes until there is at least `count`, the peer closes, or the time is over.
    func receive(count: Int, seconds: Double = 10) -> [UInt8] {
        collect(seconds: seconds) { $0.count >= count }.bytes
    }

    /// - Returns: what came, and whether the peer closed in time.
    func receiveUntilClosed(seconds: Double = 10) -> (bytes: [UInt8], isClosed: Bool) {
        collect(seconds: seconds) { _ in false }
    }

    private func collect(
        seconds: Double, _ isEnough: ([UInt8]) -> Bool
    ) -> (bytes: [UInt8], isClosed: Bool) {
        let end = monotonicSeconds() + seconds
        var all: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while !isEnough(all) {
            let left = end - monotonicSeconds()
            guard left > 0 else { return (all, false) }
            var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard Glibc.poll(&request, 1, Int32(left * 1_000) + 1) > 0 else { continue }
            let count = recv(descriptor, &chunk, chunk.count, 0)
            // A reset is an end too: the peer closed with bytes of ours unread.
            if count <= 0 { return (all, true) }
            all.append(contentsOf: chunk[..<count])
        }
        return (all, false)
    }
}

extension RawSocket {
    /// A loopback port that was free a moment ago, for programs that cannot choose one themselves.
    static func freePort() throws -> UInt16 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) == 0 && getsockname(descriptor, $0, &size) == 0
            }
        }
        guard isBound else { throw ProcessFailure(description: "no free port") }
        return UInt16(bigEndian: address.sin_port)
    }
}
