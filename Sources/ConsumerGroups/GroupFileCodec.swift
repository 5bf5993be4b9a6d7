import CChecksum
import Telemetry

/// The bytes of a group's file; the tables are in `ConsumerGroups.docc/GroupFileFormat.md`.
enum GroupFileCodec {
    static let magic: [UInt8] = Array("HEDGROUP".utf8)
    static let version: UInt32 = 1
    static let headerBytes = 16
    static let frameHeaderBytes = 16
    static let definitionKind: UInt8 = 1
    static let stateKind: UInt8 = 2
    private static let stateBodyBytes = 48
    private static let aheadBytes = 16

    static func header() -> [UInt8] {
        var bytes = magic
        put(version, to: &bytes)
        put(checksum(bytes[...]), to: &bytes)
        return bytes
    }

    static func frame(_ definition: GroupDefinition) -> [UInt8] {
        var body: [UInt8] = []
        put(definition.logID, to: &body)
        put(definition.createdTicks, to: &body)
        body.append(definition.mustNotMiss ? 1 : 0)
        let (devices, texts): (UInt8, [String]) =
            switch definition.devices {
            case .all: (0, [])
            case .names(let names): (1, names)
            case .pattern(let pattern): (2, [pattern])
            }
        let (start, value): (UInt8, Int64) =
            switch definition.start {
            case .earliest: (0, 0)
            case .latest: (1, 0)
            case .time(let time): (2, time.ticks)
            case .sequence(let sequence): (3, Int64(bitPattern: sequence))
            }
        body.append(devices)
        body.append(start)
        body.append(0)
        put(UInt32(texts.count), to: &body)
        put(value, to: &body)
        for text in [definition.name] + texts {
            put(UInt16(clamping: text.utf8.count), to: &body)
            body.append(contentsOf: text.utf8)
        }
        return frame(definitionKind, body)
    }

    static func frame(_ state: GroupState, number: UInt64) -> [UInt8] {
        var body: [UInt8] = []
        body.reserveCapacity(stateBodyBytes + state.ahead.count * aheadBytes)
        put(number, to: &body)
        put(state.cursor.bytes, to: &body)
        put(state.recordsBefore, to: &body)
        put(state.missed, to: &body)
        put(state.lastCommitTicks, to: &body)
        put(UInt32(state.ahead.count), to: &body)
        put(UInt32(0), to: &body)
        for entry in state.ahead {
            put(entry.device, to: &body)
            put(UInt32(0), to: &body)
            put(entry.sequence, to: &body)
        }
        return frame(stateKind, body)
    }

    private static func frame(_ kind: UInt8, _ body: [UInt8]) -> [UInt8] {
        let byteCount = (frameHeaderBytes + body.count + 7) & ~7
        var rest: [UInt8] = [kind, 0, 0, 0, 0, 0, 0, 0]
        rest.append(contentsOf: body)
        rest.append(contentsOf: [UInt8](repeating: 0, count: byteCount - 8 - rest.count))
        var bytes: [UInt8] = []
        bytes.reserveCapacity(byteCount)
        put(UInt32(byteCount), to: &bytes)
        put(checksum(rest[...]), to: &bytes)
        bytes.append(contentsOf: rest)
        return bytes
    }

    // Reading. Positions come from the file, so everything is checked before it is used.

    /// The body of the whole, undamaged frame of a kind at a position, and the position behind it.
    static func body(
        of kind: UInt8, at position: Int, in bytes: [UInt8]
    ) -> (body: ArraySlice<UInt8>, end: Int)? {
        guard position + frameHeaderBytes <= bytes.count, bytes[position + 8] == kind else { return nil }
        let byteCount = Int(number(bytes[...], position, UInt32.self))
        guard byteCount >= frameHeaderBytes, byteCount & 7 == 0, byteCount <= bytes.count - position else {
            return nil
        }
        let rest = bytes[(position + 8)..<(position + byteCount)]
        guard checksum(rest) == number(bytes[...], position + 4, UInt32.self) else { return nil }
        return (bytes[(position + frameHeaderBytes)..<(position + byteCount)], position + byteCount)
    }

    static func definition(_ body: ArraySlice<UInt8>) -> GroupDefinition? {
        guard body.count >= 32 else { return nil }
        let base = body.startIndex
        let textCount = Int(number(body, base + 20, UInt32.self))
        let value = number(body, base + 24, Int64.self)
        var at = base + 32
        var texts: [String] = []
        for _ in 0...textCount {
            guard at + 2 <= body.endIndex else { return nil }
            let count = Int(number(body, at, UInt16.self))
            guard at + 2 + count <= body.endIndex else { return nil }
            texts.append(String(decoding: body[(at + 2)..<(at + 2 + count)], as: UTF8.self))
            at += 2 + count
        }
        let name = texts.removeFirst()
        let devices: DeviceFilter
        switch body[base + 17] {
        case 0: devices = .all
        case 1: devices = .names(texts)
        case 2 where texts.count == 1: devices = .pattern(texts[0])
        default: return nil
        }
        let start: GroupStart
        switch body[base + 18] {
        case 0: start = .earliest
        case 1: start = .latest
        case 2: start = .time(EventTime(ticks: value))
        case 3: start = .sequence(UInt64(bitPattern: value))
        default: return nil
        }
        return GroupDefinition(
            name: name, devices: devices, start: start, mustNotMiss: body[base + 16] == 1,
            createdTicks: number(body, base + 8, Int64.self), logID: number(body, base, UInt64.self))
    }

    static func state(_ body: ArraySlice<UInt8>) -> (state: GroupState, number: UInt64)? {
        guard body.count >= stateBodyBytes else { return nil }
        let base = body.startIndex
        let count = Int(number(body, base + 40, UInt32.self))
        guard body.count >= stateBodyBytes + count * aheadBytes else { return nil }
        var state = GroupState(
            cursor: QueueOffset(number(body, base + 8, UInt64.self)),
            recordsBefore: number(body, base + 16, UInt64.self),
            missed: number(body, base + 24, UInt64.self),
            lastCommitTicks: number(body, base + 32, Int64.self))
        state.ahead.reserveCapacity(count)
        for index in 0..<count {
            let at = base + stateBodyBytes + index * aheadBytes
            state.ahead.append(
                CommittedDevice(
                    device: number(body, at, UInt32.self), sequence: number(body, at + 8, UInt64.self)))
        }
        return (state, number(body, base, UInt64.self))
    }

    static func number<Number: FixedWidthInteger>(
        _ bytes: ArraySlice<UInt8>, _ at: Int, _: Number.Type
    ) -> Number {
        var value: Number = 0
        for index in (0..<MemoryLayout<Number>.size).reversed() {
            value = value << 8 | Number(truncatingIfNeeded: bytes[at + index])
        }
        return value
    }

    static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.withUnsafeBytes { headend_crc32c(0, $0.baseAddress, $0.count) }
    }

    private static func put<Number: FixedWidthInteger>(_ value: Number, to bytes: inout [UInt8]) {
        Swift.withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }
}
