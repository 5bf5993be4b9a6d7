import Testing

@testable import MQTTBroker

@Suite struct PartsTests {
    @Test("An indexed list is a dictionary that keeps an order", arguments: UInt64(1)...5)
    func indexedList(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var list = IndexedList<Int, Int>()
        var model: [Int: Int] = [:]
        for step in 0..<2_000 {
            let key = Int.random(in: 0..<24, using: &random)
            if Bool.random(using: &random) {
                #expect(list.set(key, step) == (model.updateValue(step, forKey: key) == nil))
            } else {
                #expect(list.remove(key) == model.removeValue(forKey: key))
            }
            #expect(list[key] == model[key])
            #expect(Dictionary(uniqueKeysWithValues: zip(list.keys, list.values)) == model)
        }
    }

    @Test("A ring buffer is a queue", arguments: UInt64(1)...5)
    func ringBuffer(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var ring = RingBuffer<Int>()
        var model: [Int] = []
        for step in 0..<3_000 {
            // Fills and empties by turns.
            if Int.random(in: 0..<10, using: &random) < (step / 300 % 2 == 0 ? 7 : 3) {
                ring.append(step)
                model.append(step)
            } else {
                #expect(ring.popFirst() == (model.isEmpty ? nil : model.removeFirst()))
            }
            #expect(ring.first == model.first)
            #expect((0..<ring.count).map { ring[$0] } == model)
        }
    }

    @Test("Timers come due in order, moved and removed ones too", arguments: UInt64(1)...5)
    func timers(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var timers = Timers()
        let all = (0..<50).map { Timer(.retained(topic: "\($0)")) }
        var model: [Int: UInt64] = [:]
        for step in 0..<6_000 {
            if step % 100 == 0 {
                var drained: [UInt64] = []
                while let timer = timers.first {
                    drained.append(timer.due)
                    timers.remove(timer)
                }
                #expect(drained == model.values.sorted())
                model = [:]
            }
            let index = Int.random(in: 0..<50, using: &random)
            if Int.random(in: 0..<3, using: &random) > 0 {
                let due = UInt64.random(in: 0..<1_000, using: &random)
                timers.set(all[index], due: due)
                model[index] = due
            } else {
                timers.remove(all[index])
                model[index] = nil
            }
            #expect(timers.first?.due == model.values.min())
        }
    }

    @Test("The QoS 2 bitmap is a set", arguments: UInt64(1)...5)
    func inbound(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let inbound = InboundQoS2()
        var model: Set<UInt16> = []
        for _ in 0..<3_000 {
            let identifier =
                [
                    1, 63, 64, 65_535, UInt16.random(in: 1...65_535, using: &random),
                ].randomElement(using: &random) ?? 1
            switch Int.random(in: 0..<100, using: &random) {
            case 0: (inbound.removeAll(), model.removeAll()).0
            case 1..<40: #expect(inbound.remove(identifier) == (model.remove(identifier) != nil))
            default: #expect(inbound.insert(identifier) == model.insert(identifier).inserted)
            }
            #expect(inbound.contains(identifier) == model.contains(identifier))
            #expect(inbound.count == model.count)
            inbound.trim()
        }
    }
}
