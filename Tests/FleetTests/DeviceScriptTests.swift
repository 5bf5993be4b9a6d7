import Fleet
import Foundation
import Telemetry
import Testing

@Suite("The script of a device")
struct DeviceScriptTests {
    static let everything = """
        count: 3
        every: 1s ± 20%
        sensors:
          v: { walk: { start: 19..23, step: 0.2, min: 15, max: 30 }, noise: 0.05, round: 1 }
          n: { counter: { step: 1..3 } }
        connection: { offline: { mtbf: 2m, for: 10s..40s, keep: 20, rate: 5/s } }
        faults:
          - duplicate: 5%
          - lose: 2%
          - malformed: 3%
          - out_of_order: { rate: 10%, by: 1s..15s }
          - delay: { rate: 2%, by: 2s..10s }
        """

    @Test("the same seed and start give the same bytes; another of either gives others")
    func determinism() throws {
        let plan = try plan(Self.everything)
        let first = actions(plan, until: seconds(600))
        #expect(first == actions(plan, until: seconds(600)))
        #expect(first.count > 600)
        let others = [
            actions(plan, seed: 43, until: seconds(600)), actions(plan, device: 1, until: seconds(600)),
            actions(plan, start: seconds(1), until: seconds(601)),
        ]
        for other in others {
            #expect(other != first)
            #expect(Set(other.entries.map(\.messageID)).isDisjoint(with: first.entries.map(\.messageID)))
        }
    }

    @Test("asking in small steps or large ones makes no difference")
    func steps() throws {
        let plan = try plan(Self.everything)
        var script = plan.script(device: 0, seed: 42, start: epoch)
        var found: [PlannedAction] = []
        for tick in 0..<6_000 {
            while let action = script.next(through: epoch.adding(ticks: Int64(tick + 1) * 1_000_000)) {
                found.append(action)
            }
        }
        #expect(found == actions(plan, until: seconds(600)))
    }

    @Test("the first thousand actions are the ones of the golden run")
    func golden() throws {
        let found = actions(try plan(Self.everything), until: seconds(2_000)).prefix(1_000)
        var bytes: [UInt8] = []
        for action in found {
            action.time.appendISO8601(to: &bytes)
            switch action.kind {
            case .publish(let publication):
                bytes += Array("\(publication.topic) \(publication.messageID) \(publication.attempt) ".utf8)
                bytes += publication.payload
                publication.entry?.appendLine(to: &bytes)
            case .omit(let entry): entry.appendLine(to: &bytes)
            case .goOffline: bytes += Array("offline".utf8)
            case .comeOnline: bytes += Array("online".utf8)
            }
        }
        let hash = bytes.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
        #expect(found.count == 1_000)
        #expect(String(hash, radix: 16) == "bb8e3325d284f5fd")
    }

