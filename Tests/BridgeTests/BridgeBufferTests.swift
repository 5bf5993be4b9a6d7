import FileStoreKit
import Platform
import Testing

@testable import Bridge

@Suite("The buffer of a bridge")
struct BridgeBufferTests {
    private static let directory = "data/bridges/b"

    private static func message(_ number: Int, payloadBytes: Int = 20) -> BufferedMessage {
        BufferedMessage(
            topic: "topic/\(number)", qos: UInt8(number % 2), retain: number % 3 == 0,
            properties: [UInt8](repeating: 1, count: number % 5),
            payload: [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: payloadBytes),
            collectedTicks: Int64(number))
    }

    private static func open(
        _ files: MemoryFileStore, cursor: UInt64 = 0, bytesMax: UInt64 = 1 << 20, segmentBytes: UInt64 = 300
    ) throws -> BridgeBuffer {
        var limits = BridgeBufferLimits()
        limits.bytesMax = bytesMax
        limits.segmentBytes = segmentBytes
        limits.messageBytesMax = 5_000
        limits.readBytes = 128
        return try BridgeBuffer(
            directory: directory, below: "data", files: files, limits: limits, cursor: cursor)
    }

    private static func all(_ buffer: BridgeBuffer, from cursor: UInt64) throws -> [BridgeBuffer.Entry] {
        var entries: [BridgeBuffer.Entry] = []
        while true {
            let more = try buffer.read(from: entries.last?.nextPosition ?? cursor, limit: 3)
            if more.isEmpty { return entries }
            entries += more
        }
    }

