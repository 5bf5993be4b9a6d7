// Blocks in checkpoints.
extension GroupState {
    func write(_ block: UnsafeMutableRawPointer, to writer: inout StateWriter) {
        writer.put(rows(block))
        for (index, measure) in layout.measures.enumerated() {
            switch measure.kind {
            case .numeric: write(extent(block, index).pointee, to: &writer)
            case .count: writer.put(number(block, index).pointee)
            case .moments:
                let moments = moments(block, index).pointee
                writer.put(moments.count)
                writer.put(moments.mean.bitPattern)
                writer.put(moments.deviations.bitPattern)
            case .distinct:
                guard let set = objects.set(Int(number(block, index).pointee)) else {
                    writer.put(UInt32(0))
                    continue
                }
                writer.put(UInt32(set.count))
                for key in 0..<set.numberLimit where set.isUsed(key) { writer.put(set.bytes(of: key)) }
            case .collection:
                let rows = objects.collection(Int(number(block, index).pointee))?.rows ?? []
                writer.put(UInt32(rows.count))
                for row in rows { row.write(to: &writer) }
            }
        }
    }

    private func write(_ extent: Extent, to writer: inout StateWriter) {
        writer.put(extent.kind.rawValue)
        writer.put(UInt8(truncatingIfNeeded: extent.numbers.flags))
        writer.put(extent.numbers.count)
        if extent.kind == .text {
            writer.put(Extent.text(extent.numbers.minimum))
            writer.put(Extent.text(extent.numbers.maximum))
        } else {
            writer.put(extent.numbers.minimum)
            writer.put(extent.numbers.maximum)
        }
        writer.put(extent.numbers.sumLow)
        writer.put(extent.numbers.sumHigh)
    }

    /// - Parameter block: an initialized one without rows.
    func read(_ reader: inout StateReader, into block: UnsafeMutableRawPointer) throws(CheckpointError) {
        let count = try reader.take(UInt64.self)
        guard count > 0, count <= UInt64(Int64.max) else { throw .damaged(at: reader.at) }
        block.assumingMemoryBound(to: UInt64.self).pointee = count
        for (index, measure) in layout.measures.enumerated() {
            switch measure.kind {
            case .numeric: try read(&reader, into: &extent(block, index).pointee)
            case .count: number(block, index).pointee = try reader.take(Int64.self)
            case .moments:
                let count = try reader.take(UInt64.self)
                let mean = Double(bitPattern: try reader.take(UInt64.self))
                let deviations = Double(bitPattern: try reader.take(UInt64.self))
                moments(block, index).pointee = Moments(count: count, mean: mean, deviations: deviations)
            case .distinct:
                let values = try reader.take(UInt32.self)
                if values == 0 { continue }
                number(block, index).pointee = Int64(objects.newSet())
                for _ in 0..<values {
                    objects.insert(try reader.takeBytes(), into: Int(number(block, index).pointee))
                }
            case .collection:
                let rows = try reader.take(UInt32.self)
                if rows == 0 { continue }
                number(block, index).pointee = Int64(objects.newCollection())
                for _ in 0..<rows {
                    let row = try StoredRow.read(&reader)
                    guard row.valueCount == measure.order.count + 1 else {
                        row.free()
                        throw .damaged(at: reader.at)
                    }
                    objects.insert(row, into: Int(number(block, index).pointee), measure)
                }
            }
        }
    }

    private func read(_ reader: inout StateReader, into extent: inout Extent) throws(CheckpointError) {
        guard let kind = Extent.Kind(rawValue: try reader.take(UInt8.self)) else {
            throw .damaged(at: reader.at)
        }
        extent.numbers.flags = UInt32(try reader.take(UInt8.self)) & Accumulator.allFlags
        extent.numbers.count = try reader.take(UInt64.self)
        if kind == .text {
            let least = try reader.takeBytes()
            let greatest = try reader.takeBytes()
            extent.numbers.minimum = Extent.copy(least)
            extent.numbers.maximum = Extent.copy(greatest)
        } else {
            extent.numbers.minimum = try reader.take(UInt64.self)
            extent.numbers.maximum = try reader.take(UInt64.self)
        }
        extent.kind = kind
        extent.numbers.sumLow = try reader.take(UInt64.self)
        extent.numbers.sumHigh = try reader.take(UInt64.self)
    }
}
