import MQTTBroker
import MQTTWire
import ResultSink
import Telemetry

/// Publishes result rows on the event loop as they stand in the outbox. Of a row that nobody subscribes to and that
/// is not retained, or that another takes the place of, no message is made.
///
/// `@unchecked Sendable`: `publish` is confined to the event loop, and the rest is constant.
final class ResultPublisher: @unchecked Sendable {
    private let loop: BrokerLoop
    private let retained: [[UInt8]]
    /// What was found of the last row's topic, and when.
    private var lastTopic: [UInt8] = []
    private var lastVersion: UInt64 = .max
    private var hasSubscribers = false
    /// Rows that are to be retained and that nobody subscribes to.
    private var newest = NewestByTopic()

    private static let form: PropertyForm = {
        var properties = Properties()
        properties.contentType = "application/json"
        properties.payloadFormatIndicator = 1
        properties.userProperties = [UserProperty("rid", ResultID(high: 0, low: 0).description)]
        return PropertyForm(properties)
    }()

    /// - Parameter retained: outputs whose rows are states with a last value; those of others are sequences of events.
    init(_ loop: BrokerLoop, retained: Set<String>) {
        self.loop = loop
        self.retained = retained.sorted().map { Array($0.utf8) }
    }

    /// Publishes the rows of a batch from a place on.
    func publish(_ batch: ResultBatch, from position: UInt64) {
        for entry in batch.entries(from: position) where entry.isRow && !entry.topic.isEmpty {
            look(at: entry.topic)
            if hasSubscribers {
                loop.publish(message(entry))
            } else if isRetained(entry) {
                if newest.note(entry) { loop.broker.noteUnheard(topic: entry.topic) }
            } else {
                loop.broker.noteUnheard(topic: entry.topic)
            }
        }
        retainNewest()
        withExtendedLifetime(batch) {}
    }

    /// Finds out whether anybody subscribes to a topic.
    private func look(at topic: UnsafeRawBufferPointer) {
        let version = loop.broker.subscriptionVersion
        if version != lastVersion {
            // What was put off is older than what whoever came will get.
            retainNewest()
            lastVersion = loop.broker.subscriptionVersion
        } else if lastTopic.withUnsafeBytes({ isEqual($0, topic) }) {
            return
        }
        lastTopic.removeAll(keepingCapacity: true)
        lastTopic.append(contentsOf: topic)
        hasSubscribers = loop.broker.hasSubscribers(topic: topic)
    }

    private func retainNewest() {
        if newest.entries.isEmpty { return }
        for entry in newest.entries { loop.broker.publishUnheard(message(entry)) }
        newest.removeAll()
        loop.perform()
    }

    func isRetained(_ entry: ResultEntryView) -> Bool {
        retained.contains { output in output.withUnsafeBytes { isEqual($0, entry.output) } }
    }

    func message(_ entry: ResultEntryView) -> Message {
        let isRetained = isRetained(entry)
        return withUnsafeTemporaryAllocation(byteCount: ResultID.digitCount, alignment: 1) { digits in
            entry.rid.write(to: digits)
            return Message(
                topic: entry.topic, payload: entry.json, qos: .atLeastOnce, retain: isRetained,
                form: Self.form, value: UnsafeRawBufferPointer(digits), isRestoredByHub: isRetained)
        }
    }
}

/// The newest row of each topic of a portion, in the order in which the topics came.
struct NewestByTopic {
    private(set) var entries: [ResultEntryView] = []
    /// Indices into `entries` by the topic's hash, with open addressing; -1 where none is.
    private var places: [Int32] = []

    /// - Returns: whether the row takes the place of another.
    mutating func note(_ entry: ResultEntryView) -> Bool {
        if entries.count * 2 >= places.count { grow() }
        var place = Self.hash(entry.topic) & (places.count - 1)
        while places[place] >= 0 {
            let index = Int(places[place])
            if isEqual(entries[index].topic, entry.topic) {
                entries[index] = entry
                return true
            }
            place = (place + 1) & (places.count - 1)
        }
        places[place] = Int32(entries.count)
        entries.append(entry)
        return false
    }

    mutating func removeAll() {
        if entries.isEmpty { return }
        entries = []
        places = []
    }

    private mutating func grow() {
        places = Array(repeating: -1, count: max(64, places.count * 2))
        for (index, entry) in entries.enumerated() {
            var place = Self.hash(entry.topic) & (places.count - 1)
            while places[place] >= 0 { place = (place + 1) & (places.count - 1) }
            places[place] = Int32(index)
        }
    }

    private static func hash(_ topic: UnsafeRawBufferPointer) -> Int {
        var hasher = Hasher()
        hasher.combine(bytes: topic)
        return hasher.finalize() & Int.max
    }
}

/// The newest message of each topic in some batches, for a start.
struct NewestMessages {
    private var byTopic: [[UInt8]: Message] = [:]

    /// Messages that the event loop retains in one turn.
    static let portion = 1_000

    mutating func add(_ batch: ResultBatch, before end: UInt64, _ publisher: ResultPublisher) {
        var newest = NewestByTopic()
        for entry in batch.entries
        where entry.isRow && entry.position < end && !entry.topic.isEmpty && publisher.isRetained(entry) {
            _ = newest.note(entry)
        }
        for entry in newest.entries { byTopic[Array(entry.topic)] = publisher.message(entry) }
    }

    /// By topic.
    var messages: [Message] {
        byTopic.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map(\.value)
    }
}