    @Test("Messages come out as they went in, in order, over files and a restart")
    func roundTrip() throws {
        let files = MemoryFileStore()
        let messages = (0..<40).map { Self.message($0, payloadBytes: $0 == 17 ? 3_000 : $0) }
        var buffer = try Self.open(files)
        for message in messages {
            #expect(buffer.append(message))
            if message.collectedTicks % 3 == 0 { try buffer.commit() }
        }
        try buffer.commit()
        #expect(try Self.all(buffer, from: 0).map(\.message) == messages)
        buffer = try Self.open(files)
        let entries = try Self.all(buffer, from: 0)
        #expect(entries.map(\.message) == messages)
        // From any message on.
        for (index, entry) in entries.enumerated() {
            #expect(
                try Self.all(buffer, from: entry.nextPosition).map(\.message)
                    == Array(messages[(index + 1)...]))
        }
        #expect(try files.list(Self.directory).count > 5)
    }

    @Test("What is not committed is not read, and what is read stays until it is released")
    func commitAndRelease() throws {
        let files = MemoryFileStore()
        let buffer = try Self.open(files)
        #expect(buffer.append(Self.message(1)))
        #expect(try buffer.read(from: 0, limit: 10).isEmpty)
        for number in 2...40 {
            try buffer.commit()
            #expect(buffer.append(Self.message(number)))
        }
        try buffer.commit()
        let entries = try Self.all(buffer, from: 0)
        let before = buffer.byteCount
        try buffer.release(before: entries[19].nextPosition)
        #expect(buffer.byteCount < before)
        #expect(buffer.startPosition <= entries[19].nextPosition)
        #expect(try Self.all(buffer, from: entries[19].nextPosition).count == 20)
        let again = try Self.open(files, cursor: entries[19].nextPosition)
        #expect(try Self.all(again, from: entries[19].nextPosition).count == 20)
    }

    @Test("At the limit new messages are refused, and taken again when some were released")
    func limit() throws {
        let files = MemoryFileStore()
        let buffer = try Self.open(files, bytesMax: 1_000)
        var taken = 0
        for number in 0..<100 {
            if buffer.append(Self.message(number)) { taken += 1 }
            try buffer.commit()
        }
        #expect((10...20).contains(taken))
        #expect(buffer.byteCount <= 1_000)
        #expect(try Self.all(buffer, from: 0).map(\.message) == (0..<taken).map { Self.message($0) })
        try buffer.release(before: buffer.endPosition)
        #expect(buffer.append(Self.message(200)))
    }

    @Test(
        "A crash at any call loses nothing committed, keeps the order, and invents nothing",
        .timeLimit(.minutes(1)),
        arguments: MemoryFileStore.CrashMode.allCases)
    fileprivate func crashes(_ mode: MemoryFileStore.CrashMode) throws {
        var at = 1
        var isDone = false
        while !isDone {
            let files = MemoryFileStore()
            files.crashAt = at
            var committed = 0
            var appended = 0
            var cursor: UInt64 = 0
            var cursorIndex = 0
            do {
                let buffer = try Self.open(files)
                var state = BridgeState()
                for number in 0..<30 {
                    #expect(buffer.append(Self.message(number)))
                    appended += 1
                    if number % 2 == 0 { continue }
                    try buffer.commit()
                    committed = appended
                    guard number % 7 == 0 else { continue }
                    // Half of what waits is forwarded.
                    let entries = try Self.all(buffer, from: cursor)
                    let half = entries[entries.count / 2]
                    state.cursor = half.nextPosition
                    try state.save("data/state", files: files)
                    cursor = half.nextPosition
                    cursorIndex += entries.count / 2 + 1
                    try buffer.release(before: cursor)
                }
                isDone = true
            } catch { #expect(files.hasCrashed, "call \(at): \(error)") }
            if isDone { files.crashAt = nil }
            let after = isDone ? files : files.afterCrash(mode, seed: UInt64(at))
            let found = try BridgeState.load("data/state", files: after)?.cursor ?? 0
            #expect(found >= cursor || !isDone && found == cursor, "call \(at)")
            for _ in 0..<2 {
                let buffer = try Self.open(after, cursor: found)
                let numbers = try Self.all(buffer, from: found).map { Int($0.message.collectedTicks) }
                let first = numbers.first ?? (found == cursor ? cursorIndex : committed)
                #expect(numbers == Array(first..<(first + numbers.count)), "call \(at)")
                #expect(found != cursor || first == cursorIndex || numbers.isEmpty, "call \(at)")
                #expect(first + numbers.count >= committed, "call \(at): \(numbers), not to \(committed)")
                #expect(first + numbers.count <= appended, "call \(at)")
                // It goes on from there.
                #expect(buffer.append(Self.message(first + numbers.count)))
                try buffer.commit()
                appended = max(appended, first + numbers.count + 1)
            }
            at += 1
        }
        #expect(at > 70)
    }

    @Test("A full disk takes nothing and goes on where it was when there is room")
    func diskFull() throws {
        let files = MemoryFileStore()
        let buffer = try Self.open(files)
        #expect(buffer.append(Self.message(0)))
        try buffer.commit()
        files.capacity = 90
        #expect(buffer.append(Self.message(1)))
        for _ in 0..<3 {
            #expect { try buffer.commit() } throws: { ($0 as? BridgeBufferError)?.isRetriable == true }
        }
        #expect(buffer.append(Self.message(2)))
        files.capacity = .max
        try buffer.commit()
        #expect(try Self.all(buffer, from: 0).map { Int($0.message.collectedTicks) } == [0, 1, 2])
        let after = files.afterCrash(.drop, seed: 1)
        #expect(try Self.all(try Self.open(after), from: 0).count == 3)
    }

    @Test("Every damaged byte of a finished file is noticed and its place told")
    func damage() throws {
        let files = MemoryFileStore()
        let buffer = try Self.open(files)
        for number in 0..<12 {
            #expect(buffer.append(Self.message(number)))
            try buffer.commit()
        }
        let name = try #require(try files.list(Self.directory).first)
        let path = Self.directory + "/" + name
        let whole = files[path]
        for at in whole.indices {
            files[path][at] ^= 0x10
            do {
                let reopened = try Self.open(files)
                let numbers = try Self.all(reopened, from: 0).map { Int($0.message.collectedTicks) }
                Issue.record("byte \(at) changed, read \(numbers)")
            } catch { #expect("\(error)".contains(path), "byte \(at): \(error)") }
            files[path] = whole
        }
        #expect(try Self.all(try Self.open(files), from: 0).count == 12)
    }

    @Test("A cursor ahead of the files, which were restored from somewhere, begins anew there")
    func cursorAhead() throws {
        let files = MemoryFileStore()
        let buffer = try Self.open(files)
        #expect(buffer.append(Self.message(0)))
        try buffer.commit()
        let later = try Self.open(files, cursor: 1_000)
        #expect(try Self.all(later, from: 1_000).isEmpty)
        #expect(later.append(Self.message(1)))
        try later.commit()
        let again = try Self.open(files, cursor: 1_000)
        #expect(try Self.all(again, from: 1_000).map(\.message) == [Self.message(1)])
    }

    @Test("The bytes on disk are those of the documented format")
    func golden() throws {
        let files = MemoryFileStore()
        let buffer = try Self.open(files)
        #expect(
            buffer.append(
                BufferedMessage(
                    topic: "a/b", qos: 1, retain: true, properties: [1, 1], payload: [0x68, 0x69],
                    collectedTicks: 0x0102_0304_0506_0708)))
        try buffer.commit()
        let bytes = files[Self.directory + "/0000000000000000.buffer"]
        let text = bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        #expect(
            text == "484544425242554601000000000000000000000093da30e6"
                + "17000000" + "7055cc51" + "0807060504030201" + "02000000" + "0300" + "81" + "00" + "612f62"
                + "0101"
                + "6869")
        var state = BridgeState()
        state.cursor = 258
        state.remoteFilters = ["1 a/#", "0 b"]
        state.localFilters = ["1 c"]
        try state.save("data/state", files: files)
        #expect(try BridgeState.load("data/state", files: files) == state)
        let stored = files["data/state"].map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }
            .joined()
        #expect(
            stored == "4845444252535441010000000201000000000000" + "09000000" + "3120612f230030206231206"
                + "3" + "c9102b77")
    }

    @Test("Every damaged byte of the state is noticed")
    func stateDamage() throws {
        let files = MemoryFileStore()
        var state = BridgeState()
        state.cursor = 77
        state.localFilters = ["1 #"]
        try state.save("data/state", files: files)
        let whole = files["data/state"]
        for at in whole.indices {
            files["data/state"][at] ^= 4
            #expect(throws: BridgeBufferError.self, "byte \(at)") {
                try BridgeState.load("data/state", files: files)
            }
            files["data/state"] = whole
        }
    }
}
