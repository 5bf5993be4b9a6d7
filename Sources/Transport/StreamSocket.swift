import CEpoll
import Glibc

/// What a socket's bytes go to; every call comes on the socket's thread.
package protocol SocketHandler: AnyObject {
    /// Bytes have come.
    ///
    /// - Returns: how many were used; the rest is kept and comes again with more behind it.
    func receive(_ bytes: UnsafeRawBufferPointer, now: UInt64) -> Int
    /// Whether more bytes are wanted now; after "no" only `StreamSocket.resumeReading` asks again.
    var mayRead: Bool { get }
    /// After `StreamSocket.send` took less than everything: it takes more now.
    func canSend()
    /// The peer or the network ended the connection.
    func closed()
}

/// A TCP connection on an `EventThread`: bytes in to its handler, bytes out to the kernel, nothing in between
/// but the beginning of a message whose rest has not come.
///
/// Confined to its thread. Reading and sending use raw memory: the read buffer is the thread's, and each length
/// is checked against its end.
package final class StreamSocket {
    private let descriptor: Int32
    /// The number of the listener that it came from.
    package let listener: UInt16
    /// What epoll returns for it.
    let mark: UInt64
    /// Unsafe on purpose: the thread owns its sockets and drops them before it goes.
    private unowned(unsafe) let thread: EventThread
    var handler: (any SocketHandler)?
    /// The beginning of a message; memory only while there is one.
    private var kept = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private var keptCount = 0
    private var interest = EPOLLIN.rawValue
    private(set) var isClosed = false

    /// Not 0 while it waits for its peer to close.
    var drainDeadline: UInt64 = 0
    var isDraining: Bool { drainDeadline != 0 }
    var nextDraining: StreamSocket?
    unowned(unsafe) var previousDraining: StreamSocket?

    init(descriptor: Int32, listener: UInt16, mark: UInt64, thread: EventThread) {
        self.descriptor = descriptor
        self.listener = listener
        self.mark = mark
        self.thread = thread
    }

    // MARK: For the handler

    /// Whether the peer is on this machine; false when the system does not say.
    package var isPeerLoopback: Bool {
        var storage = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getpeername(descriptor, $0, &size) }
        }
        guard result == 0 else { return false }
        return withUnsafeBytes(of: &storage) { bytes in
            // The IPv4 address stands at byte 4, the IPv6 one at byte 8.
            if bytes.load(as: sa_family_t.self) == sa_family_t(AF_INET) { return bytes[4] == 127 }
            let isMapped = bytes[8..<18].allSatisfy { $0 == 0 } && bytes[18] == 0xFF && bytes[19] == 0xFF
            return isMapped ? bytes[20] == 127 : bytes[8..<23].allSatisfy { $0 == 0 } && bytes[23] == 1
        }
    }

    /// Gives bytes to the kernel.
    ///
    /// - Returns: how many it took. When it is less than all, the handler's `canSend` comes when it takes more.
    package func send(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard interest & EPOLLOUT.rawValue == 0, !isClosed, !isDraining else { return 0 }
        var done = 0
        while done < bytes.count {
            let count = Glibc.send(
                descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done, Int32(MSG_NOSIGNAL))
            if count >= 0 {
                done += count
            } else if errno == EAGAIN {
                want(interest | EPOLLOUT.rawValue)
                return done
            } else if errno != EINTR {
                thread.noteBroken(self)
                return done
            }
        }
        return done
    }

    /// Ends the connection behind what was sent: the peer gets all of it and then the end. The handler hears
    /// nothing more.
    ///
    /// The descriptor stays for five seconds at most until the peer has ended too: closed before, with bytes
    /// unread, the kernel would send a reset that overtakes the last answer.
    package func close() {
        guard !isClosed, !isDraining else { return }
        handler = nil
        forgetKept()
        if shutdown(descriptor, Int32(SHUT_WR)) != 0 { return thread.noteBroken(self) }
        thread.drain(self)
        want(EPOLLIN.rawValue)
    }

    /// Ends the connection at once; what the kernel has not sent may be lost. The handler hears nothing more.
    package func abort() {
        handler = nil
        thread.noteBroken(self)
    }

    /// Reads again after `mayRead` said no.
    package func resumeReading() { want(interest | EPOLLIN.rawValue) }

    // MARK: For the thread

    func happened(_ events: UInt32, now: UInt64) {
        if events & EPOLLOUT.rawValue != 0, !isDraining {
            want(interest & ~EPOLLOUT.rawValue)
            handler?.canSend()
            if isClosed { return }
        }
        if events & (EPOLLIN.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue) == 0 { return }
        if isDraining { return discard() }
        if interest & EPOLLIN.rawValue == 0 {
            // Reading is held back, so this is the end: reset from there, or shut in both directions.
            if events & (EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0 { thread.end(self) }
            return
        }
        guard let handler else { return }
        guard handler.mayRead else { return want(interest & ~EPOLLIN.rawValue) }
        read(handler, now)
    }

    func release() {
        isClosed = true
        handler = nil
        forgetKept()
        Glibc.close(descriptor)
    }

    // MARK: Reading

    /// Kept bytes up to here go in front of the next read in the thread's buffer; a longer beginning is read on
    /// in place.
    private static let sharedBytesMax = EventThread.readBytes / 4
    private static let growthBytes = 64 << 10

    private func read(_ handler: any SocketHandler, _ now: UInt64) {
        var buffer = thread.readBuffer
        let isInPlace = keptCount > Self.sharedBytesMax
        if isInPlace {
            if kept.count - keptCount < Self.growthBytes { growKept(to: keptCount * 2 + Self.growthBytes) }
            buffer = kept
        }
        guard let base = buffer.baseAddress else { return }
        let got = recv(descriptor, base + keptCount, buffer.count - keptCount, 0)
        if got <= 0 {
            if got < 0, errno == EAGAIN || errno == EINTR { return }
            return thread.end(self)
        }
        let total = keptCount + got
        if !isInPlace, let start = kept.baseAddress { base.copyMemory(from: start, byteCount: keptCount) }
        let used = handler.receive(UnsafeRawBufferPointer(start: base, count: total), now: now)
        // It may have been closed from in there.
        if isClosed || isDraining { return }
        keep(UnsafeRawBufferPointer(start: base + used, count: total - used), isInPlace: isInPlace)
    }

    private func keep(_ rest: UnsafeRawBufferPointer, isInPlace: Bool) {
        guard let start = rest.baseAddress, rest.count > 0 else { return forgetKept() }
        if isInPlace, rest.count > Self.sharedBytesMax {
            kept.baseAddress?.copyMemory(from: start, byteCount: rest.count)
        } else {
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: rest.count, alignment: 8)
            memory.copyMemory(from: rest)
            kept.deallocate()
            kept = memory
        }
        keptCount = rest.count
    }

    private func growKept(to byteCount: Int) {
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 8)
        larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: kept[..<keptCount]))
        kept.deallocate()
        kept = larger
    }

    private func forgetKept() {
        kept.deallocate()
        kept = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        keptCount = 0
    }

    /// What a peer sends behind our end is of no use.
    private func discard() {
        let got = recv(descriptor, thread.readBuffer.baseAddress, thread.readBuffer.count, 0)
        if got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)) { return }
        thread.drop(self)
    }

    private func want(_ wanted: UInt32) {
        guard wanted != interest, !isClosed else { return }
        interest = wanted
        thread.watch(descriptor, EPOLL_CTL_MOD, wanted, mark: mark)
    }
}
