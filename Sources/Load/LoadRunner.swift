import CEpoll
import Glibc
import MQTTWire
package import Platform

/// A lean MQTT load generator: one thread, many connections over epoll.
///
/// Everywhere else the MQTT client is libmosquitto. A generator that shares the machine with the broker it
/// measures must cost a small part of what the broker costs, so this one writes copies of a ready packet and
/// looks at acknowledgements in the read buffer; CONNECT, CONNACK and the template come from `MQTTWire`.
///
/// Open loop (`LoadPlan.rate`): message number i is due at start + i / rate whatever the broker does, and its
/// latency counts from that moment, so a stall of the broker shows in every message that was due meanwhile.
/// Closed loop: a window is topped up as acknowledgements arrive; latency counts from the write.
///
/// Confined to the thread that calls `run()`. The raw buffers live as long as the object.
package final class LoadRunner {
    let plan: LoadPlan
    /// What the names of devices and clients begin with.
    let namePrefix: String
    let clock: SystemClock
    let epoll: Int32
    let events = UnsafeMutablePointer<epoll_event>.allocate(capacity: LoadLimits.eventsMax)
    /// Guard: `composeBytes` long; `composed` of them are in use.
    let scratch: UnsafeMutableRawPointer
    let composeBytes: Int
    var composed = 0
    /// Guard: a packet that began earlier and a whole read fit.
    let readBuffer = UnsafeMutableRawPointer.allocate(
        byteCount: LoadLimits.packetBytesMax + LoadLimits.readBytes, alignment: 16)
    var connections: [LoadConnection] = []
    var histogram = LatencyHistogram()
    var lateness = LatencyHistogram()
    var result = LoadResult()

    /// Monotonic nanoseconds, read once a turn and before each write.
    var now: UInt64 = 0
    var start: UInt64 = 0
    var lastCompletion: UInt64 = 0
    var isSending = false
    /// Connections that stand.
    var ready = 0
    /// Messages on the way on connections that were lost: nobody waits for them.
    var abandoned: UInt64 = 0
    /// Messages that may still be started in all; open loop: messages due so far are counted in `scheduled`.
    var budget: UInt64
    var scheduled: UInt64 = 0
    /// Nanoseconds between two messages of the schedule; 0 in a closed loop.
    let gap: Double
    /// Connections that became due in this turn.
    var due: [Int] = []
    private var timestampMilliseconds: Int64 = 0
    /// The digits of `timestampMilliseconds`. Guard: `PublishTemplate.timestampDigits` long.
    let timestamp = UnsafeMutableRawPointer.allocate(
        byteCount: PublishTemplate.timestampDigits, alignment: 1)

    /// - Throws: `LoadError.invalidPlan`, or `.environment` when the machine allows too few files.
    package init(_ plan: LoadPlan, clock: SystemClock = SystemClock()) throws(LoadError) {
        if let problem = plan.problem { throw .invalidPlan(problem) }
        let filesNeeded = plan.connections + 32
        guard ProcessLimits.openFilesMax >= filesNeeded else {
            throw .environment(
                "\(plan.connections) connections need \(filesNeeded) open files; "
                    + "raise the limit with: ulimit -n \(filesNeeded)")
        }
        self.plan = plan
        let runID = UInt32(truncatingIfNeeded: clock.wallTicks() / 10_000) ^ UInt32(getpid()) << 16
        namePrefix = plan.namePrefix ?? PublishTemplate.namePrefix(runID: runID)
        result.namePrefix = namePrefix
        self.clock = clock
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        gap = plan.rate.map { 1e9 / $0 } ?? 0
        budget = plan.messagesMax ?? .max
        let packetBytes = plan.payloadBytes + 256
        composeBytes = LoadLimits.writeBytes + packetBytes + 4 * (plan.window + 1) + LoadLimits.readBytes
        scratch = .allocate(byteCount: composeBytes, alignment: 16)
        guard epoll >= 0 else { throw .environment("epoll is refused: \(SystemError(code: errno))") }
        for number in 0..<plan.connections {
            let template = PublishTemplate(
                runID: runID, connection: number,
                name: PublishTemplate.name(of: number, prefix: namePrefix), qos: plan.qos,
                version: plan.version, payloadBytes: plan.payloadBytes)
            connections.append(LoadConnection(number: number, template: template, window: plan.window))
        }
        due.reserveCapacity(plan.connections)
    }

    deinit {
        if epoll >= 0 { close(epoll) }
        events.deallocate()
        scratch.deallocate()
        readBuffer.deallocate()
        timestamp.deallocate()
    }

    /// Connects, sends, waits for what is outstanding, disconnects. Blocks; call it once.
    ///
    /// - Throws: `LoadError.cannotConnect` unless every connection stands. One that is lost later is counted.
    package func run() throws(LoadError) -> LoadResult {
        tick()
        let opened = now
        try openAll()
        result.connectSeconds = Double(now - opened) / 1e9
        let observed = plan.observedProcess.flatMap(LoadSocket.processorSeconds(of:))
        let own = LoadSocket.ownProcessorSeconds()
        tick()
        start = now
        lastCompletion = now
        isSending = true
        if plan.rate == nil { sendClosed() } else { sendOpen() }
        isSending = false
        drain()
        result.generatorSeconds = LoadSocket.ownProcessorSeconds() - own
        if let observed, let end = plan.observedProcess.flatMap(LoadSocket.processorSeconds(of:)) {
            result.observedSeconds = max(0, end - observed)
        }
        summarize()
        disconnectAll()
        return result
    }

    private func sendClosed() {
        let end = start + plan.sendNanoseconds
        for connection in connections {
            tick()
            pump(connection)
            // Acknowledgements of the first windows are taken while the later ones are written.
            if connection.number % 32 == 31 { turn(waitNanoseconds: 0) }
        }
        while now < end, budget > 0, ready > 0 { turn(waitNanoseconds: min(end - now, 20_000_000)) }
    }

    private func sendOpen() {
        let end = start + plan.sendNanoseconds
        while ready > 0 {
            tick()
            schedule(until: min(now, end - 1))
            if now >= end || scheduled >= budget { break }
            let next = start + UInt64(Double(scheduled) * gap)
            turn(waitNanoseconds: next > now ? min(next - now, end - now, 20_000_000) : 0)
        }
    }

    /// Hands every message that is due to its connection, and writes what the windows allow.
    private func schedule(until moment: UInt64) {
        let target = min(UInt64(Double(moment - start) / gap) + 1, budget)
        guard scheduled < target else { return }
        due.removeAll(keepingCapacity: true)
        while scheduled < target {
            let connection = connections[Int(scheduled % UInt64(connections.count))]
            if connection.owed == 0 { due.append(connection.number) }
            connection.owed += 1
            let intended = start + UInt64(Double(scheduled) * gap)
            lateness.record(now > intended ? now - intended : 0)
            scheduled += 1
        }
        for number in due { pump(connections[number]) }
    }

    private func drain() {
        let end = now + plan.drainNanoseconds
        for connection in connections { settle(connection) }
        while ready > 0, now < end, hasOutstanding() { turn(waitNanoseconds: min(end - now, 20_000_000)) }
    }

    private func hasOutstanding() -> Bool {
        if result.messages + result.refused + abandoned < result.sent { return true }
        return plan.rate != nil && connections.contains { $0.state == .ready && $0.owed > 0 }
    }

    private func summarize() {
        result.seconds = Double(lastCompletion - start) / 1e9
        result.unacknowledged = result.sent - min(result.sent, result.messages + result.refused)
        if plan.rate != nil {
            result.unsent = scheduled - min(scheduled, result.sent)
            result.lateNanosecondsP99 = lateness.value(atQuantile: 0.99)
        }
        guard let p50 = histogram.value(atQuantile: 0.5), let p90 = histogram.value(atQuantile: 0.9),
            let p99 = histogram.value(atQuantile: 0.99), let p999 = histogram.value(atQuantile: 0.999)
        else { return }
        result.latency = .init(p50: p50, p90: p90, p99: p99, p999: p999, max: histogram.maximum)
    }

    /// One wait for the kernel and the work it brings.
    func turn(waitNanoseconds: UInt64) {
        let count = LoadSocket.wait(epoll, events, LoadLimits.eventsMax, nanoseconds: waitNanoseconds)
        tick()
        for index in 0..<count {
            let event = events[index]
            // A turn may last milliseconds: what is measured in it must not all bear its start.
            if index > 0 { tick() }
            let connection = connections[Int(event.data.u64)]
            if event.events & EPOLLOUT.rawValue != 0 { writable(connection) }
            if event.events & ~EPOLLOUT.rawValue != 0 { readable(connection) }
        }
    }

    /// Reads the clock.
    func tick() { now = clock.monotonicNanoseconds() }

    /// Brings the digits of the wall clock up to date; they change once a millisecond.
    func stampTime() {
        let milliseconds = clock.wallTicks() / 10_000
        guard milliseconds != timestampMilliseconds else { return }
        timestampMilliseconds = milliseconds
        var rest = max(0, milliseconds)
        for place in (0..<PublishTemplate.timestampDigits).reversed() {
            timestamp.storeBytes(
                of: UInt8(ascii: "0") + UInt8(rest % 10), toByteOffset: place, as: UInt8.self)
            rest /= 10
        }
    }
}
