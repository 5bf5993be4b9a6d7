import CChecksum
import Telemetry

// The engine's state as bytes; the layout is a table in PerpetualQuery.docc/CheckpointFormat.md.
extension QueryEngine {
    /// The format `snapshot()` writes.
    package static let checkpointVersion: UInt16 = 1
    private static let magic: UInt64 = 0x5952_4555_5144_4548  // "HEDQUERY", little-endian

    /// The whole state: an engine restored from it goes on with the same rows and ids. Equal states give
    /// equal bytes. About 45 bytes an open group, 16 a device; a whole pass over the state, so not for every
    /// batch.
    package func snapshot() -> [UInt8] {
        var writer = StateWriter()
        writer.reserve(4_096 + store.openGroups * 45 + store.openWindows * 12 + Int(totals.devices) * 16)
        writer.put(Self.magic)
        writer.put(Self.checkpointVersion)
        writer.put(UInt16(0))
        writer.put(planFingerprint)
        writer.put(floor)
        writer.put(emittedEarliest)
        writer.put(emittedLatest)
        for total in [
            totals.accepted, totals.early, totals.late, totals.outOfOrder, totals.withoutFields,
            totals.values,
            totals.rowsEmitted, totals.errors,
        ] { writer.put(total) }
        writer.put(UInt32(fields.learned.count))
        for entry in fields.learned {
            writer.put(entry.number)
            writer.put(UnsafeRawBufferPointer(start: entry.bytes, count: entry.byteCount))
        }
        writer.put(UInt32(totals.devices))
        for number in 0..<store.deviceCapacity where store.devices[number].greatest != Int64.min {
            write(device: number, to: &writer)
        }
        writer.seal()
        return writer.bytes
    }

    private func write(device number: Int, to writer: inout StateWriter) {
        let device = store.devices[number]
        var windowCount: UInt32 = 0
        var slot = device.first
        while slot >= 0 {
            windowCount += 1
            slot = store.windows[Int(slot)].next
        }
        writer.put(UInt32(number))
        writer.put(device.greatest)
        writer.put(windowCount)
        slot = device.first
        while slot >= 0 {
            writer.put(store.windows[Int(slot)].end)
            writer.put(store.windows[Int(slot)].used)
            snapshotOrder.removeAll(keepingCapacity: true)
            store.forEachCell(of: slot) { snapshotOrder.append($0.pointee) }
            if snapshotOrder.count > 1 { snapshotOrder.sort { $0.field < $1.field } }
            for group in snapshotOrder {
                writer.put(group.field)
                writer.put(UInt8(group.flags))
                writer.put(group.count)
                writer.put(group.minimum)
                writer.put(group.maximum)
                writer.put(group.sumLow)
                writer.put(group.sumHigh)
            }
            slot = store.windows[Int(slot)].next
        }
    }

    func restore(_ state: [UInt8]) throws(CheckpointError) {
        let result = state.withUnsafeBytes { bytes in
            Result { () throws(CheckpointError) in try restore(bytes) }
        }
        try result.get()
    }

    private func restore(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
        var reader = try StateReader(sealed: bytes)
        guard try reader.take(UInt64.self) == Self.magic else { throw .damaged(at: 0) }
        let version = try reader.take(UInt16.self)
        guard version == Self.checkpointVersion else {
            if version > Self.checkpointVersion { throw .newerFormat(version: version) }
            throw .damaged(at: 8)
        }
        _ = try reader.take(UInt16.self)
        guard try reader.take(UInt32.self) == planFingerprint else { throw .otherPlan }
        floor = try reader.take(Int64.self)
        emittedEarliest = try reader.take(Int64.self)
        emittedLatest = try reader.take(Int64.self)
        totals.accepted = try reader.take(UInt64.self)
        totals.early = try reader.take(UInt64.self)
        totals.late = try reader.take(UInt64.self)
        totals.outOfOrder = try reader.take(UInt64.self)
        totals.withoutFields = try reader.take(UInt64.self)
        totals.values = try reader.take(UInt64.self)
        totals.rowsEmitted = try reader.take(UInt64.self)
        totals.errors = try reader.take(UInt64.self)
        for _ in 0..<(try reader.take(UInt32.self)) {
            let at = reader.at
            let number = try reader.take(UInt32.self)
            guard fields.restore(try reader.takeBytes(), number: number) else { throw .damaged(at: at) }
        }
        let deviceCount = try reader.take(UInt32.self)
        for _ in 0..<deviceCount { try restoreDevice(&reader) }
        guard reader.isAtEnd else { throw .damaged(at: reader.at) }
        totals.devices = UInt64(deviceCount)
    }

    private func restoreDevice(_ reader: inout StateReader) throws(CheckpointError) {
        let at = reader.at
        let number = try reader.take(UInt32.self)
        guard number < limits.devicesMax, store.device(number).pointee.greatest == Int64.min else {
            throw .damaged(at: at)
        }
        let greatest = try reader.take(Int64.self)
        guard greatest != Int64.min else { throw .damaged(at: at) }
        store.device(number).pointee.greatest = greatest
        var lastEnd = Int64.min
        for _ in 0..<(try reader.take(UInt32.self)) {
            let end = try reader.take(Int64.self)
            guard end > lastEnd, end % windowTicks == 0 else { throw .damaged(at: reader.at) }
            lastEnd = end
            let slot = store.window(of: number, end: end, limit: Int.max)
            let groupCount = try reader.take(UInt32.self)
            guard slot >= 0, groupCount > 0 else { throw .damaged(at: reader.at) }
            for _ in 0..<groupCount { try restoreGroup(&reader, in: slot) }
        }
    }

    private func restoreGroup(_ reader: inout StateReader, in slot: Int32) throws(CheckpointError) {
        var group = Accumulator()
        group.field = try reader.take(UInt32.self)
        guard Int(group.field) < fields.names.count else { throw .damaged(at: reader.at) }
        group.flags = UInt32(try reader.take(UInt8.self))
        group.count = try reader.take(UInt64.self)
        group.minimum = try reader.take(UInt64.self)
        group.maximum = try reader.take(UInt64.self)
        group.sumLow = try reader.take(UInt64.self)
        group.sumHigh = try reader.take(UInt64.self)
        guard group.count > 0, group.count <= UInt64(Int64.max), group.flags <= Accumulator.allFlags,
            let cell = store.cell(in: slot, field: group.field, limit: Int.max), cell.pointee.count == 0
        else { throw .damaged(at: reader.at) }
        cell.pointee = group
    }

    /// CRC-32C over everything that gives the state its meaning. The projection is not in it: it does not
    /// touch the state.
    private var planFingerprint: UInt32 {
        var writer = StateWriter()
        for text in [plan.name, plan.output] + plan.expansion.excludedNames {
            Array(text.utf8).withUnsafeBytes { writer.put($0) }
        }
        writer.put(Int64(plan.version))
        writer.put(plan.timePolicy.earlyToleranceTicks)
        writer.put(plan.timePolicy.lateToleranceTicks)
        writer.put(plan.timePolicy.outOfOrderToleranceTicks)
        writer.put(plan.timePolicy.lateAction.rawValue)
        writer.put(windowTicks)
        return writer.bytes.withUnsafeBytes { headend_crc32c(0, $0.baseAddress, $0.count) }
    }
}
