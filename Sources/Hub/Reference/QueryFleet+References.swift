import DeviceQueue
import PerpetualQuery
import Platform
import ReferenceFiles
import Telemetry

// Other rows to join with, while queries run.
extension QueryFleet {
    /// How queries need the rows of a reference, each way with a query that does.
    func plans(of reference: String) -> [(plan: ReferencePlan, query: String)] {
        var found: [ReferencePlan: String] = [:]
        for slot in slots {
            for plan in slot.opener.plan?.references ?? []
            where plan.name.lowercased() == reference.lowercased() && found[plan] == nil {
                found[plan] = slot.name
            }
        }
        return found.map { ($0.key, $0.value) }.sorted { $0.query < $1.query }
    }

    /// Puts rows in force from the end of the log on: what is stored already is joined with the old ones, by queries
    /// that are behind as well.
    ///
    /// - Throws: when a query cannot use them, or the disk refuses; the old ones then stay in force.
    func adopt(_ contents: ReferenceContents, as history: ReferenceHistory) throws {
        var tables: [(slot: Slot, reference: Int, table: ReferenceTable)] = []
        // What nobody joins with nobody can come to again.
        var needed = UInt64.max
        for slot in slots {
            guard let plan = slot.opener.plan else {
                // It may name this one too.
                needed = min(needed, slot.savedOffset)
                continue
            }
            for (number, reference) in plan.references.enumerated()
            where reference.name.lowercased() == history.name.lowercased() {
                let table = try Self.table(reference, of: contents, in: history, for: slot.name)
                tables.append((slot, number, table))
                needed = min(needed, slot.savedOffset)
            }
        }
        try history.adopt(
            contents, at: queue.durableEnd.bytes, loadedTicks: clock.wallTicks(), needed: needed,
            first: queue.firstOffset.bytes)
        for made in tables {
            made.slot.job?.prepare(made.table, reference: made.reference)
        }
        for slot in slots { slot.job?.lookForReferences() }
    }

    /// New rows as a query needs them.
    ///
    /// - Throws: `.input` when it cannot use them.
    static func table(
        _ plan: ReferencePlan, of contents: ReferenceContents, in history: ReferenceHistory, for query: String
    ) throws -> ReferenceTable {
        do {
            return try history.table(plan, of: contents.hash, contents: contents)
        } catch let error as QueryFailure {
            throw ReferenceError(.input, "\(ReferenceShelf.text(error)): the query \(query) reads it so")
        }
    }

    /// Gives those that read together the rows that are in force from a place on.
    ///
    /// - Returns: where the next change is.
    func switchReferences(
        at offset: UInt64, failed: (Slot, any Error) -> Void
    ) -> UInt64 {
        for slot in together {
            do { try slot.job?.switchReferences(at: offset) } catch { failed(slot, error) }
        }
        return nextSwitch
    }

    /// Where one of those that read together is joined with other rows.
    var nextSwitch: UInt64 { together.reduce(UInt64.max) { min($0, $1.job?.switchOffset ?? UInt64.max) } }
}

extension QueryJob {
    /// Joins records from this place on with what is in force there.
    func switchReferences(at offset: UInt64) throws {
        guard offset >= switchOffset else { return }
        for change in try references.advance(to: offset) {
            query.replace(reference: change.reference, by: change.table)
        }
    }

    func prepare(_ table: ReferenceTable, reference: Int) {
        references.prepare(table, reference: reference)
    }

    func lookForReferences() { references.look(from: position.bytes) }

    /// From where on records are joined with other rows.
    var switchOffset: UInt64 { references.switchOffset }
}
