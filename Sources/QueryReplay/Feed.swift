import PerpetualQuery
import Telemetry

/// A file that feeds an input, with the event that comes next.
struct Feed {
    var input: Int
    var file: EventFile
    var arrival: FieldReader?
    var isAlone: Bool
    var sequence: UInt64 = 0
    var event: StreamEvent?
    /// Of `event`, or of the one before where it has none.
    var time = Int64.min

    init(input: Int, file: EventFile, arrival: FieldReader?, isAlone: Bool) {
        self.input = input
        self.file = file
        self.arrival = arrival
        self.isAlone = isAlone
    }

    /// How far the file's events are taken: `event` is not. When it is read again, it has the same time again.
    var place: InputPlace {
        event == nil
            ? InputPlace(position: file.position, sequence: sequence, time: time)
            : InputPlace(position: file.positionBefore, sequence: sequence - 1, time: time)
    }

    /// Goes on behind what was taken before.
    mutating func resume(at place: InputPlace) throws(ReplayError) {
        try file.resume(at: place.position)
        sequence = place.sequence
        time = place.time
    }

    /// The feed whose event comes first; of equal times the one that was named first.
    static func next(_ feeds: inout [Feed], _ engine: StreamEngine) throws(ReplayError) -> Int? {
        var first: Int?
        for index in feeds.indices {
            if feeds[index].event == nil { try feeds[index].advance(engine) }
            guard feeds[index].event != nil else { continue }
            if let best = first, feeds[best].time <= feeds[index].time { continue }
            first = index
        }
        return first
    }

    private mutating func advance(_ engine: StreamEngine) throws(ReplayError) {
        guard let payload = try file.next() else { return }
        sequence += 1
        var next = StreamEvent(
            input: input, device: 0, sequence: sequence, arrivalTime: EventTime(ticks: 0),
            eventTime: EventTime(ticks: 0), payload: payload, isText: file.isText)
        if let arrival {
            guard let arrived = arrival.time(of: payload) else {
                throw ReplayError(
                    .input,
                    "\(file.place): no time of arrival in \(arrival.name): write ISO 8601 or an epoch number"
                )
            }
            next.arrivalTime = arrived
            time = arrived.ticks
        } else if !isAlone {
            // An event without time comes at once; the engine counts it.
            time = engine.time(of: next)?.ticks ?? time
        }
        event = next
    }
}
