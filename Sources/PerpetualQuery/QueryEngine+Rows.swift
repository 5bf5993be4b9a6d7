import Telemetry

// From closed windows and refused records to rows.
extension QueryEngine {
    /// Why a row is in `_errors`.
    enum Failure: String {
        /// The device's number is past `devicesMax`.
        case devices = "devices_max"
        /// The event or arrival time is outside the years 1 to 9999.
        case timeRange = "time_out_of_range"
        /// `fieldNamesMax`, `fieldNameBytesMax` or `fieldsPerRecordMax` refused fields of the record.
        case fields = "fields_max"
        /// `openWindowsMax` or `openGroupsMax` refused values of the record.
        case windows = "windows_max"
        /// The group's sum does not fit a bigint (or, of floats, a double); the group's row has null for it.
        case sumOverflow = "sum_overflow"
    }

    /// Closes one device's windows that end before its watermark.
    func closeWindows(
        of number: UInt32, before watermark: Int64, _ deviceName: (UInt32) -> DeviceID,
        _ rows: inout [ResultRow]
    ) {
        let name = deviceName(number)
        while store.devices[Int(number)].earliestEnd < watermark {
            let slot = store.devices[Int(number)].first
            store.detach(slot)
            emit(slot, name, &rows)
            store.recycle(slot)
        }
    }

    /// Closes every window that ends before `watermark`; the cost is that of the windows that close.
    func closeAllWindows(
        before watermark: Int64, _ deviceName: (UInt32) -> DeviceID, _ rows: inout [ResultRow],
        _ drain: (inout [ResultRow]) -> Void
    ) {
        while store.earliestEnd < watermark {
            let end = store.earliestEnd
            var closing: [(name: DeviceID, slot: Int32)] = []
            while let slot = store.earliest, store.windows[Int(slot)].end == end {
                store.detach(slot)
                closing.append((deviceName(store.windows[Int(slot)].device), slot))
            }
            closing.sort { $0.name.text.utf8.lexicographicallyPrecedes($1.name.text.utf8) }
            for (name, slot) in closing {
                emit(slot, name, &rows)
                store.recycle(slot)
                if rows.count >= limits.rowsPerDrain { drain(&rows) }
            }
        }
    }

    private func emit(_ slot: Int32, _ device: DeviceID, _ rows: inout [ResultRow]) {
        let end = store.windows[Int(slot)].end
        emittedEarliest = min(emittedEarliest, end)
        emittedLatest = max(emittedLatest, end)
        emitOrder.removeAll(keepingCapacity: true)
        store.forEachCell(of: slot) { emitOrder.append(($0.pointee.field, $0)) }
        emitOrder.sort { fields.precedes($0.field, $1.field) }
        for (field, cell) in emitOrder {
            emit(cell.pointee, device, fields.names[Int(field)], end: EventTime(ticks: end), &rows)
        }
    }

    private func emit(
        _ group: Accumulator, _ device: DeviceID, _ field: String, end: EventTime,
        _ rows: inout [ResultRow]
    ) {
        let start = end.adding(ticks: -windowTicks)
        let sum = group.sumValue
        var columns: [Column] = []
        columns.reserveCapacity(plan.projection.count)
        for column in plan.projection {
            let value: Value =
                switch column.source {
                case .device: .text(device.text)
                case .field: .text(field)
                case .windowStart: .time(start)
                case .windowEnd: .time(end)
                case .aggregate(.count): .bigint(Int64(group.count))
                case .aggregate(.min): group.minimumValue
                case .aggregate(.max): group.maximumValue
                case .aggregate(.avg): group.averageValue ?? .null
                case .aggregate(.sum): sum ?? .null
                }
            columns.append(Column(column.name, value))
        }
        let key = groupKey([.text(device.text), .text(field)])
        let id = ResultID(
            query: plan.name, version: plan.version, output: plan.output, groupKey: key,
            windowKind: plan.window.kind, start: start, end: end, revision: 0)
        rows.append(ResultRow(output: plan.output, id: id, time: end, columns: columns))
        totals.rowsEmitted += 1
        if sum == nil {
            appendError(
                .sumOverflow, device: device, key: key, span: start..<end,
                columns: [
                    Column("field", .text(field)), Column("windowEnd", .time(end)),
                    Column("eventTime", .null), Column("arrivalTime", .null), Column("sequence", .null),
                    Column("payload", .null),
                ], &rows)
        }
    }

