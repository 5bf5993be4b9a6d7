import Telemetry

// APPLY and reference data: instructions that run what follows once for each element or row.
extension StreamEngine {
    /// - Returns: where to go on, when that is elsewhere.
    func loop(_ step: Instruction, _ stage: StageRuntime) -> Int? {
        let number = Int(step.target)
        switch step.operation {
        case .applyBegin:
            beginApply(
                number, stage.frame[Int(step.left)], isArray: step.right & 1 == 1,
                isOuter: step.right & 2 == 2)
            return nil
        case .applyNext:
            guard let elements = loops[number].elements, loops[number].at < loops[number].count else {
                loops[number].elements = nil
                return Int(step.result)
            }
            let at = loops[number].at
            stage.frame[Int(step.left)] = elements[2 * at]
            stage.frame[Int(step.right)] = elements[2 * at + 1]
            loops[number].at += 1
            return nil
        case .lookupBegin:
            beginLookup(number, stage)
            return nil
        case .lookupNext: return nextLookup(number, step, stage)
        default:
            lookups[number].isMatched = true
            return nil
        }
    }

    /// Spreads the elements out in the arena, as pairs of index or name, and value.
    private func beginApply(_ number: Int, _ value: Datum, isArray: Bool, isOuter: Bool) {
        var count = 0
        if isArray, value.kind == .array {
            _ = JSONFieldScanner.forEachElement(value.bytes) { _, _ in
                count += 1
                return true
            }
        } else if !isArray, value.kind == .record {
            _ = JSONFieldScanner.forEachTopLevelField(value.bytes) { _, _ in count += 1 }
        }
        let isEmpty = count == 0
        if isEmpty, isOuter { count = 1 }
        let memory = arena.allocate(max(count, 1) * 2 * MemoryLayout<Datum>.stride)
        let elements = memory.bindMemory(to: Datum.self)
        var at = 0
        let arena = arena
        if isEmpty {
            elements[0] = .null
            elements[1] = .null
        } else if isArray {
            _ = JSONFieldScanner.forEachElement(value.bytes) { index, scalar in
                elements[2 * at] = Datum(Int64(index))
                elements[2 * at + 1] = RecordFunctions.datum(scalar, arena)
                at += 1
                return true
            }
        } else {
            count = spread(value, elements)
        }
        loops[number].elements = elements.baseAddress
        loops[number].count = count
        loops[number].at = 0
    }

    /// The properties of a record; of a name that comes twice the last value, at its first place.
    private func spread(_ record: Datum, _ elements: UnsafeMutableBufferPointer<Datum>) -> Int {
        var at = 0
        let arena = arena
        _ = JSONFieldScanner.forEachTopLevelField(record.bytes) { raw, scalar in
            let name = raw.contains(0x5C) ? arena.text(JSONString.decode(raw)) : Datum(.text, raw)
            let value = RecordFunctions.datum(scalar, arena)
            // Records are small; a long one with every name compared to all before would be slow, and is
            // not looked at.
            if at <= 64 {
                for known in 0..<at
                where elements[2 * known].count == name.count
                    && Datum.order(elements[2 * known].bytes, name.bytes) == 0
                {
                    elements[2 * known + 1] = value
                    return
                }
            }
            elements[2 * at] = name
            elements[2 * at + 1] = value
            at += 1
        }
        return at
    }

    private func beginLookup(_ number: Int, _ stage: StageRuntime) {
        let lookup = plan.lookups[number]
        lookups[number].isMatched = false
        let table = references[lookup.reference]
        guard let index = lookup.index else {
            lookups[number].at = table.rowCount > 0 ? 0 : -1
            return
        }
        key.removeAll()
        var isLoose = false
        for slot in lookup.keys where ReferenceTable.append(stage.frame[slot], to: &key) { isLoose = true }
        lookups[number].isLoose = isLoose
        lookups[number].at = table.first(index, key.bytes)
    }

    private func nextLookup(_ number: Int, _ step: Instruction, _ stage: StageRuntime) -> Int? {
        let lookup = plan.lookups[number]
        let table = references[lookup.reference]
        while true {
            let row = lookups[number].at
            guard row >= 0 else {
                if lookup.isLeftOuter, !lookups[number].isMatched {
                    lookups[number].isMatched = true
                    for slot in lookup.cleared { stage.frame[slot] = .null }
                    return Int(step.right)
                }
                return Int(step.left)
            }
            if let index = lookup.index {
                lookups[number].at = table.next(index, after: row)
                if lookups[number].isLoose, !hasKey(lookup, table, index, row, stage) { continue }
            } else {
                lookups[number].at = row + 1 < table.rowCount ? row + 1 : -1
            }
            for load in lookup.loads { stage.frame[load.to] = table.value(row, load.from) }
            if let slot = lookup.rowSlot { stage.frame[slot] = table.row(row) }
            return nil
        }
    }

    /// Whether a row that was found by its key's bytes has equal values.
    private func hasKey(
        _ lookup: LookupPlan, _ table: ReferenceTable, _ index: Int, _ row: Int, _ stage: StageRuntime
    ) -> Bool {
        for (slot, column) in zip(lookup.keys, table.columns(index))
        where Datum.compare(stage.frame[slot], table.value(row, column)) != 0 { return false }
        return true
    }
}
