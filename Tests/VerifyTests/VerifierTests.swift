import Platform
import Telemetry
import Testing
import Verify

@Suite("The proof passes when all is right and fails when one thing is wrong")
struct VerifierTests {
    @Test("A consistent run passes, with every count")
    func consistent() throws {
        let report = try Scene().verify()
        #expect(report.passed, "\(report.text)")
        #expect(report.keyOnce == 116)
        #expect(report.keyNever == 2)
        #expect(report.keyQuarantine == 2)
        #expect(report.storedOnce == 116)
        #expect(report.quarantined == 2)
        #expect(report.late == 2)
        #expect(report.windowsChecked == 20)
        #expect(report.windowsWrong == 0)
    }

    @Test("A record that is removed is lost, breaks the sequence and is missed by its windows")
    func removed() throws {
        var scene = Scene()
        scene.records.remove(at: scene.index(of: "d1:25"))
        let report = try scene.verify()
        #expect(!report.passed)
        #expect(report.lost.examples == ["d1 d1:25"])
        #expect(report.sequenceBroken.count == 1)
        #expect(report.windowsDifferent.count == 2)
        #expect(report.storedOnce == 115)
    }

    @Test("A record that is removed without a trace in the sequence is lost all the same")
    func removedAndRenumbered() throws {
        var scene = Scene()
        scene.records.remove(at: scene.index(of: "d1:60"))
        scene.renumber()
        let report = try scene.verify()
        #expect(!report.passed)
        #expect(report.lost.count == 1)
        #expect(report.sequenceBroken.count == 0)
    }

    @Test("A record that is stored twice is counted twice")
    func duplicated() throws {
        var scene = Scene()
        let index = scene.index(of: "d2:25")
        scene.records.insert(scene.records[index], at: index + 1)
        scene.renumber()
        let report = try scene.verify()
        #expect(!report.passed)
        #expect(report.countedTwice.count == 1)
        #expect(report.countedTwice.examples.first?.hasPrefix("d2 d2:25: stored again as sequence ") == true)
        #expect(report.lost.count == 0)
        #expect(report.outOfOrder.count == 0)
    }

    @Test("A sequence that repeats or does not begin at 1 is a break", arguments: [0, 30])
    func repeatedSequence(index: Int) throws {
        var scene = Scene()
        scene.records[index].sequence += 1
        let report = try scene.verify()
        #expect(!report.passed)
        #expect(report.sequenceBroken.count == 2)
        #expect(report.countedTwice.count == 0)
    }

    @Test("Two records that changed places are out of order")
    func swapped() throws {
        var scene = Scene()
        scene.records.swapAt(scene.index(of: "d1:14"), scene.index(of: "d1:15"))
        scene.renumber()
        let report = try scene.verify()
        #expect(!report.passed)
        #expect(report.outOfOrder.count == 1)
        #expect(report.outOfOrder.examples.first?.hasPrefix("d1 d1:14: ") == true)
        #expect(report.windowsWrong == 0)
    }

    @Test(
        "A payload that is not what was published is altered",
        arguments: [
            ("\"count\":75", "\"count\":76", "count is 76, published 75"),
            ("\"count\":75", "\"counts\":75", "count is missing"),
            ("\"count\":75", "\"count\":\"75\"", "count is \"75\", published 75"),
            ("\"count\":75", "\"count\":75,\"x\":1", "x was not published"),
            ("}", "", "the payload is no JSON object"),
        ])
    func alteredValue(from: String, to: String, message: String) throws {
        var scene = Scene()
        let index = scene.index(of: "d1:25")
        let payload = String(decoding: scene.records[index].payload, as: UTF8.self)
        scene.records[index].payload = Array(payload.replacing(from, with: to).utf8)
        let report = try scene.verify()
        #expect(!report.passed)
        #expect(report.altered.examples == ["d1 d1:25: \(message)"])
    }

    @Test("An event time that is not what was published is altered")
    func alteredTime() throws {
        var scene = Scene()
        let index = scene.index(of: "d1:25")
        scene.records[index].eventTime = scene.records[index].eventTime.adding(ticks: 1)
        #expect(try scene.verify().altered.count == 1)
    }

    @Test("What is lost on purpose and stored all the same is reported")
    func neverButStored() throws {
        var scene = Scene()
        let time = Scene.start + 50_000
        scene.records.insert(
            Scene.record(
                "d1", sequence: 0, id: "d1:10", event: time, arrival: time,
                payload: Scene.payload("d1", 10, time, Scene.temperature(10), 30)), at: 9)
        scene.renumber()
        let report = try scene.verify()
        #expect(!report.passed)
        #expect(report.neverButStored.examples == ["d1 d1:10: expected never, is sequence 10"])
    }