    /// The pass-through row of a record that the time policy refused.
    func appendLate(
        _ record: RecordView, _ reason: TimePolicy.Refusal, _ watermark: Int64,
        _ deviceName: (UInt32) -> DeviceID, _ rows: inout [ResultRow]
    ) {
        let device = deviceName(record.device)
        let key = groupKey([.text(device.text), .bigint(Int64(truncatingIfNeeded: record.sequence))])
        let id = ResultID(
            query: plan.name, version: plan.version, output: QueryPlan.lateOutput, groupKey: key,
            windowKind: "passthrough", start: record.eventTime, end: record.eventTime, revision: 0)
        rows.append(
            ResultRow(
                output: QueryPlan.lateOutput, id: id, time: record.eventTime,
                columns: [
                    Column("device", .text(device.text)), Column("reason", .text(reason.text)),
                    Column("eventTime", .time(record.eventTime)),
                    Column("arrivalTime", .time(record.arrivalTime)),
                    Column(
                        "watermark",
                        Self.ticksRange.contains(watermark) ? .time(EventTime(ticks: watermark)) : .null),
                    Column("sequence", .bigint(Int64(truncatingIfNeeded: record.sequence))),
                    Column("payload", payloadText(record.payload)),
                ]))
    }

    /// The row of a record of which something could not be computed. At most one a record and failure.
    func appendError(
        _ record: RecordView, _ failure: Failure, _ deviceName: (UInt32) -> DeviceID,
        _ rows: inout [ResultRow]
    ) {
        let device = deviceName(record.device)
        let inRange = Self.ticksRange
        func time(_ time: EventTime) -> Value { inRange.contains(time.ticks) ? .time(time) : .null }
        let ticks = min(max(record.eventTime.ticks, inRange.lowerBound), inRange.upperBound - 1)
        let moment = EventTime(ticks: ticks)
        appendError(
            failure, device: device,
            key: groupKey([.text(device.text), .bigint(Int64(truncatingIfNeeded: record.sequence))]),
            span: moment..<moment,
            columns: [
                Column("field", .null), Column("windowEnd", .null),
                Column("eventTime", time(record.eventTime)), Column("arrivalTime", time(record.arrivalTime)),
                Column("sequence", .bigint(Int64(truncatingIfNeeded: record.sequence))),
                Column("payload", payloadText(record.payload)),
            ], &rows)
    }

    private func appendError(
        _ failure: Failure, device: DeviceID, key: [UInt8], span: Range<EventTime>, columns: [Column],
        _ rows: inout [ResultRow]
    ) {
        totals.errors += 1
        let id = ResultID(
            query: plan.name, version: plan.version, output: QueryPlan.errorOutput, groupKey: key,
            windowKind: failure.rawValue, start: span.lowerBound, end: span.upperBound, revision: 0)
        rows.append(
            ResultRow(
                output: QueryPlan.errorOutput, id: id, time: span.upperBound,
                columns: [Column("device", .text(device.text)), Column("reason", .text(failure.rawValue))]
                    + columns))
    }

    private func groupKey(_ values: [Value]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(64)
        Value.array(values).appendJSON(to: &bytes)
        return bytes
    }

    /// The payload as text; null when it is not UTF-8 or longer than `rowPayloadBytesMax`. The record itself
    /// stays in its device's queue, under its sequence.
    private func payloadText(_ payload: UnsafeRawBufferPointer) -> Value {
        guard payload.count <= limits.rowPayloadBytesMax else { return .null }
        return String(validating: payload, as: UTF8.self).map { .text($0) } ?? .null
    }
}
