import Glibc

/// Thousands of MQTT connections in one thread, which send bursts and count what they are owed.
final class Crowd {
    private struct Member {
        var descriptor: Int32
        /// Bytes still to send, from `sent` on.
        var output: [UInt8] = []
        var sent = 0
        /// Bytes still to come: every answer here has four.
        var expected = 0
        /// When the last of them came.
        var answered = 0.0
        var isClosed = false
    }

    private var members: [Member] = []
    private var requests: [pollfd] = []
    private var chunk = [UInt8](repeating: 0, count: 4_096)

    var count: Int { members.count }
    /// Connections that the hub has closed.
    var closedCount: Int { members.count { $0.isClosed } }

    /// Connects and waits for every CONNACK.
    init(count: Int, port: UInt16) throws {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        for number in 0..<count {
            let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
            let descriptor = socket(AF_INET, type, 0)
            let code = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            guard descriptor >= 0, code == 0 else {
                throw ProcessFailure(description: "connection \(number): \(String(cString: strerror(errno)))")
            }
            _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
            members.append(Member(descriptor: descriptor))
            requests.append(pollfd(fd: descriptor, events: 0, revents: 0))
        }
        let late = exchange(seconds: 60) { number in (MQTTPackets.connect("crowd-\(number)"), 1) }
        guard late.missing == 0 else {
            throw ProcessFailure(description: "\(late.missing) of \(count) connections got no CONNACK")
        }
    }

    deinit { for member in members { close(member.descriptor) } }

    /// Every connection sends, and all wait for what they are owed.
    ///
    /// - Parameter say: bytes to send and answers owed, of a connection's number.
    /// - Returns: seconds until the quickest and the slowest had all its answers, and how many connections did not.
    func exchange(
        seconds: Double, _ say: (Int) -> (bytes: [UInt8], answers: Int)
    ) -> (first: Double, last: Double, missing: Int) {
        for index in members.indices {
            let (bytes, answers) = say(index)
            members[index].output = bytes
            members[index].sent = 0
            members[index].expected = answers * 4
        }
        let start = monotonicSeconds()
        var waiting = members.count
        while waiting > 0, monotonicSeconds() < start + seconds {
            waiting = 0
            for index in members.indices {
                let member = members[index]
                let isSending = member.sent < member.output.count
                let isWaiting = (isSending || member.expected > 0) && !member.isClosed
                if isWaiting { waiting += 1 }
                requests[index].events = Int16(isSending ? POLLIN | POLLOUT : POLLIN)
                requests[index].fd = isWaiting ? member.descriptor : -1
            }
            guard waiting > 0, poll(&requests, nfds_t(requests.count), 100) > 0 else { continue }
            for index in requests.indices where requests[index].revents != 0 { serve(index) }
        }
        let times = members.map { $0.answered - start }
        return (times.min() ?? 0, times.max() ?? 0, members.count { $0.expected > 0 || $0.isClosed })
    }

    private func serve(_ index: Int) {
        let descriptor = members[index].descriptor
        if Int32(requests[index].revents) & ~POLLOUT != 0 {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count > 0 {
                members[index].expected -= count
                if members[index].expected <= 0 { members[index].answered = monotonicSeconds() }
            } else if count == 0 || errno != EAGAIN {
                members[index].isClosed = true
            }
        }
        let member = members[index]
        guard member.sent < member.output.count else { return }
        let count = member.output[member.sent...].withUnsafeBytes {
            send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        if count > 0 { members[index].sent += count }
    }
}
