package import PerpetualQuery
import Telemetry

// What a query reads and no event has.
extension QueryReplay {
    /// Events of each file that are looked at.
    private static let eventsMax = 1_000
    /// Names that a note lists.
    private static let namesMax = 12

    /// A note for each field of the query that none of the first events of a file has: it gives NULL, so most likely
    /// its name is mistyped, or the file has no header. Best effort: what is wrong with a file is told when it is read.
    package func notes(_ plan: StreamPlan) -> [String] {
        var notes: [String] = []
        for named in inputs {
            let found = named.name.map { name in
                plan.inputs.first { $0.name.lowercased() == name.lowercased() }
            }
            guard let input = found ?? plan.inputs.first,
                let file = try? EventFile(path: named.path, files: files)
            else { continue }
            var census = FieldCensus()
            var count = 0
            while count < Self.eventsMax, let event = (try? file.next()) ?? nil {
                census.take(event)
                count += 1
            }
            for missing in census.missing(input.fields, eventsMin: 1) {
                let hint = missing.suggestion.map { "; did you mean \"\($0)\"?" }
                let known = census.known
                let list = known.prefix(Self.namesMax).joined(separator: ", ")
                let rest = known.count > Self.namesMax ? ", …" : ""
                let place =
                    file.isText
                    ? "\(named.path):1: there is no column \"\(missing.field)\""
                    : "\(named.path): the field \"\(missing.field)\" is in none of the first \(missing.events) events"
                notes.append("\(place), it gives NULL\(hint ?? "; there are: \(list)\(rest)")")
            }
        }
        return notes
    }
}
