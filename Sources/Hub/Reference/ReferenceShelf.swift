import PerpetualQuery
import ReferenceFiles

/// The inputs of reference data that the queries of a hub may join with.
package struct ReferenceShelf: Sendable {
    /// In the order of the configuration.
    package let histories: [ReferenceHistory]

    package init(_ histories: [ReferenceHistory] = []) { self.histories = histories }

    package var names: [String] { histories.map(\.name) }

    func history(_ name: String) -> ReferenceHistory? {
        histories.first { $0.name.lowercased() == name.lowercased() }
    }

    /// What a plan joins with from a place of the log on, ready for whoever opens the query; also a check that it can
    /// use those rows.
    ///
    /// - Parameter offset: nil for the end of the log.
    /// - Throws: `.invalid` with the place in the file.
    func tables(_ plan: StreamPlan, at offset: UInt64? = nil) throws -> [ReferenceTable] {
        do {
            return try plan.references.compactMap { reference in
                guard let history = history(reference.name) else { return nil }
                guard let entry = offset.map({ history.entry(at: $0) }) ?? history.newest else {
                    throw Self.withoutRows(history)
                }
                return try history.table(reference, of: entry.hash)
            }
        } catch let error as QueryFailure {
            throw QueryRequestError(.invalid, Self.text(error))
        }
    }

    static func withoutRows(_ history: ReferenceHistory) -> QueryRequestError {
        QueryRequestError(
            .unavailable,
            "the reference data \(history.name) has no rows yet: headend reference list says why")
    }

    static func text(_ error: QueryFailure) -> String {
        error.description + (error.hint.map { " (\($0))" } ?? "")
    }
}

/// The rows that one query joins with, at its place in the log.
///
/// Confined to the thread of its query.
struct JoinedReferences {
    private let shelf: ReferenceShelf
    private let plan: StreamPlan
    /// By the plan's reference.
    private var hashes: [ReferenceHash?]
    /// What is in force now, and soon, so that it stays ready.
    private(set) var current: [ReferenceTable?]
    private var prepared: [Int: ReferenceTable] = [:]
    /// The place of the log from which on records are joined with other rows.
    private(set) var switchOffset = UInt64.max

    init(_ shelf: ReferenceShelf, _ plan: StreamPlan) {
        self.shelf = shelf
        self.plan = plan
        hashes = plan.references.map { _ in nil }
        current = hashes.map { _ in nil }
    }

    /// What comes into force for records from this place on, by the plan's reference; later places count from there.
    ///
    /// - Throws: what cannot be read, or cannot be joined with.
    mutating func advance(to offset: UInt64) throws -> [(reference: Int, table: ReferenceTable)] {
        var changes: [(reference: Int, table: ReferenceTable)] = []
        for (number, reference) in plan.references.enumerated() {
            guard let history = shelf.history(reference.name) else {
                throw QueryRequestError(
                    .invalid, "the reference data \(reference.name) is missing: name its file in references:")
            }
            guard let entry = history.entry(at: offset) else { throw ReferenceShelf.withoutRows(history) }
            if hashes[number] == entry.hash { continue }
            do {
                changes.append((number, try history.table(reference, of: entry.hash)))
            } catch let error as QueryFailure {
                throw QueryRequestError(.invalid, ReferenceShelf.text(error))
            }
        }
        for change in changes {
            current[change.reference] = change.table
            if prepared[change.reference] === change.table { prepared[change.reference] = nil }
            let name = plan.references[change.reference].name
            hashes[change.reference] = shelf.history(name)?.entry(at: offset)?.hash
        }
        look(from: offset)
        return changes
    }

    /// Notes where other rows come into force for a query that has taken everything before this place.
    mutating func look(from offset: UInt64) {
        switchOffset = UInt64.max
        for (number, reference) in plan.references.enumerated() {
            guard let history = shelf.history(reference.name) else { continue }
            if history.entry(at: offset)?.hash != hashes[number] { switchOffset = min(switchOffset, offset) }
            if let next = history.next(after: offset) { switchOffset = min(switchOffset, next) }
        }
    }

    /// Keeps a table for the moment when its rows come into force.
    mutating func prepare(_ table: ReferenceTable, reference: Int) { prepared[reference] = table }
}
