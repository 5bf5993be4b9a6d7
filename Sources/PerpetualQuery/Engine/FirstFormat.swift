import Telemetry

/// Reads the state that the per-minute query had before it ran on the SQL engine, so that a data directory of
/// those versions goes on where it stood. The layout is a table in PerpetualQuery.docc/FirstCheckpointFormat.md.
enum FirstFormat {
    static let magic: UInt64 = 0x5952_4555_5144_4548  // "HEDQUERY", little-endian
    /// Of the plan that shipped.
    private static let fingerprint: UInt32 = 0xAF1A_74AA
    private static let knownFlags: UInt8 = 7

    /// Reads what follows the magic number into an engine of the default query.
    ///
    /// - Returns: the least and the greatest end of windows that gave rows and are not complete.
    static func read(
        _ reader: inout StateReader, into engine: StreamEngine
    ) throws(CheckpointError) -> (earliest: Int64, latest: Int64) {
        let version = try reader.take(UInt16.self)
        guard version == 1 else { throw .newerFormat(version: version) }
        _ = try reader.take(UInt16.self)
        guard try reader.take(UInt32.self) == fingerprint, engine.plan.name == DefaultQuery.name,
            engine.sources.count == 1, engine.sources[0].isDirect, engine.groups.count == 1,
            let windows = engine.groups[0].windows.first as? PaneWindows
        else { throw .otherPlan }
        let source = engine.sources[0]
        source.floor = try reader.take(Int64.self)
        let earliest = try reader.take(Int64.self)
        let latest = try reader.take(Int64.self)
        engine.totals.accepted = try reader.take(UInt64.self)
        engine.totals.early = try reader.take(UInt64.self)
        engine.totals.late = try reader.take(UInt64.self)
        engine.totals.outOfOrder = try reader.take(UInt64.self)
        // Records without numbers, and values: counted no more.
        _ = try reader.take(UInt64.self)
        _ = try reader.take(UInt64.self)
        engine.totals.rows = try reader.take(UInt64.self)
        engine.totals.errors = try reader.take(UInt64.self)
        engine.totals.events =
            engine.totals.accepted + engine.totals.early + engine.totals.late + engine.totals.outOfOrder
        var names: [UInt32: [UInt8]] = [:]
        for _ in 0..<(try reader.take(UInt32.self)) {
            let number = try reader.take(UInt32.self)
            let spelling = try reader.takeBytes()
            if names[number] == nil { names[number] = JSONBytes.resolved(spelling) }
        }
        var key = KeyBuffer()
        defer { key.deallocate() }
        for _ in 0..<(try reader.take(UInt32.self)) {
            let device = try reader.take(UInt32.self)
            let name = Array(engine.deviceName(device).text.utf8)
            let greatest = try reader.take(Int64.self)
            let timeline = add(name, to: source, greatest: greatest, &key)
            for _ in 0..<(try reader.take(UInt32.self)) {
                let end = try reader.take(Int64.self)
                for _ in 0..<(try reader.take(UInt32.self)) {
                    guard let field = names[try reader.take(UInt32.self)] else {
                        throw .damaged(at: reader.at)
                    }
                    append([name, field], to: &key)
                    let numbers = try accumulator(&reader)
                    guard windows.adopt(numbers, timeline: timeline, end: end, key: key.bytes) else {
                        throw .damaged(at: reader.at)
                    }
                }
            }
        }
        guard reader.isAtEnd else { throw .damaged(at: reader.at) }
        return (earliest, latest)
    }

    private static func append(_ texts: [[UInt8]], to key: inout KeyBuffer) {
        key.removeAll()
        for text in texts { text.withUnsafeBytes { GroupKey.append(Datum(.text, $0), to: &key) } }
    }

    private static func add(
        _ name: [UInt8], to source: SourceRuntime, greatest: Int64, _ key: inout KeyBuffer
    ) -> Int32 {
        append([name], to: &key)
        let number = source.keys.number(of: key.bytes).number
        while source.greatest.count <= number { source.greatest.append(Int64.min) }
        source.greatest[number] = max(source.greatest[number], greatest)
        return Int32(number)
    }

    private static func accumulator(_ reader: inout StateReader) throws(CheckpointError) -> Accumulator {
        var numbers = Accumulator()
        let flags = try reader.take(UInt8.self)
        guard flags <= knownFlags else { throw .damaged(at: reader.at) }
        numbers.flags = UInt32(flags)
        numbers.count = try reader.take(UInt64.self)
        numbers.minimum = try reader.take(UInt64.self)
        numbers.maximum = try reader.take(UInt64.self)
        numbers.sumLow = try reader.take(UInt64.self)
        numbers.sumHigh = try reader.take(UInt64.self)
        guard numbers.count > 0 else { throw .damaged(at: reader.at) }
        return numbers
    }
}
