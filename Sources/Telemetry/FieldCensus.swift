/// Which fields events have, by a look at some of them: a name in a query that none of those has is most likely
/// mistyped.
package struct FieldCensus: Sendable {
    /// A field that no event looked at had.
    package struct Missing: Sendable, Equatable {
        package var field: String
        /// Of those that there are, the one that was probably meant.
        package var suggestion: String?
        /// How many events were looked at.
        package var events: Int
    }

    /// Names seen lately, in lower case, to how they are spelt; the second half of the time is the one before.
    private var names: [[String: String]] = [[:], [:]]
    private var events = [0, 0]
    /// Events after which the older half is forgotten.
    private static let eventsMax = 1_000
    /// Names that are remembered in each half: of more a query's author needs no list.
    private static let namesMax = 1_000
    /// Events that must have been looked at before a field counts as missing.
    package static let eventsMin = 10

    package init() {}

    /// How many events of a block of the log are worth a look: few have come yet, or names are settled.
    package var eventsPerBlock: Int { events[0] + events[1] < 100 ? 16 : 1 }

    /// Looks at an event: a JSON object.
    package mutating func take(_ payload: UnsafeRawBufferPointer) {
        if events[0] >= Self.eventsMax {
            names = [[:], names[0]]
            events = [0, events[0]]
        }
        events[0] += 1
        _ = JSONFieldScanner.forEachTopLevelField(payload) { name, _ in
            let text = String(decoding: name, as: UTF8.self)
            if names[0].count < Self.namesMax { names[0][text.lowercased()] = text }
        }
    }

    /// The names seen lately, sorted.
    package var known: [String] { names[0].merging(names[1]) { new, _ in new }.values.sorted() }

    /// The fields that were in none of the events looked at; empty as long as those are few.
    package func missing(_ fields: [String], eventsMin: Int = FieldCensus.eventsMin) -> [Missing] {
        guard events[0] + events[1] >= eventsMin else { return [] }
        // At the limit of names the field may be one of those that are not remembered.
        guard names[0].count < Self.namesMax, names[1].count < Self.namesMax else { return [] }
        let absent = fields.filter { field in !names.contains { $0[field.lowercased()] != nil } }
        if absent.isEmpty { return [] }
        let known = known
        return absent.map {
            Missing(
                field: $0, suggestion: Suggestion.nearest(to: $0, in: known), events: events[0] + events[1])
        }
    }
}
