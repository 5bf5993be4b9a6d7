import CChecksum
import Telemetry

// The engine's state as bytes; the layout is a table in PerpetualQuery.docc/StreamCheckpointFormat.md.
extension StreamEngine {
    /// The format `snapshot()` writes.
    package static let checkpointVersion: UInt16 = 1
    private static let magic: UInt64 = 0x314D_5254_5344_4548  // "HEDSTRM1", little-endian

    /// The whole state: an engine restored from it goes on with the same rows and ids. A whole pass over
    /// the state, so not for every batch.
    package func snapshot() -> [UInt8] { StateBytes.joined(snapshotPieces()) }

    /// As `snapshot()`, in pieces.
    package func snapshotPieces() -> [[UInt8]] {
        var writer = StateWriter()
        writer.put(Self.magic)
        writer.put(Self.checkpointVersion)
        writer.put(UInt16(0))
        writer.put(plan.fingerprint)
        for total in Self.counters { writer.put(totals[keyPath: total]) }
        for source in sources {
            writer.put(source.floor)
            writer.put(UInt32(source.greatest.count))
            for (timeline, greatest) in source.greatest.enumerated() {
                writer.put(greatest)
                if source.isPartitioned { writer.put(source.keys.bytes(of: timeline)) }
            }
            source.minimum?.write(to: &writer)
        }
        for input in inputs { input.duplicates?.write(to: &writer) }
        for stage in stages {
            for time in stage.feederTimes { writer.put(time) }
            stage.sort?.write(to: &writer)
        }
        for group in groups {
            for window in group.windows { window.write(to: &writer) }
        }
        for analytic in analytics { analytic.write(to: &writer) }
        for join in joins { join.write(to: &writer) }
        return writer.sealed()
    }

    private static var counters: [WritableKeyPath<StreamCounters, UInt64>] {
        [
            \.events, \.notJSON, \.duplicates, \.accepted, \.early, \.late, \.outOfOrder, \.withoutTime,
            \.mistyped, \.rows, \.errors,
        ]
    }

    /// Puts the state of a checkpoint into an engine that has taken nothing yet.
    ///
    /// - Throws: when the bytes are damaged, of a newer format or of another plan. The engine is then not
    ///   usable.
    package func restore(_ state: [UInt8]) throws(CheckpointError) { try restore(state[...]) }

    /// As `restore(_:)`, of a part of what is in memory.
    package func restore(_ state: ArraySlice<UInt8>) throws(CheckpointError) {
        let result = state.withUnsafeBytes { bytes in
            Result { () throws(CheckpointError) in try restore(from: bytes) }
        }
        try result.get()
    }

    func restore(from bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
        var reader = try StateReader(sealed: bytes)
        guard try reader.take(UInt64.self) == Self.magic else { throw .damaged(at: 0) }
        let version = try reader.take(UInt16.self)
        guard version == Self.checkpointVersion else {
            if version > Self.checkpointVersion { throw .newerFormat(version: version) }
            throw .damaged(at: 8)
        }
        _ = try reader.take(UInt16.self)
        guard try reader.take(UInt32.self) == plan.fingerprint else { throw .otherPlan }
        for total in Self.counters { totals[keyPath: total] = try reader.take(UInt64.self) }
        for source in sources { try read(&reader, source) }
        for input in inputs { try input.duplicates?.read(&reader) }
        for stage in stages {
            for feeder in stage.feederTimes.indices {
                stage.feederTimes[feeder] = try reader.take(Int64.self)
            }
            try stage.sort?.read(&reader)
        }
        for group in groups {
            for window in group.windows { try window.read(&reader) }
        }
        for analytic in analytics { try analytic.read(&reader) }
        for join in joins { try join.read(&reader) }
        guard reader.isAtEnd else { throw .damaged(at: reader.at) }
    }

    private func read(_ reader: inout StateReader, _ source: SourceRuntime) throws(CheckpointError) {
        source.floor = try reader.take(Int64.self)
        let count = Int(try reader.take(UInt32.self))
        guard count <= limits.timelinesMax, source.isPartitioned || count == 1 else {
            throw .damaged(at: reader.at)
        }
        source.greatest = []
        for timeline in 0..<count {
            source.greatest.append(try reader.take(Int64.self))
            if source.isPartitioned {
                let (number, isNew) = source.keys.number(of: try reader.takeBytes())
                guard isNew, number == timeline else { throw .damaged(at: reader.at) }
            }
        }
        try source.minimum?.read(&reader)
    }
}

extension StreamPlan {
    /// CRC-32C over everything that gives the state its meaning: name, version, settings and operators.
    /// What only the rows depend on (outputs, columns) is not in it.
    var fingerprint: UInt32 {
        var text = "\(name)\u{0}\(version)\u{0}"
        let policy = settings.timePolicy
        text +=
            "\(policy.earlyToleranceTicks) \(policy.lateToleranceTicks) \(policy.outOfOrderToleranceTicks) "
        text += "\(policy.lateAction.rawValue)\u{0}"
        if let minimum = settings.minimumWatermark { text += "\(minimum.text) \(minimum.idleTicks)\u{0}" }
        for input in inputs {
            text += "\(input.name) \(input.deduplication.map { input.fields[$0] })"
            text += input.deduplicationHorizonTicks.map { " \($0)\u{0}" } ?? "\u{0}"
        }
        for source in sources {
            text +=
                "\(source.input) \(source.stage) \(source.timeSlot ?? -1) \(source.timelineSlots.count)\u{0}"
        }
        for stage in stages {
            // What rows bring along matters where rows are kept.
            let carried = hasState || stage.isSorted ? stage.carried.count : 0
            text += "\(stage.isSorted) \(carried) \(stage.feederCount)\u{0}"
        }
        for group in groups {
            text += "\(group.stage) \(group.keySlots.count) \(group.windows) "
            text +=
                group.measures.map { "\($0.kind) \($0.order.map(\.isDescending)) \($0.kept)" }.joined()
                + "\u{0}"
        }
        for analytic in analytics {
            text += "\(analytic.function) \(analytic.partition.count) \(analytic.duration)\u{0}"
        }
        for join in joins {
            text += "\(join.left.keys.count) \(join.left.copies.count) \(join.right.copies.count) "
            text += "\(join.leastDistance) \(join.greatestDistance) \(join.isLeftOuter)\u{0}"
        }
        var copy = text
        return copy.withUTF8 { headend_crc32c(0, $0.baseAddress, $0.count) }
    }
}
