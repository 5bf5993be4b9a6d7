import FileStoreKit
import Telemetry
import Testing

@testable import ConsumerGroups

/// Random members against the three promises: each record at least once, none again once its commit is saved, and
/// every device in order with one member at a time.
@Suite("Consumer group model")
struct GroupModelTests {
    private struct Model {
        var scene: GroupScene
        var random: SeededRandom
        var now: UInt64 = 0
        /// What the disk has.
        var saved = GroupState(cursor: QueueOffset(0), recordsBefore: 0)
        /// Places in the log, by promise.
        var committed: Set<Int> = []
        var savedCommitted: Set<Int> = []
        var delivered: Set<Int> = []
        /// What each member holds, in the order it got it.
        var held: [String: (delivery: Delivery, places: [Int], leaseEnd: UInt64)] = [:]
        var crashes: UInt64 = 0

        mutating func dropExpired() {
            for name in names where held[name].map({ $0.leaseEnd <= now }) ?? false { held[name] = nil }
        }
        let names = ["a", "b", "c", "d"]

        mutating func fetch() throws {
            let name = names[Int(random.below(4))]
            dropExpired()
            let goesOn = random.below(2) == 0 ? held[name] : nil
            if goesOn == nil { held[name] = nil }
            let count = Int(random.below(20)) + 1
            let got = try scene.fetch(name, count, session: goesOn?.delivery.session, at: now)
            check(name, got.places)
            delivered.formUnion(got.places)
            var delivery = got.delivery
            delivery.records = (goesOn?.delivery.records ?? []) + delivery.records
            held[name] = (delivery, (goesOn?.places ?? []) + got.places, now + lease)
        }

        private func check(_ name: String, _ places: [Int]) {
            #expect(places == places.sorted(), "not in log order")
            for place in places {
                #expect(!committed.contains(place), "record \(place) again after its commit")
                let device = scene.log[place].device
                // Whatever is before it in its device is committed, or came to the same member before it.
                for earlier in 0..<place where scene.log[earlier].device == device {
                    let isMine = held[name]?.places.contains(earlier) ?? false
                    #expect(
                        committed.contains(earlier) || isMine || places.contains(earlier),
                        "record \(place) before \(earlier)")
                }
                for other in names where other != name {
                    let devices = (held[other]?.places ?? []).filter { !committed.contains($0) }
                        .map { scene.log[$0].device }
                    #expect(!devices.contains(device), "device \(device) is with \(other) and \(name)")
                }
            }
        }

        mutating func commit() throws {
            dropExpired()
            let name = names[Int(random.below(4))]
            guard var mine = held[name], !mine.places.isEmpty else { return }
            let count = Int(random.below(UInt64(mine.places.count))) + 1
            let done = try scene.commit(name, mine.delivery, count, at: now)
            #expect(done == count)
            committed.formUnion(mine.places.prefix(count))
            mine.places.removeFirst(count)
            mine.delivery.records.removeFirst(count)
            mine.leaseEnd = now + lease
            held[name] = mine
        }

        mutating func save() {
            saved = scene.group.state
            savedCommitted = committed
        }

        mutating func crash() {
            crashes += 1
            scene = scene.restarted(saved, firstSession: crashes * 1_000_000)
            committed = savedCommitted
            held = [:]
        }

        mutating func step() throws {
            now += random.below(2) * second
            switch random.below(40) {
            case 0..<8: for _ in 0..<random.below(20) { scene.store(UInt32(random.below(6)) + 1) }
            case 8..<20: try fetch()
            case 20..<32: try commit()
            case 32..<36: save()
            case 36: crash()
            case 37: now += random.below(40) * second
            case 38:
                let name = names[Int(random.below(4))]
                scene.group.leave(member: name)
                held[name] = nil
            default:
                let name = names[Int(random.below(4))]
                dropExpired()
                scene.group.expire(now: now)
                if held[name] != nil { try scene.group.giveBack(member: name) }
                held[name] = nil
            }
        }

        mutating func drain() throws {
            now += 10 * lease
            held = [:]
            while true {
                let got = try scene.fetch("last", 7, at: now)
                guard !got.places.isEmpty else { break }
                check("last", got.places)
                delivered.formUnion(got.places)
                try scene.commit("last", got.delivery, at: now)
                committed.formUnion(got.places)
            }
        }
    }

    @Test(
        "each record at least once, never after its commit, devices in order",
        arguments: 1...120 as ClosedRange<UInt64>)
    func promises(seed: UInt64) throws {
        var limits = GroupLimits()
        limits.windowRecords = 64
        var model = Model(scene: GroupScene(limits: limits), random: SeededRandom(seed))
        for _ in 0..<400 { try model.step() }
        try model.drain()
        let all = Set(model.scene.log.indices)
        #expect(model.delivered == all)
        #expect(model.committed == all)
        #expect(model.scene.group.cursor.bytes == UInt64(all.count) * GroupScene.recordBytes)
        #expect(model.scene.group.snapshot(now: 0).recordsDone == UInt64(all.count))
        #expect(model.scene.group.state.ahead == [])
    }
}
