import Platform
import ResultSink
import Telemetry
import Testing

@Suite struct SmallFileTests {
    @Test("a cursor that was saved is loaded; one that was not is nil")
    func cursor() throws {
        let cursor = SinkCursor(path: "d/c", files: FaultStore())
        #expect(try cursor.load() == nil)
        try cursor.save(12_345)
        #expect(try cursor.load() == 12_345)
        try cursor.save(UInt64.max)
        #expect(try cursor.load() == UInt64.max)
    }

    @Test("the bytes of cursor and checkpoint are the documented ones")
    func golden() throws {
        let store = FaultStore()
        try SinkCursor(path: "d/c", files: store).save(0x0102)
        let head = Array("HEDCURSR".utf8) + [1, 0, 0, 0]
        let cursor = try store.contents(of: "d/c")
        #expect(cursor.dropLast(4) == head + [2, 1, 0, 0, 0, 0, 0, 0])
        try CheckpointStore(path: "d/k", files: store)
            .save(Checkpoint(queueOffset: 3, resultPosition: 4, engineState: [9, 8]))
        let body: [UInt8] = [3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 9, 8]
        let checkpoint = try store.contents(of: "d/k")
        #expect(checkpoint.dropLast(4) == Array("HEDCHECK".utf8) + [1, 0, 0, 0] + body)
    }

    @Test("a damaged checkpoint or cursor is an error that says how to go on")
    func damage() throws {
        let store = FaultStore()
        let checkpoints = CheckpointStore(path: "d/k", files: store)
        let checkpoint = Checkpoint(queueOffset: 3, resultPosition: 4, engineState: [9, 8])
        try checkpoints.save(checkpoint)
        #expect(try checkpoints.load() == checkpoint)
        let head = try checkpoints.loadHead(stateByteCount: 1)
        #expect(head == Checkpoint(queueOffset: 3, resultPosition: 4, engineState: [9]))
        for index in 0..<(try store.contents(of: "d/k").count) {
            store.damage("d/k") { $0[index] ^= 4 }
            #expect(throws: SealedFileError.self, "byte \(index)") { try checkpoints.load() }
            #expect(throws: SealedFileError.self, "byte \(index)") {
                try checkpoints.loadHead(stateByteCount: 1)
            }
            store.damage("d/k") { $0[index] ^= 4 }
        }
        store.damage("d/k") { $0.removeLast() }
        let error = try #require(throws: SealedFileError.self) { try checkpoints.load() }
        #expect(error.description.hasPrefix("d/k: damaged; delete it"))
    }

    @Test(
        "a crash while a checkpoint is saved leaves the old one or the new one",
        arguments: FaultStore.Fate.allCases)
    func crash(fate: FaultStore.Fate) throws {
        let old = Checkpoint(queueOffset: 1, resultPosition: 1, engineState: Array(0..<200))
        let new = Checkpoint(queueOffset: 2, resultPosition: 2, engineState: Array(55..<255))
        var outcomes: Set<UInt64> = []
        for step in 1...20 {
            let store = FaultStore()
            let checkpoints = CheckpointStore(path: "d/k", files: store)
            try checkpoints.save(old)
            store.fail(at: store.operations + step, once: false)
            let saved = (try? checkpoints.save(new)) != nil
            let found = try CheckpointStore(path: "d/k", files: store.crashed(fate)).load()
            #expect(found == old || found == new)
            if saved { #expect(found == new) }
            outcomes.insert(found?.queueOffset ?? 0)
        }
        #expect(outcomes == [1, 2])
    }
}

@Suite struct TopicTemplateTests {
    @Test(
        "values fill their level and cannot make another",
        arguments: [
            ("pump-01", "rpm", "headend/minute/pump-01/rpm"), ("a/b", "+#", "headend/minute/a%2Fb/%2B%23"),
            ("a%2Fb", "100%", "headend/minute/a%252Fb/100%"), ("\u{0}", "%25", "headend/minute/%00/%2525"),
            ("ä b", "%zz", "headend/minute/ä b/%zz"),
        ])
    func fill(device: String, field: String, topic: String) throws {
        let template = try TopicTemplate("headend/minute/{device}/{field}", columns: ["device", "field"])
        #expect(template.fill(row(device, field, minute: 1)) == topic)
        // The way of rows that are bytes.
        var bytes = Array("before ".utf8)
        template.rowTopic(columns: ["field", "n", "device", "device"]).append(to: &bytes) {
            $1.append(contentsOf: [field, "7", device, "the other"][$0].utf8)
        }
        #expect(String(decoding: bytes, as: UTF8.self) == "before " + topic)
        bytes = []
        template.rowTopic(columns: ["device"]).append(to: &bytes) { $1.append(contentsOf: "\($0)".utf8) }
        #expect(String(decoding: bytes, as: UTF8.self) == "headend/minute/0/null")
    }

    @Test("times, numbers and missing columns have a text too")
    func otherValues() throws {
        let template = try TopicTemplate("{windowEnd}/{value}/{none}x")
        #expect(template.fill(row("d", "f", minute: 1, value: -4)) == "2026-03-01T00:01:00Z/-4/nullx")
    }

    @Test("a template that cannot be filled is refused with its place")
    func refusals() throws {
        #expect(throws: TopicTemplate.ParseError.unbalanced(template: "a/{b", at: 2)) {
            try TopicTemplate("a/{b")
        }
        #expect(throws: TopicTemplate.ParseError.unbalanced(template: "a}", at: 1)) {
            try TopicTemplate("a}")
        }
        #expect(throws: TopicTemplate.ParseError.unbalanced(template: "{a{b}}", at: 2)) {
            try TopicTemplate("{a{b}}")
        }
        let error = try #require(throws: TopicTemplate.ParseError.self) {
            try TopicTemplate("{devise}", columns: ["device", "field"])
        }
        #expect(error.description == "topic \"{devise}\": no column \"devise\"; there are device, field")
    }
}
