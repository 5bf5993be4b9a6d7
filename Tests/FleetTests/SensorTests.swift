import Fleet
import Foundation
import Telemetry
import Testing

@Suite("Generators and modifiers")
struct SensorTests {
    /// The readings of one device of one sensor `v` at 1 s, for `count` seconds.
    private func entries(_ sensor: String, count: Int64 = 2_000, device: Int = 0) throws -> [AnswerKeyEntry] {
        let plan = try plan("count: 5\nevery: 1s\nsensors:\n  v: \(sensor)\n")
        return actions(plan, device: device, until: seconds(count)).entries
    }

    @Test("uniform stays within its bounds and fills them")
    func uniform() throws {
        let values = numbers(try entries("{ uniform: { min: 2, max: 4 } }"))
        #expect(values.allSatisfy { (2...4).contains($0) })
        #expect(abs(values.reduce(0, +) / Double(values.count) - 3) < 0.05)
        #expect((values.min() ?? 9) < 2.05)
        #expect((values.max() ?? 0) > 3.95)
    }

    @Test("normal has its mean and deviation")
    func normal() throws {
        let values = numbers(try entries("{ normal: { mean: 50, stddev: 3 } }"))
        let mean = values.reduce(0, +) / Double(values.count)
        let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
        #expect(abs(mean - 50) < 0.3)
        #expect(abs(variance.squareRoot() - 3) < 0.2)
    }

    @Test("a walk begins at its start, moves by a step at most and stays within its bounds")
    func walk() throws {
        let values = numbers(try entries("{ walk: { start: 21, step: 0.4, min: 20, max: 22 } }"))
        #expect(values.first == 21)
        #expect(values.allSatisfy { (20...22).contains($0) })
        #expect(zip(values, values.dropFirst()).allSatisfy { abs($0 - $1) <= 0.401 })
        #expect((values.max() ?? 0) > 21.8)
        #expect((values.min() ?? 99) < 20.2)
    }

    @Test("a range is drawn once per device")
    func drawnOnce() throws {
        let firsts = try (0..<5).map { device in
            try #require(
                numbers(entries("{ walk: { start: 19..23, step: 0.1 } }", count: 3, device: device)).first)
        }
        #expect(Set(firsts).count == 5)
        #expect(firsts.allSatisfy { (19...23).contains($0) })
    }

    @Test("a sine follows its period from the epoch")
    func sine() throws {
        let found = try entries("{ sine: { mean: 10, amplitude: 2, period: 1m } }", count: 120)
        for entry in found {
            let phase =
                Double(entry.eventTime.ticks % EventTime.ticksPerMinute) / Double(EventTime.ticksPerMinute)
            #expect(abs((numbers([entry]).first ?? 0) - (10 + 2 * sin(2 * .pi * phase))) < 0.001)
        }
    }

    @Test("a day has its top at its peak and its bottom half a day later")
    func daily() throws {
        let plan = try plan("every: 10m\nsensors:\n  v: { daily: { min: 5, max: 25, peak: 15:00 } }\n")
        let found = actions(plan, until: seconds(86_400)).entries
        let top = try #require(found.max { (numbers([$0]).first ?? 0) < (numbers([$1]).first ?? 0) })
        let bottom = try #require(found.min { (numbers([$0]).first ?? 0) < (numbers([$1]).first ?? 0) })
        #expect(abs(top.eventTime.ticks - seconds(15 * 3_600).ticks) <= 300 * EventTime.ticksPerSecond)
        #expect(abs(bottom.eventTime.ticks - seconds(3 * 3_600).ticks) <= 300 * EventTime.ticksPerSecond)
        #expect(numbers(found).allSatisfy { (5...25).contains($0) })
    }

    @Test("a counter counts, whole or not, and begins again at its wrap")
    func counter() throws {
        #expect(
            numbers(try entries("{ counter: { start: 5, step: 2, wrap: 10 } }", count: 6)) == [
                5, 7, 9, 5, 7, 9,
            ])
        let values = numbers(try entries("{ counter: { start: 1, step: 0.1..0.3 } }"))
        #expect(zip(values, values.dropFirst()).allSatisfy { $1 - $0 > 0.098 && $1 - $0 < 0.302 })
        let whole = try entries("{ counter: { step: 1..3 } }", count: 3)
        #expect(whole.first?.values == [Column("v", .bigint(0))])
    }

    @Test("a sequence goes round, or stays at its last value")
    func sequence() throws {
        #expect(numbers(try entries("{ sequence: [1, 2, 3] }", count: 7)) == [1, 2, 3, 1, 2, 3, 1])
        #expect(
            numbers(try entries("{ sequence: { values: [1, 2], loop: false } }", count: 4)) == [1, 2, 2, 2])
    }

    @Test("a choice keeps its weights")
    func choice() throws {
        let values = try entries("{ choice: { a: 90%, b: 10% } }").map { $0.values[0].value }
        let share = Double(values.filter { $0 == .text("b") }.count) / Double(values.count)
        #expect(abs(share - 0.1) < 0.03)
        #expect(values.allSatisfy { $0 == .text("a") || $0 == .text("b") })
    }

    @Test("noise is in the values and not in the true values")
    func noise() throws {
        let found = try entries("{ constant: 20, noise: ±0.5, round: 2 }")
        #expect(numbers(found, truth: true).allSatisfy { $0 == 20 })
        let values = numbers(found)
        #expect(values.allSatisfy { (19.5...20.5).contains($0) })
        #expect(Set(values).count > 50)
    }

    @Test("rounding to 0 digits gives integers, clamp keeps within")
    func roundAndClamp() throws {
        let found = try entries("{ normal: { mean: 5, stddev: 5 }, round: 0, clamp: 0..10 }")
        for entry in found {
            guard case .bigint(let value) = entry.values[0].value else {
                Issue.record("not an integer: \(entry.values)")
                return
            }
            #expect((0...10).contains(value))
        }
        #expect(numbers(try entries("{ constant: 1.23456, round: 2 }", count: 2)).first == 1.23)
    }

    @Test("a sensor with an interval of its own is in the readings that are due")
    func ownInterval() throws {
        let plan = try plan(
            "every: 1s\nsensors:\n  v: { constant: 1 }\n  slow: { constant: 2, every: 10s }\n")
        let found = actions(plan, until: seconds(100)).entries
        #expect(found.count == 100)
        #expect(numbers(found, "slow").count == 10)
    }

    @Test("on change reports each new value once, and makes no reading when there is nothing new")
    func onChange() throws {
        let found = try entries("{ sequence: [1, 1, 2, 2, 2, 1], report: on_change }", count: 12)
        #expect(numbers(found) == [1, 2, 1, 2, 1])
        #expect(found.map(\.sequence) == [1, 2, 3, 4, 5])
    }
}
