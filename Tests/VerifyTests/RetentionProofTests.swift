import Platform
import Telemetry
import Testing
import Verify

@Suite("The proof knows what retention removed and hides no loss behind it")
struct RetentionProofTests {
    /// A scene whose log begins with the first record of `kept` of d1 and what arrived with it.
    private func shortened(_ kept: Int) -> (scene: Scene, removed: Verifier.Removed) {
        var scene = Scene()
        let start = EventTime(milliseconds: Scene.start + Int64(kept) * 5_000)
        // The log is in the order of arrival; records of one device already are.
        var removed = Verifier.Removed()
        removed.arrivedBefore = start
        for record in scene.records where record.arrivalTime.ticks < start.ticks {
            if record.quarantineReason == nil {
                removed.records[record.device.text, default: 0] += 1
            } else {
                removed.quarantined += 1
            }
        }
        scene.records.removeAll { $0.arrivalTime.ticks < start.ticks }
        return (scene, removed)
    }

    @Test("Readings that retention removed are counted as such, and their windows are not checked")
    func passes() throws {
        let (scene, removed) = shortened(28)
        let report = try scene.verify(removed: removed)
        #expect(report.passed, "\(report.text)")
        #expect(report.removedByRetention == Int(removed.records["d1"] ?? 0) * 2)
        #expect(report.quarantineRemoved == 2)
        #expect(report.storedOnce == 116 - report.removedByRetention)
        // Three of the five minutes of two fields of two devices began before reading 28.
        #expect(report.windowsUnchecked == 12)
        #expect(report.windowsChecked == 8)
        #expect(report.text.contains("removed by retention"))
        #expect(report.text.contains("removed from quarantine                2   by retention"))
        #expect(report.text.contains("windows not checked"))
        #expect(String(decoding: report.json, as: UTF8.self).contains(#""windowsUnchecked":12"#))
    }

    @Test("Without the word of the log they are lost")
    func withoutWord() throws {
        let (scene, _) = shortened(28)
        let report = try scene.verify()
        #expect(report.lost.count > 40)
        #expect(report.sequenceBroken.count == 2)
    }

    @Test("A loss behind what retention left is a loss")
    func lossBehind() throws {
        var (scene, removed) = shortened(28)
        scene.records.remove(at: scene.index(of: "d2:50"))
        let report = try scene.verify(removed: removed)
        #expect(report.lost.examples == ["d2 d2:50"])
        #expect(report.sequenceBroken.count == 1)
        #expect(report.windowsDifferent.count == 2)
        // Without a trace in the sequence too.
        (scene, removed) = shortened(28)
        scene.records.remove(at: scene.index(of: "d2:50"))
        for index in scene.records.indices
        where scene.records[index].device.text == "d2" && index >= scene.index(of: "d2:51")
            && scene.records[index].quarantineReason == nil
        {
            scene.records[index].sequence -= 1
        }
        #expect(try scene.verify(removed: removed).lost.examples == ["d2 d2:50"])
    }

    @Test("A loss before what retention left shows when fewer sequences are gone than readings")
    func lossBefore() throws {
        var (scene, removed) = shortened(28)
        removed.records["d1"] = (removed.records["d1"] ?? 0) - 1
        for index in scene.records.indices
        where scene.records[index].device.text == "d1" && scene.records[index].quarantineReason == nil {
            scene.records[index].sequence -= 1
        }
        let report = try scene.verify(removed: removed)
        #expect(report.lost.count == 1)
        #expect(report.lost.examples.first?.contains("retention removed only 24") == true)
        #expect(!report.passed)
    }

    @Test("A first sequence that retention does not explain is a break")
    func unexplained() throws {
        var (scene, removed) = shortened(28)
        scene.records.remove(at: scene.index(of: "d1:28"))
        let report = try scene.verify(removed: removed)
        #expect(report.sequenceBroken.count == 1)
        #expect(report.lost.examples == ["d1 d1:28, or one before it: retention removed only 25"])
        removed.records["d1"] = 26
        #expect(try scene.verify(removed: removed).passed)
    }

    @Test("A malformed message that went with the others is not missing in quarantine, a later one is")
    func quarantine() throws {
        let (scene, removed) = shortened(28)
        #expect(removed.quarantined == 2)
        #expect(try scene.verify(removed: removed).missingQuarantine.count == 0)
        var (early, removedEarly) = shortened(15)
        #expect(removedEarly.quarantined == 0)
        early.records.removeAll { $0.messageID == "d1:20" }
        removedEarly.quarantined = 1
        let report = try early.verify(removed: removedEarly)
        #expect(report.missingQuarantine.examples == ["d1 d1:20"])
    }

    @Test("A wrong row of a window that nothing was removed from is wrong")
    func wrongRow() throws {
        var (scene, removed) = shortened(28)
        scene.rows[scene.rows.count - 1].sum += 1
        #expect(try scene.verify(removed: removed).windowsDifferent.count == 1)
        // And of one that something was removed from: nothing is proved.
        scene = shortened(28).scene
        scene.rows[0].sum += 1
        #expect(try scene.verify(removed: removed).passed)
        // Records beside the key were removed, nobody knows when they were made: five minutes are not checked.
        removed.records["d1"] = (removed.records["d1"] ?? 0) + 10
        for index in scene.records.indices
        where scene.records[index].device.text == "d1" && scene.records[index].quarantineReason == nil {
            scene.records[index].sequence += 10
        }
        let report = try scene.verify(removed: removed)
        #expect(report.windowsUnchecked == 16)
        #expect(report.passed, "\(report.text)")
    }
}