    @Test("times never go back, and a reading's time is its payload's ts and increases")
    func times() throws {
        let found = actions(try plan(Self.everything), until: seconds(1_200))
        #expect(zip(found, found.dropFirst()).allSatisfy { $0.time <= $1.time })
        let byNumber = found.entries.sorted { $0.sequence < $1.sequence }
        #expect(zip(byNumber, byNumber.dropFirst()).allSatisfy { $0.eventTime < $1.eventTime })
        for publication in found.publications where publication.entry?.expectation == .once {
            let object = try #require(
                JSONSerialization.jsonObject(with: Data(publication.payload)) as? [String: Any])
            #expect(object["id"] as? String == publication.messageID)
            let text = try #require(object["ts"] as? String)
            #expect(EventTime.parse(text) == publication.entry?.eventTime)
            #expect(object["v"] != nil)
        }
    }

    @Test("faults happen as often as they should", arguments: [1, 42, 99] as [UInt64])
    func rates(seed: UInt64) throws {
        let entries = actions(try plan(Self.everything), seed: seed, until: seconds(20_000), finishing: true)
            .entries
        let count = Double(entries.count)
        func share(_ fault: ReadingFaults) -> Double {
            Double(entries.filter { $0.faults.contains(fault) }.count) / count
        }
        #expect(count > 19_000)
        #expect(abs(share(.duplicate) - 0.0475) < 0.008)
        #expect(abs(share(.lose) - 0.02) < 0.005)
        #expect(abs(share(.malformed) - 0.0294) < 0.006)
        #expect(abs(share(.outOfOrder) - 0.095) < 0.012)
        #expect(share(.delay) > 0.005)
        #expect(Set(entries.map(\.sequence)).count == entries.count)
        #expect(entries.map(\.sequence).max() == UInt64(entries.count))
    }

    @Test("a duplicate is the same message again, within five seconds, and both times are in the key")
    func duplicate() throws {
        let plan = try plan("every: 1s\nsensors: { v: { constant: 1 } }\nfaults: [ duplicate: 20% ]\n")
        let found = actions(plan, until: seconds(1_000))
        let again = found.filter { if case .publish(let item) = $0.kind { item.attempt == 2 } else { false } }
        #expect(again.count > 150)
        for action in again {
            guard case .publish(let second) = action.kind else { continue }
            let first = try #require(found.publications.first { $0.messageID == second.messageID })
            let entry = try #require(first.entry)
            #expect(first.payload == second.payload)
            #expect(first.topic == second.topic)
            #expect(second.entry == nil)
            #expect(entry.sent.last == action.time)
            #expect(action.time.ticks - entry.sent[0].ticks <= 5 * EventTime.ticksPerSecond)
            #expect(entry.expectation == .once)
        }
    }

    @Test("an out-of-order reading is sent after a later one, and not before its time")
    func outOfOrder() throws {
        let plan = try plan(
            "every: 2s\nsensors: { v: { constant: 1 } }\n"
                + "faults: [ out_of_order: { rate: 10%, by: 1s..9s } ]\n"
        )
        let entries = actions(plan, until: seconds(2_000)).entries
        var highest: UInt64 = 0
        var count = 0
        for entry in entries {
            if entry.faults.contains(.outOfOrder) {
                count += 1
                #expect(entry.sequence < highest)
                #expect(entry.sent[0].ticks >= entry.eventTime.ticks + EventTime.ticksPerSecond)
            } else {
                #expect(entry.sequence > highest)
                #expect(entry.sent[0] == entry.eventTime)
            }
            highest = max(highest, entry.sequence)
        }
        #expect(count > 60)
    }

    @Test("a delay makes readings late and keeps their order")
    func delay() throws {
        let plan = try plan(
            "every: 1s\nsensors: { v: { constant: 1 } }\nfaults: [ delay: { rate: 3%, by: 3s..8s } ]\n")
        let entries = actions(plan, until: seconds(2_000)).entries
        #expect(zip(entries, entries.dropFirst()).allSatisfy { $0.sequence < $1.sequence })
        let delayed = entries.filter { $0.faults.contains(.delay) }
        #expect(delayed.count > 20)
        for entry in delayed {
            let late = entry.sent[0].ticks - entry.eventTime.ticks
            #expect((3 * EventTime.ticksPerSecond...8 * EventTime.ticksPerSecond).contains(late))
        }
        // Those behind a delayed one waited with it.
        #expect(entries.contains { $0.faults.isEmpty && $0.sent[0] > $0.eventTime })
    }

    @Test("lost readings are never sent, malformed ones are not JSON")
    func loseAndMalform() throws {
        let plan = try plan(
            "every: 1s\nsensors: { v: { constant: 1 } }\nfaults: [ lose: 20%, malformed: 20% ]\n")
        let found = actions(plan, until: seconds(1_000))
        let lost = found.entries.filter { $0.expectation == .never }
        #expect(lost.count > 150)
        #expect(lost.allSatisfy { $0.faults == .lose && $0.sent.isEmpty })
        #expect(Set(found.publications.map(\.messageID)).isDisjoint(with: lost.map(\.messageID)))
        let malformed = found.publications.filter { $0.entry?.expectation == .quarantine }
        #expect(malformed.count > 120)
        for publication in malformed {
            #expect(publication.entry?.faults == .malformed)
            #expect(
                (try? JSONSerialization.jsonObject(
                    with: Data(publication.payload), options: .fragmentsAllowed)) == nil,
                "\(String(decoding: publication.payload, as: UTF8.self))")
        }
    }

    @Test("on 3.1.1 the id is in the property bag of the default topic, and of no other")
    func propertyBag() throws {
        let rest = "every: 1s\nsensors: { v: { constant: 1 } }\nconnection: { version: 3.1.1 }\n"
        let publication = try #require(actions(try plan(rest), until: seconds(3)).publications.first)
        let id = publication.messageID.replacingOccurrences(of: ":", with: "%3A")
        #expect(publication.topic == "devices/thing-0001/messages/events/%24.mid=" + id)
        let plain = try plan("topic: \"devices/{id}/telemetry\"\n" + rest)
        #expect(actions(plain, until: seconds(3)).publications.first?.topic == "devices/thing-0001/telemetry")
    }

    @Test("the end of a script sends everything held back, once")
    func finish() throws {
        let plan = try plan(Self.everything)
        for end in [10, 61, 140, 333, 600] as [Int64] {
            let entries = actions(plan, until: seconds(end), finishing: true).entries
            #expect(entries.map(\.sequence).sorted() == Array(1...UInt64(entries.count)))
            var script = plan.script(device: 0, seed: 42, start: epoch)
            script.finish(at: seconds(end))
            #expect(script.readingCount == UInt64(entries.count))
            #expect(script.heldCount == 0)
            while script.next(through: seconds(end)) != nil {}
            #expect(script.nextTime == nil)
            #expect(script.next(through: seconds(end + 1_000)) == nil)
        }
    }

    @Test("an answer key line is the format's")
    func line() throws {
        let entry = AnswerKeyEntry(
            messageID: "a:1:7", device: "a", sequence: 7, eventTime: epoch,
            sent: [epoch, EventTime(milliseconds: 1_772_323_201_500)], values: [Column("t", .float(21.3))],
            trueValues: [Column("t", .float(21.2))], faults: [.duplicate, .outOfOrder], expectation: .once)
        var bytes: [UInt8] = []
        entry.appendLine(to: &bytes)
        let expected = [
            #"{"id":"a:1:7","device":"a","seq":7,"event_time":"2026-03-01T00:00:00Z","#,
            #""sent":["2026-03-01T00:00:00Z","2026-03-01T00:00:01.500Z"],"values":{"t":21.3},"#,
            #""true_values":{"t":21.2},"faults":["duplicate","out_of_order"],"expect":"once"}"#, "\n",
        ]
        #expect(String(decoding: bytes, as: UTF8.self) == expected.joined())
    }
}

