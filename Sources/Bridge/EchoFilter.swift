/// Recognises what was just sent to a 3.1.1 broker when it comes back over a subscription that covers it: 3.1.1 has
/// no "no local" and no property to mark a message with.
///
/// It counts: a message sent once is dropped once. An equal one that another client published meanwhile is let
/// through. What does not come back is forgotten after `lifetimeNanoseconds`, so that an equal message of another
/// client is not taken for it much later.
package struct EchoFilter {
    /// Half a minute: far above a round trip, far below what an operator would notice as a lost switch message.
    package static let lifetimeNanoseconds: UInt64 = 30_000_000_000
    /// Messages remembered; beyond it the oldest are forgotten, and their echoes are published here once.
    package static let messagesMax = 10_000

    private struct Key: Hashable {
        var topic: String
        var payloadBytes: Int
        var payloadHash: UInt64
    }

    /// Echoes that are to come.
    private var counts: [Key: Int] = [:]
    /// Echoes that came: so many entries of `order` mean nothing any more, the oldest first.
    private var settled: [Key: Int] = [:]
    /// What was sent, oldest first; an entry whose echo has come stands here until its time.
    private var order: [(key: Key, deadline: UInt64)] = []
    private var head = 0

    package init() {}

    package var count: Int { order.count - head }

    /// A message was sent to the other broker, where our own subscription matches it.
    package mutating func expect(topic: String, payload: [UInt8], now: UInt64) {
        forget(now)
        if count >= Self.messagesMax { forgetFirst() }
        let key = Self.key(topic, payload)
        counts[key, default: 0] += 1
        order.append((key, now &+ Self.lifetimeNanoseconds))
    }

    /// Whether a message that came in is one of those; then it is ticked off.
    package mutating func takeEcho(topic: String, payload: [UInt8], now: UInt64) -> Bool {
        forget(now)
        guard !counts.isEmpty else { return false }
        let key = Self.key(topic, payload)
        guard let count = counts[key], count > 0 else { return false }
        counts[key] = count > 1 ? count - 1 : nil
        settled[key, default: 0] += 1
        return true
    }

    private mutating func forget(_ now: UInt64) {
        while head < order.count, order[head].deadline <= now { forgetFirst() }
    }

    private mutating func forgetFirst() {
        let key = order[head].key
        head += 1
        if let count = settled[key] {
            settled[key] = count > 1 ? count - 1 : nil
        } else if let count = counts[key] {
            counts[key] = count > 1 ? count - 1 : nil
        }
        if head > 1_024, head * 2 > order.count {
            order.removeFirst(head)
            head = 0
        }
    }

    /// FNV-1a.
    private static func key(_ topic: String, _ payload: [UInt8]) -> Key {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in payload { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        return Key(topic: topic, payloadBytes: payload.count, payloadHash: hash)
    }
}
