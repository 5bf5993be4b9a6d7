package import Telemetry

/// Several queries over the same records: a payload is decoded once, only the fields that some query wants, and the
/// queries whose WHERE begins with questions to single fields are judged all at once: they get only records for which
/// these are true.
///
/// Single-owner. The queries are the bundle's until another bundle is made of them; `settle` before they are asked
/// for counters or state.
///
/// Raw pointers: the bundle owns its bits, counts and copies, and frees them in deinit.
package final class QueryBundle {
    private struct Member {
        let query: Kept<LiveQuery>
        let decoder: InputDecoder
        /// From the bundle's slots to the query's own.
        let copies: UnsafeMutablePointer<SlotCopy>
        let copyCount: Int
        /// Reads the payload itself, or nothing of it.
        let decodesItself: Bool
        /// What must hold for a record to give a row.
        let terms: [FilterTerm]
    }

    /// Keep what `members` point to.
    private let queries: [LiveQuery]
    private let members: [Member]
    /// The only query, when it reads payloads itself.
    private let only: Kept<LiveQuery>?
    /// Members that get every record.
    private let plain: [Int]
    /// Members that get the records that `index` leaves them, by their bits there.
    private let guarded: [Int]
    private let index: FilterIndex
    /// Bits of the guarded members that get the record in hand, and of those that got one since `takeRan`.
    private let left: UnsafeMutablePointer<UInt64>
    private let ran: UnsafeMutablePointer<UInt64>
    @exclusivity(unchecked) private var hasRunPlain = false
    /// By guarded member, records that it got since the last `settle`.
    private let taken: UnsafeMutablePointer<UInt64>
    /// Records that came to the guarded since the last `settle`.
    @exclusivity(unchecked) private var guardedRecords: UInt64 = 0
    private let decoder: InputDecoder
    private let arena = ByteArena()
    private let start: ByteArena.Mark
    @exclusivity(unchecked) private var lastArrival = Int64.min

    /// - Parameter queries: each with one input.
    package init(_ queries: [LiveQuery], limits: StreamLimits = StreamLimits()) {
        var fields: [String] = []
        var numbers: [String: Int] = [:]
        let members = queries.map { query in
            let copies = query.plan.inputs[0].fields.enumerated().map { slot, field in
                let number = numbers[field] ?? fields.count
                if number == fields.count { fields.append(field) }
                numbers[field] = number
                return SlotCopy(from: number, to: slot)
            }
            return Self.member(query, copies)
        }
        self.queries = queries
        self.members = members
        only = members.count == 1 && members[0].decodesItself ? members[0].query : nil
        plain = members.indices.filter { members[$0].terms.isEmpty }
        guarded = members.indices.filter { !members[$0].terms.isEmpty }
        index = FilterIndex(guarded.map { members[$0].terms })
        left = .allocate(capacity: index.wordCount + 1)
        ran = .allocate(capacity: index.wordCount + 1)
        ran.initialize(repeating: 0, count: index.wordCount + 1)
        taken = .allocate(capacity: guarded.count + 1)
        taken.initialize(repeating: 0, count: guarded.count + 1)
        decoder = InputDecoder(
            fields: fields, namesMax: limits.fieldNamesMax, hashKey: limits.hashKey, arena: arena)
        start = arena.mark
    }

    deinit {
        for member in members { member.copies.deallocate() }
        left.deallocate()
        ran.deallocate()
        taken.deallocate()
    }

    private static func member(_ query: LiveQuery, _ copies: [SlotCopy]) -> Member {
        let input = query.engine.inputs[0]
        let decodesItself = input.isDirect || !input.needsDecoding || input.duplicates != nil
        let own = UnsafeMutablePointer<SlotCopy>.allocate(capacity: max(copies.count, 1))
        for (index, copy) in copies.enumerated() { (own + index).initialize(to: copy) }
        return Member(
            query: Kept(query), decoder: input.decoder, copies: own, copyCount: copies.count,
            decodesItself: decodesItself, terms: decodesItself ? [] : terms(query, copies))
    }

    /// Empty when the query has to see every record: for time that goes on with it, or since its rows do not hang on
    /// single fields.
    private static func terms(_ query: LiveQuery, _ copies: [SlotCopy]) -> [FilterTerm] {
        guard query.plan.sources.count == 1, let source = query.engine.sources.first,
            source.plan.timeSlot == nil, source.plan.prologue.isEmpty
        else { return [] }
        let stage = query.engine.stages[source.plan.stage]
        guard stage.sort == nil, stage.listeners.isEmpty else { return [] }
        var fields: [Int: Int] = [:]
        for load in source.plan.loads where load.from >= 0 {
            fields[load.to] = copies.first { $0.to == load.from }?.from
        }
        let constants = query.plan.stages[source.plan.stage].program.constants.map(\.slot)
        return FilterTermReader(
            code: stage.body, frame: stage.frame, fields: fields, constants: Set(constants)
        ).terms()
    }

    package var count: Int { members.count }
    /// Members whose WHERE is decided for all at once.
    package var guardedCount: Int { guarded.count }

    /// Gives a record to every query.
    ///
    /// - Parameter failed: gets the number of a query that stopped; it must not be given anything any more.
    package func process(
        _ record: RecordView,
        messageID: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
        failed: (Int, QueryFailure) -> Void
    ) {
        let event = StreamEvent(record, messageID: messageID)
        if let only {
            return only.use { query in
                do throws(QueryFailure) { try query.process(event) } catch { failed(0, error) }
            }
        }
        lastArrival = max(lastArrival, record.arrivalTime.ticks)
        var isDecoded = false
        var isJSON = false
        for number in plain {
            if members[number].decodesItself {
                members[number].query.use { query in
                    do throws(QueryFailure) { try query.process(event) } catch { failed(number, error) }
                }
                continue
            }
            if !isDecoded { isJSON = decoder.decode(record.payload) }
            isDecoded = true
            run(number, event, isJSON: isJSON, failed)
        }
        hasRunPlain = true
        if !guarded.isEmpty {
            if !isDecoded { isJSON = decoder.decode(record.payload) }
            isDecoded = true
            runGuarded(event, isJSON: isJSON, failed)
        }
        if isDecoded { arena.release(to: start) }
    }

    @inline(__always)
    private func runGuarded(_ event: StreamEvent, isJSON: Bool, _ failed: (Int, QueryFailure) -> Void) {
        guardedRecords += 1
        guard isJSON else {
            for number in guarded.indices { runGuarded(number, event, isJSON: false, failed) }
            return
        }
        index.decide(decoder.slots, left)
        for word in 0..<index.wordCount {
            var bits = left[word]
            while bits != 0 {
                runGuarded(word << 6 + bits.trailingZeroBitCount, event, isJSON: true, failed)
                bits &= bits - 1
            }
        }
    }

    private func runGuarded(
        _ number: Int, _ event: StreamEvent, isJSON: Bool, _ failed: (Int, QueryFailure) -> Void
    ) {
        taken[number] += 1
        ran[number >> 6] |= 1 << UInt64(number & 63)
        run(guarded[number], event, isJSON: isJSON, failed)
    }

    @inline(__always)
    private func run(
        _ number: Int, _ event: StreamEvent, isJSON: Bool, _ failed: (Int, QueryFailure) -> Void
    ) {
        let copies = members[number].copies
        let own = members[number].decoder.slots
        let slots = decoder.slots
        for index in 0..<members[number].copyCount { own[copies[index].to] = slots[copies[index].from] }
        members[number].query.use { query in
            do throws(QueryFailure) { try query.process(event, decoded: own, isJSON: isJSON) } catch {
                failed(number, error)
            }
        }
    }

    /// Gives the numbers of the queries that got a record since the last call; only they can have rows. What a tick
    /// does to a query does not count.
    package func takeRan(_ body: (Int) -> Void) {
        if hasRunPlain || only != nil { for number in plain { body(number) } }
        hasRunPlain = false
        for word in 0..<index.wordCount {
            var bits = ran[word]
            ran[word] = 0
            while bits != 0 {
                body(guarded[word << 6 + bits.trailingZeroBitCount])
                bits &= bits - 1
            }
        }
    }

    /// Tells the queries of the records that they did not see: counters and the time of arrival.
    package func settle() {
        defer { guardedRecords = 0 }
        for number in guarded.indices {
            let skipped = guardedRecords - taken[number]
            taken[number] = 0
            if skipped == 0 { continue }
            let engine = queries[guarded[number]].engine
            engine.totals.events += skipped
            engine.totals.accepted += skipped
            let source = engine.sources[0]
            source.greatest[0] = max(source.greatest[0], lastArrival)
        }
    }
}