    @Test("A malformed message that is not in quarantine, or is stored as a reading, is reported")
    func quarantine() throws {
        var scene = Scene()
        let index = scene.index(of: "d1:20")
        let kept = scene.records.remove(at: index)
        #expect(try scene.verify().missingQuarantine.examples == ["d1 d1:20"])
        scene.records.insert(kept, at: index)
        scene.records[index].quarantineReason = nil
        scene.renumber()
        let report = try scene.verify()
        #expect(report.missingQuarantine.count == 1)
        #expect(report.neverButStored.count == 1)
        #expect(!report.passed)
    }

    @Test("A good reading that ended in quarantine is lost, and the report says where it is")
    func quarantinedGoodReading() throws {
        var scene = Scene()
        scene.records[scene.index(of: "d2:50")].quarantineReason = .conflict
        scene.renumber()
        #expect(try scene.verify().lost.examples == ["d2 d2:50: it is in quarantine"])
    }
}

@Suite("The proof recomputes every window")
struct VerifierWindowTests {
    @Test(
        "A window with one wrong number is different", arguments: ["min", "max", "sum", "avg"])
    func altered(field: String) throws {
        let fields: [String: WritableKeyPath<Scene.Row, Double>] = [
            "min": \.min, "max": \.max, "sum": \.sum, "avg": \.average,
        ]
        var scene = Scene()
        scene.rows[3][keyPath: try #require(fields[field])] *= 1 + 1e-8
        let report = try scene.verify()
        #expect(!report.passed)
        #expect(report.windowsDifferent.count == 1)
        #expect(report.windowsWrong == 1)
    }

    @Test("A window that counts one more is different")
    func count() throws {
        var scene = Scene()
        scene.rows[3].count += 1
        let report = try scene.verify()
        #expect(report.windowsDifferent.examples.first?.contains("count 13, must be 12") == true)
    }

    @Test("The rounding of a sum is not an error")
    func rounding() throws {
        var scene = Scene()
        scene.rows[3].sum *= 1 + 1e-13
        scene.rows[3].average *= 1 - 1e-13
        #expect(try scene.verify().passed)
    }

    @Test("A row that is there twice is a duplicate, once")
    func duplicate() throws {
        var scene = Scene()
        scene.rows.append(scene.rows[3])
        let report = try scene.verify()
        #expect(!report.passed)
        #expect(report.windowsDuplicate.count == 1)
        #expect(report.windowsWrong == 1)
    }

    @Test("Two rows under one result id are a duplicate")
    func duplicateID() throws {
        var scene = Scene()
        scene.rows[4].identifier = scene.rows[3].identifier
        #expect(try scene.verify().windowsDuplicate.count == 1)
    }

    @Test("A window without its row is missing when it is complete, and not yet wrong when it is not")
    func missing() throws {
        var scene = Scene()
        let last = try #require(scene.rows.firstIndex { $0.end == Scene.start + 300_000 })
        scene.rows.remove(at: last)
        let report = try scene.verify()
        #expect(!report.passed)
        #expect(report.windowsMissing.count == 1)
        #expect(report.windowsMissing.examples.first?.hasSuffix("12 readings, no row") == true)
        scene.completeThrough = EventTime(milliseconds: Scene.start + 299_999)
        #expect(try scene.verify().passed)
        let open = try scene.verify()
        #expect(open.windowsOpen == 1)
        #expect(open.text.contains("windows still open                     1   not due yet, not checked\n"))
        scene.completeThrough = nil
        #expect(try scene.verify().passed)
    }

    @Test("A row beyond what is complete is checked all the same")
    func beyondComplete() throws {
        var scene = Scene()
        scene.completeThrough = nil
        scene.rows[9].count += 1
        #expect(try scene.verify().windowsDifferent.count == 1)
    }

    @Test("A row for a minute without readings is extra")
    func extra() throws {
        var scene = Scene()
        var row = scene.rows[3]
        row.end += 3_600_000
        row.identifier = "another"
        scene.rows.append(row)
        let report = try scene.verify()
        #expect(!report.passed)
        #expect(report.windowsExtra.examples.first?.hasSuffix("a row, no readings") == true)
    }

    @Test("A reading on the boundary belongs to the minute that ends there")
    func boundary() throws {
        var scene = Scene()
        // Reading 12 is at 12:01:00.000. Its value moves to the minute after, as `[start, end)` would have
        // it.
        let temperature = Scene.temperature(12)
        let rows = scene.rows.indices.filter {
            scene.rows[$0].device == "d1" && scene.rows[$0].field == "temperature"
        }.sorted { scene.rows[$0].end < scene.rows[$1].end }
        for (row, sign) in [(rows[0], -1), (rows[1], 1)] {
            scene.rows[row].count += sign
            scene.rows[row].sum += Double(sign) * temperature
            scene.rows[row].average = scene.rows[row].sum / Double(scene.rows[row].count)
        }
        #expect(try scene.verify().windowsDifferent.count == 2)
    }

    @Test(
        "A reading out of bounds is in no window",
        arguments: [
            (Int64(60_000), Int64(0), true), (60_001, 0, false), (-300_000, 0, true), (-300_001, 0, false),
            (0, -60_000, true), (0, -60_001, false),
        ])
    func bounds(arrivalAfterEvent: Int64, eventAfterFirst: Int64, counts: Bool) throws {
        let first = Scene.start + 30_000
        let event = first + eventAfterFirst
        let records = [
            Scene.record("d", sequence: 1, id: nil, event: first, arrival: first, payload: "{\"v\":1}"),
            Scene.record(
                "d", sequence: 2, id: nil, event: event, arrival: event + arrivalAfterEvent,
                payload: "{\"v\":1}"),
        ]
        let report = try Verifier(files: PosixFileStore()).verify(
            answerKey: nil, rows: .lines([]),
            completeThrough: EventTime(milliseconds: Scene.start + 86_400_000)
        ) { each in for record in records { try each(record) } }
        #expect(report.late == (counts ? 0 : 1))
        let sameMinute = eventAfterFirst == 0
        #expect(report.windowsMissing.count == (counts && !sameMinute ? 2 : 1))
        if sameMinute {
            #expect(report.windowsMissing.examples.first?.contains("\(counts ? 2 : 1) readings") == true)
        }
    }

    @Test("Devices that are not in the key are checked from what is stored")
    func realDevice() throws {
        var scene = Scene()
        let time = Scene.start + 1_000
        let payload =
            "{\"messageId\":7,\"timestamp\":1772366401000,\"level\":2,\"deviceId\":3,\"x\":{\"y\":1}}"
        for sequence in 1...3 as ClosedRange<UInt64> {
            scene.records.append(
                Scene.record(
                    "real", sequence: sequence, id: sequence == 1 ? "a" : nil, event: time, arrival: time,
                    payload: payload))
        }
        let row = Scene.Row(
            device: "real", field: "level", end: Scene.start + 60_000, count: 3, min: 2, max: 2, sum: 6,
            average: 2,
            identifier: "r")
        scene.rows.append(row)
        let good = try scene.verify()
        #expect(good.passed, "\(good.text)")
        #expect(good.storedBesideKey == 3)
        scene.records[scene.records.count - 1].messageID = "a"
        let bad = try scene.verify()
        #expect(bad.countedTwice.examples == ["real a: stored again as sequence 3"])
        #expect(bad.windowsDifferent.count == 1)
    }

    @Test("Integers are added exactly, and an overflow needs no row")
    func integers() throws {
        let time = Scene.start + 1_000
        let big = Int64.max - 5
        func verify(_ values: [Int64], _ row: String?) throws -> VerifyReport {
            try Verifier(files: PosixFileStore()).verify(
                answerKey: nil, rows: .lines(row.map { [Array($0.utf8)] } ?? []),
                completeThrough: EventTime(milliseconds: Scene.start + 60_000)
            ) { each in
                for (index, value) in values.enumerated() {
                    try each(
                        Scene.record(
                            "d", sequence: UInt64(index + 1), id: nil, event: time, arrival: time,
                            payload: "{\"v\":\(value)}"))
                }
            }
        }
        func row(_ minimum: Int64) -> String {
            """
            {"device":"d","field":"v","windowStart":"2026-03-01T12:00:00Z",\
            "windowEnd":"2026-03-01T12:01:00Z",\
            "count":1,"min":\(minimum),"max":\(big),"avg":\(Double(big)),"sum":\(big),"_rid":"r"}
            """
        }
        #expect(try verify([big], row(big)).passed)
        // As doubles the two are equal.
        #expect(try verify([big], row(big - 1)).windowsDifferent.count == 1)
        #expect(try verify([big, 6], nil).passed)
    }
}
