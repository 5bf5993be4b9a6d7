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

    /// Checks that a plan can use the rows as they are now.
    ///
    /// - Throws: `.invalid` with the place in the file.
    func check(_ plan: StreamPlan) throws {
        do {
            for reference in plan.references {
                guard let history = history(reference.name), let newest = history.newest else { continue }
                _ = try ReferenceTable(reference, try history.data(of: newest.hash))
            }
        } catch let error as QueryFailure {
            throw QueryRequestError(.invalid, Self.text(error))
        }
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
    /// What is in force soon, ready.
    private var prepared: [Int: (hash: ReferenceHash, table: ReferenceTable)] = [:]
    /// The place of the log from which on records are joined with other rows.
    private(set) var switchOffset = UInt64.max

    init(_ shelf: ReferenceShelf, _ plan: StreamPlan) {
        self.shelf = shelf
        self.plan = plan
        hashes = plan.references.map { _ in nil }
    }

    /// What comes into force for records from this place on, by the plan's reference; later places count from there.
    ///
    /// - Throws: what cannot be read, or cannot be joined with.
    mutating func advance(to offset: UInt64) throws -> [(reference: Int, table: ReferenceTable)] {
        var changes: [(reference: Int, table: ReferenceTable)] = []
        for (number, reference) in plan.references.enumerated() {
            guard let history = shelf.history(reference.name), let entry = history.entry(at: offset) else {
                throw QueryRequestError(
                    .invalid, "the reference data \(reference.name) is missing: name its file in references:")
            }
            if hashes[number] == entry.hash { continue }
            var table = prepared[number]?.hash == entry.hash ? prepared[number]?.table : nil
            do {
                if table == nil { table = try ReferenceTable(reference, try history.data(of: entry.hash)) }
            } catch let error as QueryFailure {
                throw QueryRequestError(.invalid, ReferenceShelf.text(error))
            }
            if let table { changes.append((number, table)) }
            if prepared[number]?.hash == entry.hash { prepared[number] = nil }
        }
        for change in changes {
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
    mutating func prepare(_ table: ReferenceTable, of hash: ReferenceHash, reference: Int) {
        prepared[reference] = (hash, table)
    }
}
