import Telemetry

// From the payload's bytes to the groups.
extension QueryEngine {
    /// Scans the payload's numeric fields into `pending`; nothing is left there when it is not JSON.
    func expand(_ payload: UnsafeRawBufferPointer) {
        pendingCount = 0
        refusedFields = 0
        recordCount += 1
        let isJSON = JSONFieldScanner.forEachTopLevelField(payload) { name, value in
            switch value {
            case .bigint(let integer): offer(name, kind: 0, bits: UInt64(bitPattern: integer))
            case .float(let float): offer(name, kind: 1, bits: float.bitPattern)
            case .text, .boolean, .null, .nested: withdraw(name)
            }
        }
        if !isJSON {
            pendingCount = 0
            refusedFields = 0
        }
    }

    @inline(__always)
    private func offer(_ name: UnsafeRawBufferPointer, kind: UInt32, bits: UInt64) {
        guard let field = fields.number(of: name) else {
            refusedFields += 1
            return
        }
        if field == FieldNames.excluded { return }
        if Int(field) >= markCapacity { growMarks(past: Int(field)) }
        if marks[Int(field)].record == recordCount {
            pending[marks[Int(field)].index] = Pending(field: field, kind: kind, bits: bits)
            return
        }
        guard pendingCount < limits.fieldsPerRecordMax else {
            refusedFields += 1
            return
        }
        marks[Int(field)] = (recordCount, pendingCount)
        pending[pendingCount] = Pending(field: field, kind: kind, bits: bits)
        pendingCount += 1
    }

    /// A name with a value that is no number: void the number it came with before, should there be one.
    @inline(__always)
    private func withdraw(_ name: UnsafeRawBufferPointer) {
        guard pendingCount > 0, let field = fields.find(name), field != FieldNames.excluded,
            Int(field) < markCapacity, marks[Int(field)].record == recordCount
        else { return }
        pending[marks[Int(field)].index].kind = 2
    }

    private func growMarks(past field: Int) {
        var capacity = markCapacity
        while capacity <= field { capacity *= 2 }
        let larger = UnsafeMutablePointer<(record: UInt64, index: Int)>.allocate(capacity: capacity)
        larger.moveInitialize(from: marks, count: markCapacity)
        (larger + markCapacity).initialize(repeating: (0, 0), count: capacity - markCapacity)
        marks.deallocate()
        marks = larger
        markCapacity = capacity
    }

    func aggregate(
        _ record: RecordView, at ticks: Int64, _ deviceName: (UInt32) -> DeviceID, _ rows: inout [ResultRow]
    ) {
        let end = EventTime(ticks: ticks).windowEnd(sizeTicks: windowTicks).ticks
        var window: Int32 = -1
        for index in 0..<pendingCount where pending[index].kind < 2 {
            if window < 0 {
                // Opened at its first value, so that a window is never empty.
                if store.openGroups < limits.openGroupsMax {
                    window = store.window(of: record.device, end: end, limit: limits.openWindowsMax)
                }
                guard window >= 0 else {
                    return appendError(record, .windows, deviceName, &rows)
                }
            }
            guard let cell = store.cell(in: window, field: pending[index].field, limit: limits.openGroupsMax)
            else {
                return appendError(record, .windows, deviceName, &rows)
            }
            if pending[index].kind == 0 {
                cell.pointee.add(Int64(bitPattern: pending[index].bits))
            } else {
                cell.pointee.add(Double(bitPattern: pending[index].bits))
            }
            totals.values += 1
        }
        if window < 0 { totals.withoutFields += 1 }
    }
}
