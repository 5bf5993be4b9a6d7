import Platform
import ResultSink
import Telemetry
import Testing

@Suite struct ResultLogTests {
    private func small() -> ResultLogLimits {
        var limits = ResultLogLimits()
        limits.segmentBytesMax = 1_000
        limits.bufferBytesMax = 500
        limits.readBytesMax = 300
        return limits
    }

    private func everything(_ log: ResultLog, from start: UInt64 = 0) throws -> [ResultLogEntry] {
        var entries: [ResultLogEntry] = []
        var at = start
        while true {
            let next = try log.read(from: at, limit: 7)
            guard let last = next.last else { return entries }
            entries += next
            at = last.nextPosition
        }
    }

    @Test("what is committed is read back in order, with positions that lead from one to the next")
    func readBack() throws {
        let log = try ResultLog.open(directory: "d/log", files: FaultStore(), limits: small())
        for index in 0..<50 {
            try log.append(row("dev", "f\(index)", minute: index, value: index), topic: "t/\(index)")
            if index % 10 == 9 { try log.appendComplete(through: moment(minute: index)) }
            if index % 7 == 0 { try log.commit() }
        }
        try log.commit()
        let entries = try everything(log)
        #expect(entries.count == 55)
        #expect(log.rowCount == 50)
        #expect(entries[0].position == 0)
        for (entry, next) in zip(entries, entries.dropFirst()) {
            #expect(entry.nextPosition == next.position)
            #expect(entry.rowsBefore + (entry.kind == .row ? 1 : 0) == next.rowsBefore)
        }
        #expect(entries.last?.nextPosition == log.endPosition)
        let rows = entries.filter { $0.kind == .row }
        for (index, entry) in rows.enumerated() {
            let original = row("dev", "f\(index)", minute: index, value: index)
            #expect(entry.json == original.json())
            #expect(entry.rid == original.id)
            #expect(entry.time == original.time)
            #expect(entry.topic == "t/\(index)")
            #expect(entry.output == "minute")
        }
        #expect(entries[10].kind == .complete)
        #expect(entries[10].time == moment(minute: 9))
    }

    @Test("readers see nothing that is not committed")
    func uncommitted() throws {
        let log = try ResultLog.open(directory: "d/log", files: FaultStore(), limits: small())
        for index in 0..<20 { try log.append(row("dev", "f", minute: 1, value: index), topic: "") }
        #expect(try log.read(from: 0, limit: 100).isEmpty)
        #expect(log.endPosition == 0)
        try log.commit()
        #expect(try everything(log).count == 20)
    }

    @Test("a commit without anything new does not touch the disk")
    func idleCommit() throws {
        let store = FaultStore()
        let log = try ResultLog.open(directory: "d/log", files: store)
        try log.append(row("dev", "f", minute: 1), topic: "")
        try log.commit()
        let before = store.operations
        try log.commit()
        #expect(store.operations == before)
    }

    @Test("an entry larger than the read limit is read all the same")
    func largeEntry() throws {
        let log = try ResultLog.open(directory: "d/log", files: FaultStore(), limits: small())
        let name = String(repeating: "x", count: 20_000)
        try log.append(row(name, "f", minute: 1), topic: "t")
        try log.append(row("dev", "f", minute: 1), topic: "t")
        try log.commit()
        #expect(try everything(log).map { $0.json.count > 20_000 } == [true, false])
        var limits = small()
        limits.rowBytesMax = 10_000
        let strict = try ResultLog.open(directory: "d/e", files: FaultStore(), limits: limits)
        #expect(throws: ResultLogError.self) { try strict.append(row(name, "f", minute: 1), topic: "t") }
    }

    @Test("reopened, the log goes on where it ended")
    func reopen() throws {
        let store = FaultStore()
        for round in 0..<5 {
            let log = try ResultLog.open(directory: "d/log", files: store, limits: small())
            #expect(log.rowCount == UInt64(round * 8))
            for index in 0..<8 {
                try log.append(row("dev", "f", minute: round, value: index), topic: "")
            }
            try log.commit()
        }
        let log = try ResultLog.open(directory: "d/log", files: store, limits: small())
        #expect(try everything(log).count == 40)
    }

