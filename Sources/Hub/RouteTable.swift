/// Where a telemetry topic leads: found once, then looked up by the topic's bytes.
package struct Route {
    /// The queue's number of the device; 0 when its name is not allowed, or every message says its own.
    package var device: UInt32
    /// Index of the ingest rule.
    var rule: UInt32
    /// Whether a subscription matches the topic, as of `subscriptionVersion`.
    var hasSubscribers: Bool
    var subscriptionVersion: UInt64

    package init(device: UInt32, rule: Int = 0) {
        self.device = device
        self.rule = UInt32(truncatingIfNeeded: rule)
        hasSubscribers = false
        // No version of the subscriptions: the first message finds out.
        subscriptionVersion = .max
    }
}

/// Topic bytes → route number, by open addressing over raw bytes: no String, no Dictionary, no allocation on a
/// hit (26 ns against 207 ns for String and Dictionary).
///
/// Confined to its event loop.
package final class RouteTable {
    /// Routes kept at most; beyond it the table starts anew (it is only a cache). 2,097,152: two topics for each of
    /// a million devices, 64 bytes and the topic each.
    package static let routesMax = 2_097_152

    package private(set) var routes: ContiguousArray<Route> = []
    /// One entry a slot: 0 empty, else route number + 1 in the low half and hash bits in the high half.
    private var slots: UnsafeMutableBufferPointer<UInt64>
    private var keys: ContiguousArray<KeyPlace> = []
    private var keyBytes = KeyArena()
    private var mask: Int
    private let seed: UInt64

    private struct KeyPlace {
        var start: UnsafeRawPointer
        var count: Int
    }

    /// - Parameter seed: keeps a peer from choosing topics that collide.
    package init(seed: UInt64) {
        self.seed = seed
        let capacity = 1_024
        slots = .allocate(capacity: capacity)
        slots.initialize(repeating: 0)
        mask = capacity - 1
    }

    deinit { slots.deallocate() }

    @inline(__always)
    package subscript(index: UInt32) -> Route {
        get { routes[Int(index)] }
        set { routes[Int(index)] = newValue }
    }

    /// Whether a route's key is this whole topic, and not the part of it before a `#`.
    func isWhole(_ topic: UnsafeRawBufferPointer, _ index: UInt32) -> Bool {
        keys[Int(index)].count == topic.count
    }

    /// - Returns: the route's number, or nil when the topic has not been seen.
    @inline(__always)
    package func find(_ topic: UnsafeRawBufferPointer) -> UInt32? {
        let hash = hash(topic)
        var slot = Int(truncatingIfNeeded: hash) & mask
        while true {
            let entry = slots[slot]
            if entry == 0 { return nil }
            if entry >> 32 == hash >> 32 {
                let index = Int(entry & 0xFFFF_FFFF) - 1
                let key = keys[index]
                if key.count == topic.count, equal(key.start, topic) { return UInt32(index) }
            }
            slot = (slot + 1) & mask
        }
    }

    /// Adds a topic that `find` did not know.
    package func insert(_ topic: UnsafeRawBufferPointer, _ route: Route) -> UInt32 {
        if routes.count >= Self.routesMax { removeAll() }
        if routes.count * 2 > mask { grow() }
        let index = routes.count
        routes.append(route)
        keys.append(KeyPlace(start: keyBytes.copy(topic), count: topic.count))
        place(hash(topic), index)
        return UInt32(index)
    }

    /// Numbers given out before are void afterwards: `generation` tells.
    private(set) var generation: UInt32 = 0

    private func removeAll() {
        generation &+= 1
        routes.removeAll(keepingCapacity: true)
        keys.removeAll(keepingCapacity: true)
        keyBytes = KeyArena()
        slots.update(repeating: 0)
    }

    private func grow() {
        let old = slots
        slots = .allocate(capacity: old.count * 2)
        slots.initialize(repeating: 0)
        mask = slots.count - 1
        for index in keys.indices {
            let key = keys[index]
            place(hash(UnsafeRawBufferPointer(start: key.start, count: key.count)), index)
        }
        old.deallocate()
    }

    private func place(_ hash: UInt64, _ index: Int) {
        var slot = Int(truncatingIfNeeded: hash) & mask
        while slots[slot] != 0 { slot = (slot + 1) & mask }
        slots[slot] = (hash >> 32) << 32 | UInt64(index + 1)
    }

    @inline(__always)
    private func equal(_ key: UnsafeRawPointer, _ topic: UnsafeRawBufferPointer) -> Bool {
        var at = 0
        let count = topic.count
        guard let base = topic.baseAddress else { return count == 0 }
        while at + 8 <= count {
            if key.loadUnaligned(fromByteOffset: at, as: UInt64.self)
                != base.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            {
                return false
            }
            at += 8
        }
        while at < count {
            if key.load(fromByteOffset: at, as: UInt8.self) != base.load(fromByteOffset: at, as: UInt8.self) {
                return false
            }
            at += 1
        }
        return true
    }

    /// A seeded multiply-and-fold hash, eight bytes a step.
    @inline(__always)
    private func hash(_ topic: UnsafeRawBufferPointer) -> UInt64 {
        var state = seed ^ UInt64(topic.count) &* 0x9E37_79B9_7F4A_7C15
        guard let base = topic.baseAddress else { return state }
        var at = 0
        while at + 8 <= topic.count {
            state = fold(state ^ base.loadUnaligned(fromByteOffset: at, as: UInt64.self))
            at += 8
        }
        var tail: UInt64 = 0
        var shift: UInt64 = 0
        while at < topic.count {
            tail |= UInt64(base.load(fromByteOffset: at, as: UInt8.self)) << shift
            shift += 8
            at += 1
        }
        return fold(state ^ tail)
    }

    @inline(__always)
    private func fold(_ value: UInt64) -> UInt64 {
        let product = (value ^ 0xA076_1D64_78BD_642F).multipliedFullWidth(by: 0xE703_7ED1_A0B4_28DB ^ seed)
        return product.high ^ product.low
    }
}

/// Bytes that live as long as the table, in blocks: one allocation per some thousand keys.
private struct KeyArena {
    private final class Block {
        let base: UnsafeMutableRawPointer
        init(byteCount: Int) { base = .allocate(byteCount: byteCount, alignment: 8) }
        deinit { base.deallocate() }
    }
    private var blocks: [Block] = []
    private var used = 0
    private var capacity = 0

    mutating func copy(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawPointer {
        if used + bytes.count > capacity || blocks.isEmpty {
            capacity = max(65_536, bytes.count)
            blocks.append(Block(byteCount: capacity))
            used = 0
        }
        let place = blocks[blocks.count - 1].base + used
        if let source = bytes.baseAddress { place.copyMemory(from: source, byteCount: bytes.count) }
        used += bytes.count
        return UnsafeRawPointer(place)
    }
}