@Suite("Store and forward")
struct OfflineTests {
    private func plan(_ offline: String) throws -> FleetPlan {
        try FleetTests.plan(
            "every: 1s\nsensors: { v: { constant: 1 } }\nconnection: { offline: { \(offline) } }\n")
    }

    /// From going off line to coming back, with what was sent in the half minute after.
    private func absence(_ found: [PlannedAction]) throws -> (
        from: EventTime, to: EventTime, after: [AnswerKeyEntry]
    ) {
        let from = try #require(found.firstIndex { $0.kind == .goOffline })
        let to = try #require(found.firstIndex { $0.kind == .comeOnline })
        #expect(from < to)
        let sentMeanwhile = found[from..<to].contains { if case .publish = $0.kind { true } else { false } }
        #expect(!sentMeanwhile)
        let after = found[to...].prefix { $0.kind != .goOffline }
        return (found[from].time, found[to].time, Array(after).entries)
    }

    @Test("readings made off line go out on return, the oldest first, at the rate set")
    func oldestFirst() throws {
        let found = actions(try plan("mtbf: 1m, for: 20s, rate: 4/s"), until: seconds(600))
        let (from, to, after) = try absence(found)
        #expect(to.ticks - from.ticks == 20 * EventTime.ticksPerSecond)
        let kept = after.filter { $0.faults.contains(.offline) }
        #expect(kept.count == 20)
        for (index, entry) in kept.enumerated() {
            #expect(entry.sent[0].ticks == to.ticks + Int64(index) * 2_500_000)
            #expect(entry.expectation == .once)
        }
        #expect(zip(after, after.dropFirst()).allSatisfy { $0.sequence + 1 == $1.sequence })
    }

    @Test("without a rate the backlog goes out at once")
    func atOnce() throws {
        let (_, to, after) = try absence(actions(try plan("mtbf: 1m, for: 20s"), until: seconds(600)))
        let kept = after.filter { $0.faults.contains(.offline) }
        #expect(kept.count == 20)
        #expect(kept.allSatisfy { $0.sent[0] == to })
    }

    @Test("newest first lets fresh readings pass the backlog")
    func newestFirst() throws {
        let found = actions(
            try plan("mtbf: 5m, for: 20s, send: newest_first, rate: 2/s"), until: seconds(1_500))
        let (_, _, after) = try absence(found)
        let kept = after.filter { $0.faults.contains(.offline) }
        #expect(kept.count == 20)
        #expect(zip(kept, kept.dropFirst()).allSatisfy { $0.sequence > $1.sequence })
        let lastKept = try #require(after.lastIndex { $0.faults.contains(.offline) })
        #expect(after[..<lastKept].contains { $0.faults.isEmpty })
    }

    @Test("what keep cannot hold is given up, the oldest first, and is never sent")
    func keep() throws {
        let found = actions(try plan("mtbf: 1m, for: 20s, keep: 5"), until: seconds(600))
        let (_, _, after) = try absence(found)
        #expect(after.filter { $0.faults.contains(.offline) }.count == 5)
        let from = try #require(found.firstIndex { $0.kind == .goOffline })
        let to = try #require(found.firstIndex { $0.kind == .comeOnline })
        let givenUp = Array(found[from..<to]).entries
        #expect(givenUp.count == 15)
        #expect(givenUp.allSatisfy { $0.expectation == .never && $0.faults == .offline && $0.sent.isEmpty })
        let lastGivenUp = try #require(givenUp.last)
        let firstKept = try #require(after.first)
        #expect(lastGivenUp.sequence < firstKept.sequence)
    }

    @Test("no duplicate is sent while the device is away")
    func duplicatesBeforeAbsence() throws {
        let plan = try FleetTests.plan(
            "every: 1s\nsensors: { v: { constant: 1 } }\nconnection: { offline: { mtbf: 20s, for: 5s } }\n"
                + "faults: [ duplicate: 50% ]\n")
        var isAway = false
        for action in actions(plan, until: seconds(2_000)) {
            switch action.kind {
            case .goOffline: isAway = true
            case .comeOnline: isAway = false
            case .publish: #expect(!isAway)
            case .omit: break
            }
        }
    }
}
