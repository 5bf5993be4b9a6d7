/// One simulated world: its seed, its time, what happens next, and a hash of everything that happened.
///
/// All of it runs on the caller's thread. Time jumps from event to event; events of one moment happen in the
/// order in which they were scheduled, and every choice is drawn from `random`, so a seed is a whole history.
///
/// `@unchecked Sendable`: confined to the thread that runs it.
package final class World: @unchecked Sendable {
    package let seed: UInt64
    package let clock: SimulatedClock
    package var random: SeededRandom
    /// Events done so far: the step that a failure names.
    package private(set) var stepCount = 0
    /// FNV-1a over the time and name of each event and over the bytes that `fold` was given.
    package private(set) var traceHash: UInt64 = 0xCBF2_9CE4_8422_2325
    /// How often the world came to a place where things are difficult.
    package private(set) var reached: [Place: Int] = [:]
    /// Gets a line for each event and note; nil costs nothing.
    package var onTrace: ((String) -> Void)?
    /// The first invariant that was broken; the world stands still from then on.
    package private(set) var violation: Violation?
    private var events = EventHeap()

    package init(seed: UInt64) {
        self.seed = seed
        random = SeededRandom(seed: seed)
        clock = SimulatedClock()
    }

    /// Simulated nanoseconds since the world began.
    package var now: UInt64 { clock.now }

    /// Schedules an event.
    ///
    /// - Parameters:
    ///   - delay: in simulated nanoseconds.
    ///   - name: what the trace calls it.
    ///   - subject: whom it is about, for the trace.
    package func after(
        _ delay: UInt64, _ name: StaticString, _ subject: Int = 0, _ action: @escaping () -> Void
    ) {
        events.push(time: now + delay, name: name, subject: subject, action: action)
    }

    /// Lets the next event happen.
    ///
    /// - Returns: false when nothing is scheduled before `limit`, or an invariant is broken.
    package func step(until limit: UInt64) -> Bool {
        guard violation == nil, let event = events.pop(until: limit) else { return false }
        clock.now = event.time
        stepCount += 1
        fold(event.time)
        event.name.withUTF8Buffer { fold(UnsafeRawBufferPointer($0)) }
        fold(UInt64(truncatingIfNeeded: event.subject))
        if onTrace != nil { note("\(event.name) \(event.subject)") }
        event.action()
        return true
    }

    /// Nothing happens any more; who was to act in it is let go.
    package func end() { events = EventHeap() }

    /// Makes bytes part of the trace.
    package func fold(_ bytes: UnsafeRawBufferPointer) {
        for byte in bytes { traceHash = (traceHash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    }

    package func fold(_ number: UInt64) {
        withUnsafeBytes(of: number.littleEndian) { fold($0) }
    }

    /// A line for the trace; not part of its hash.
    package func note(_ text: @autoclosure () -> String) {
        guard let onTrace else { return }
        let milliseconds = now / 1_000_000
        onTrace(
            "\(stepCount) \(milliseconds / 1_000).\(String(milliseconds % 1_000 + 1_000).dropFirst()) \(text())"
        )
    }

    func reach(_ place: Place, _ count: Int = 1) { reached[place, default: 0] += count }

    /// Stops the world because an invariant does not hold.
    package func fail(_ invariant: Invariant, _ explanation: String) {
        guard violation == nil else { return }
        violation = Violation(
            seed: seed, step: stepCount, nanoseconds: now, invariant: invariant, explanation: explanation)
        note("BROKEN \(invariant.rawValue): \(explanation)")
    }
}

/// Events by time, then by the order of scheduling; a binary heap.
private struct EventHeap {
    struct Event {
        var time: UInt64
        var number: UInt64
        var name: StaticString
        var subject: Int
        var action: () -> Void
    }
    private var items: [Event] = []
    private var lastNumber: UInt64 = 0

    mutating func push(time: UInt64, name: StaticString, subject: Int, action: @escaping () -> Void) {
        lastNumber += 1
        items.append(Event(time: time, number: lastNumber, name: name, subject: subject, action: action))
        var index = items.count - 1
        while index > 0 {
            let parent = (index - 1) / 2
            if Self.isBefore(items[parent], items[index]) { return }
            items.swapAt(parent, index)
            index = parent
        }
    }

    mutating func pop(until limit: UInt64) -> Event? {
        guard let top = items.first, top.time <= limit else { return nil }
        let last = items.removeLast()
        guard !items.isEmpty else { return top }
        items[0] = last
        var index = 0
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2]
            where child < items.count && Self.isBefore(items[child], items[least]) {
                least = child
            }
            if least == index { return top }
            items.swapAt(index, least)
            index = least
        }
    }

    private static func isBefore(_ left: Event, _ right: Event) -> Bool {
        (left.time, left.number) < (right.time, right.number)
    }
}