    @Test("a torn tail is cut when the log is opened")
    func tornTail() throws {
        let store = FaultStore()
        let log = try ResultLog.open(directory: "d/log", files: store)
        try log.append(row("dev", "f", minute: 1), topic: "")
        try log.commit()
        let path = "d/log/00000000000000000000.results"
        let whole = try store.contents(of: path)
        for count in 1..<whole.count {
            // The beginning of a copy of the file's own entry, which is valid at another position only.
            store.damage(path) { $0 = whole + whole.dropFirst(40).prefix(count) }
            let reopened = try ResultLog.open(directory: "d/log", files: store)
            #expect(try store.contents(of: path) == whole)
            #expect(reopened.rowCount == 1)
        }
    }

    @Test("cut back to any entry's position, the log grows again to the same bytes")
    func truncate() throws {
        func fill(_ log: ResultLog, from start: Int) throws {
            for index in start..<40 {
                try log.append(row("dev", "f", minute: index / 10, value: index), topic: "t")
            }
            try log.commit()
        }
        let reference = FaultStore()
        let log = try ResultLog.open(directory: "d/log", files: reference, limits: small())
        try fill(log, from: 0)
        let entries = try everything(log)
        for entry in entries {
            let store = reference.crashed(.dropped)
            let cut = try ResultLog.open(directory: "d/log", files: store, limits: small())
            try cut.truncate(to: entry.position)
            #expect(cut.endPosition == entry.position)
            #expect(cut.rowCount == entry.rowsBefore)
            #expect(try everything(cut).count == Int(entry.rowsBefore))
            try fill(cut, from: Int(entry.rowsBefore))
            #expect(try everything(cut) == entries)
            let reopened = try ResultLog.open(directory: "d/log", files: store, limits: small())
            #expect(try everything(reopened) == entries)
        }
        let last = try #require(try reference.list("d/log").last)
        #expect(throws: ResultLogError.notAnEntry(position: 3)) { try log.truncate(to: 3) }
        let end = log.endPosition
        #expect(
            throws: ResultLogError.behindCheckpoint(path: "d/log/" + last, end: end, position: end + 1)
        ) {
            try log.truncate(to: end + 1)
        }
    }

    @Test("released segments are gone, and a cursor into them is told so")
    func release() throws {
        let store = FaultStore()
        let log = try ResultLog.open(directory: "d/log", files: store, limits: small())
        for index in 0..<40 {
            try log.append(row("dev", "f", minute: 1, value: index), topic: "")
            try log.commit()
        }
        let entries = try everything(log)
        let middle = entries[20]
        try log.release(before: middle.position)
        let start = log.startPosition
        #expect(start > 0)
        #expect(start <= middle.position)
        #expect(try everything(log, from: middle.position) == Array(entries[20...]))
        #expect(throws: ResultLogError.released(position: 0, start: start)) {
            try log.read(from: 0, limit: 1)
        }
        let reopened = try ResultLog.open(directory: "d/log", files: store, limits: small())
        #expect(reopened.startPosition == start)
        #expect(reopened.rowCount == 40)
        // A recomputation from the very beginning makes the log anew.
        try reopened.truncate(to: 0)
        #expect(reopened.startPosition == 0)
        #expect(reopened.rowCount == 0)
        try reopened.append(row("dev", "f", minute: 1), topic: "")
        try reopened.commit()
        #expect(try everything(reopened).count == 1)
    }

    @Test("the bytes of a segment are the documented ones")
    func golden() throws {
        let store = FaultStore()
        let log = try ResultLog.open(directory: "d/log", files: store)
        try log.append(row("p1", "t", minute: 1, value: 7), topic: "h/p1")
        try log.appendComplete(through: moment(minute: 1))
        try log.commit()
        let bytes = try store.contents(of: "d/log/00000000000000000000.results")
        let hex = bytes.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
        #expect(hex == Self.goldenHex)
    }

    @Test("a damaged entry is never served, and the error names file and byte")
    func damage() throws {
        let store = FaultStore()
        var log = try ResultLog.open(directory: "d/log", files: store, limits: small())
        for index in 0..<12 {
            try log.append(row("dev", "f", minute: 1, value: index), topic: "t")
            try log.commit()
        }
        let first = "d/log/00000000000000000000.results"
        let entries = try everything(log)
        let count = try store.contents(of: first).count
        for offset in stride(from: 40, to: count, by: 11) {
            store.damage(first) { $0[offset] ^= 1 }
            #expect(throws: ResultLogError.self) { try everything(log) }
            store.damage(first) { $0[offset] ^= 1 }
        }
        #expect(try everything(log) == entries)
        #expect(throws: ResultLogError.notAnEntry(position: 5)) { try log.read(from: 5, limit: 1) }
        store.damage(first) { $0[3] ^= 1 }
        #expect(throws: ResultLogError.damaged(path: first, offset: 0)) {
            try ResultLog.open(directory: "d/log", files: store, limits: small())
        }
        store.damage(first) { $0[3] ^= 1 }
        store.damage(first) { $0.removeLast() }
        #expect(throws: ResultLogError.self) {
            try ResultLog.open(directory: "d/log", files: store, limits: small())
        }
        // In the last segment a damaged entry is a torn tail; the checkpoint's position tells that it is
        // more.
        let last = try #require(try store.list("d/log").last)
        store.damage(first) { $0.append(0) }
        store.damage(first) { $0[$0.count - 1] = entries[0].json[entries[0].json.count - 1] }
        store.damage("d/log/" + last) { $0[$0.count - 1] ^= 1 }
        log = try ResultLog.open(directory: "d/log", files: store, limits: small())
        let end = log.endPosition
        #expect(end == entries[11].position)
        let position = entries[11].nextPosition
        #expect(
            throws: ResultLogError.behindCheckpoint(path: "d/log/" + last, end: end, position: position)
        ) {
            try log.truncate(to: entries[11].nextPosition)
        }
    }

    @Test("when the disk was full, the same commit succeeds once there is room")
    func full() throws {
        let store = FaultStore()
        let log = try ResultLog.open(directory: "d/log", files: store)
        try log.append(row("dev", "f", minute: 1), topic: "")
        store.fail(at: store.operations + 1, with: .full, once: true)
        #expect(throws: ResultLogError.self) { try log.commit() }
        #expect(try everything(log).isEmpty)
        try log.commit()
        #expect(try everything(log).count == 1)
    }

    @Test("after a failed sync nothing more is committed until the log is opened again")
    func failedSync() throws {
        let store = FaultStore()
        let log = try ResultLog.open(directory: "d/log", files: store)
        try log.append(row("dev", "f", minute: 1), topic: "")
        store.fail(at: store.operations + 2, once: true)
        #expect(throws: ResultLogError.self) { try log.commit() }
        #expect(throws: ResultLogError.poisoned) { try log.commit() }
        #expect(try everything(log).isEmpty)
        #expect(try everything(ResultLog.open(directory: "d/log", files: store.crashed(.dropped))).isEmpty)
    }

    static let goldenHex =
        "4845445245534c540100000000000000000000000000000000000000000000004335827a00000000a40000001509"
        + "053701000600040000000000000000000000000665a72ff73e00b2206f7e3b0901b79ba038ecd2fe92886d696e75"
        + "7465682f70317b22646576696365223a227031222c226669656c64223a2274222c2277696e646f77456e64223a22"
        + "323032362d30332d30315430303a30313a30305a222c2276616c7565223a372c225f726964223a22623730313039"
        + "3362376536663230623238383932666564326563333861303962227d28000000231a2c7502000000000000000100"
        + "000000000000000665a72ff73e0000000000000000000000000000000000"
}
