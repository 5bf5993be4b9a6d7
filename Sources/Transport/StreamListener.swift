import CPlatform
import Glibc

/// A listening TCP socket.
///
/// `Sendable`: the descriptor never changes; `close` is called once, by the thread that accepts.
package final class StreamListener: Sendable {
    enum Accepted {
        case connection(Int32)
        case nothing
        /// No descriptors or memory: trying again at once would spin.
        case exhausted
    }

    let descriptor: Int32
    /// The port it has: the one asked for, or the system's choice for 0.
    package let port: Int

    /// Binds and listens.
    ///
    /// - Parameters:
    ///   - host: a name or an address; IPv4 first where a name has both.
    ///   - port: 0 for any free one.
    /// - Throws: what the system says, `SocketError.code` its errno.
    package init(host: String, port: Int) throws(SocketError) {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_PASSIVE
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, String(port), &hints, &list)
        guard code == 0, let first = list else {
            let text = gai_strerror(code).map { String(cString: $0) } ?? "code \(code)"
            throw SocketError(operation: "look up \(host)", code: 0, message: text)
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
        descriptor = try Self.listen(chosen.pointee)
        self.port = Self.port(of: descriptor) ?? port
    }

    private static func listen(_ address: addrinfo) throws(SocketError) -> Int32 {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(address.ai_family, kind, 0)
        guard descriptor >= 0 else { throw SocketError.last("make a socket") }
        var one: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, size)
        // Inherited by what is accepted: an answer must not wait for the acknowledgement of the one before.
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, size)
        guard bind(descriptor, address.ai_addr, address.ai_addrlen) == 0,
            Glibc.listen(descriptor, 4_096) == 0
        else {
            let error = SocketError.last("listen")
            Glibc.close(descriptor)
            throw error
        }
        return descriptor
    }

    private static func port(of descriptor: Int32) -> Int? {
        var storage = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
        }
        guard result == 0 else { return nil }
        // The port stands at the same place in both families, in network order.
        return withUnsafeBytes(of: &storage) { Int($0[2]) << 8 | Int($0[3]) }
    }

    func accept() -> Accepted {
        while true {
            let accepted = headend_accept(descriptor)
            if accepted >= 0 { return .connection(accepted) }
            switch errno {
            case EAGAIN: return .nothing
            // The peer is gone already, or its network (accept(2), "Error handling"): the next one may be there.
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTDOWN, EHOSTUNREACH, ENONET, EPERM:
                continue
            default: return .exhausted
            }
        }
    }

    /// Gives the port back.
    package func close() { Glibc.close(descriptor) }
}

/// A system call on sockets that failed.
package struct SocketError: Error, Sendable, CustomStringConvertible {
    package var operation: String
    /// errno; 0 where there was none.
    package var code: Int32
    package var message: String

    package var description: String { "cannot \(operation): \(message)" }

    static func last(_ operation: String) -> SocketError {
        let code = errno
        let text = strerror(code).map { String(cString: $0) } ?? "errno \(code)"
        return SocketError(operation: operation, code: code, message: text)
    }
}
