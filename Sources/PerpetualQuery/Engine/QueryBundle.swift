package import Telemetry

/// Several queries over the same records: a payload is decoded once, only the fields that some query wants, and a
/// query whose WHERE begins with a comparison of a field and a constant is not run for the records that fail it.
///
/// Single-owner. The queries are the bundle's until another bundle is made of them; `settle` before they are asked
/// for counters or state.
///
/// Raw pointer: the bundle owns its guards and frees them in deinit.
package final class QueryBundle {
    private struct Member {
        let query: LiveQuery
        let input: InputRuntime
        /// From the bundle's slots to the query's own.
        let copies: [SlotCopy]
        /// Reads the payload itself, or nothing of it.
        let decodesItself: Bool
    }

    /// A comparison that decides alone that a record gives no row of a query.
    private struct Guard {
        var member: Int
        var slot: Int
        var constant: Datum
        /// The constant when it is a number that a double holds exactly, else NaN.
        var number: Double
        /// Orders that hold: 1 less, 2 equal, 4 greater.
        var orders: UInt8
        /// Records that passed, or could not be judged, since the last `settle`.
        var taken: UInt64 = 0
    }

    private let members: [Member]
    /// The only query, when it reads payloads itself.
    private let only: Kept<LiveQuery>?
    /// Members without guard.
    private let plain: [Int]
    private let guards: UnsafeMutablePointer<Guard>
    private let guardCount: Int
    /// Records that came to the guards since the last `settle`.
    @exclusivity(unchecked) private var guardedRecords: UInt64 = 0
    private let decoder: InputDecoder
    private let arena = ByteArena()
    private let start: ByteArena.Mark
    @exclusivity(unchecked) private var lastArrival = Int64.min

    /// - Parameter queries: each with one input.
    package init(_ queries: [LiveQuery], limits: StreamLimits = StreamLimits()) {
        var fields: [String] = []
        var numbers: [String: Int] = [:]
        var members: [Member] = []
        for query in queries {
            let input = query.engine.inputs[0]
            var copies: [SlotCopy] = []
            for (slot, field) in query.plan.inputs[0].fields.enumerated() {
                let number = numbers[field] ?? fields.count
                if number == fields.count { fields.append(field) }
                numbers[field] = number
                copies.append(SlotCopy(from: number, to: slot))
            }
            members.append(
                Member(
                    query: query, input: input, copies: copies,
                    decodesItself: input.isDirect || !input.needsDecoding || input.duplicates != nil))
        }
        let guards = members.indices.compactMap { Self.makeGuard($0, members[$0]) }
        let guarded = Set(guards.map(\.member))
        self.members = members
        only = members.count == 1 && members[0].decodesItself ? Kept(members[0].query) : nil
        guardCount = guards.count
        self.guards = .allocate(capacity: max(guardCount, 1))
        for (index, made) in guards.enumerated() { (self.guards + index).initialize(to: made) }
        plain = members.indices.filter { !guarded.contains($0) }
        decoder = InputDecoder(
            fields: fields, namesMax: limits.fieldNamesMax, hashKey: limits.hashKey, arena: arena)
        start = arena.mark
    }

    deinit { guards.deallocate() }

    private static func makeGuard(_ number: Int, _ member: Member) -> Guard? {
        guard member.query.plan.sources.count == 1, let source = member.query.engine.sources.first,
            source.plan.timeSlot == nil, source.plan.prologue.isEmpty, !member.decodesItself
        else { return nil }
        let stage = member.query.engine.stages[source.plan.stage]
        guard stage.sort == nil, stage.listeners.isEmpty, stage.body.count > 0 else { return nil }
        let first = stage.body.instructions[0]
        // The jump past the last instruction: the record gives nothing.
        guard Int(first.target) == stage.body.count,
            let load = source.plan.loads.first(where: { $0.to == Int(first.left) && $0.from >= 0 }),
            let slot = member.copies.first(where: { $0.to == load.from })?.from,
            member.query.plan.stages[source.plan.stage].program.constants.contains(where: {
                $0.slot == Int(first.right)
            })
        else { return nil }
        switch first.operation {
        case .jumpUnlessEqual, .jumpUnlessNotEqual, .jumpUnlessLess, .jumpUnlessLessOrEqual,
            .jumpUnlessGreater, .jumpUnlessGreaterOrEqual:
            let constant = stage.frame[Int(first.right)]
            let orders: UInt8 =
                switch first.operation {
                case .jumpUnlessEqual: 2
                case .jumpUnlessNotEqual: 5
                case .jumpUnlessLess: 1
                case .jumpUnlessLessOrEqual: 3
                case .jumpUnlessGreater: 4
                default: 6
                }
            return Guard(
                member: number, slot: slot, constant: constant,
                number: exactNumber(constant) ?? .nan, orders: orders)
        default: return nil
        }
    }

    package var count: Int { members.count }
    /// Members that a comparison guards.
    package var guardedCount: Int { guardCount }

    /// Gives a record to every query.
    ///
    /// - Parameter failed: gets the number of a query that stopped; it must not be given anything any more.
    package func process(
        _ record: RecordView,
        messageID: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
        failed: (Int, QueryFailure) -> Void
    ) {
        let event = StreamEvent(
            input: 0, device: record.device, sequence: record.sequence, arrivalTime: record.arrivalTime,
            eventTime: record.eventTime, payload: record.payload, messageID: messageID)
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
                do throws(QueryFailure) { try members[number].query.process(event) } catch {
                    failed(number, error)
                }
                continue
            }
            if !isDecoded { isJSON = decoder.decode(record.payload) }
            isDecoded = true
            run(number, event, isJSON: isJSON, failed)
        }
        if guardCount > 0 {
            if !isDecoded { isJSON = decoder.decode(record.payload) }
            isDecoded = true
            guardedRecords += 1
            let slots = decoder.slots
            for number in 0..<guardCount {
                let comparison = guards + number
                if isJSON, !Self.holds(comparison, slots[comparison.pointee.slot]) { continue }
                comparison.pointee.taken += 1
                run(comparison.pointee.member, event, isJSON: isJSON, failed)
            }
        }
        if isDecoded { arena.release(to: start) }
    }

    private func run(
        _ number: Int, _ event: StreamEvent, isJSON: Bool, _ failed: (Int, QueryFailure) -> Void
    ) {
        let member = members[number]
        let slots = member.input.decoder.slots
        for copy in member.copies { slots[copy.to] = decoder.slots[copy.from] }
        do throws(QueryFailure) {
            try member.query.process(event, decoded: slots, isJSON: isJSON)
        } catch {
            failed(number, error)
        }
    }

    @inline(__always)
    private static func holds(_ comparison: UnsafeMutablePointer<Guard>, _ value: Datum) -> Bool {
        let number = comparison.pointee.number
        if number == number, let own = exactNumber(value) {
            let order: UInt8 = own < number ? 1 : own > number ? 4 : 2
            return comparison.pointee.orders & order != 0
        }
        guard let order = Datum.compare(value, comparison.pointee.constant) else { return false }
        return comparison.pointee.orders & (order < 0 ? 1 : order > 0 ? 4 : 2) != 0
    }

    /// A number as a double, when that is what it is; nil for all else.
    @inline(__always)
    private static func exactNumber(_ value: Datum) -> Double? {
        if value.kind == .float { return value.double }
        if value.kind == .bigint, value.integer.magnitude < 1 << 53 { return Double(value.integer) }
        return nil
    }

    /// Tells the queries of the records that they did not see: counters and the time of arrival.
    package func settle() {
        defer { guardedRecords = 0 }
        for number in 0..<guardCount {
            let skipped = guardedRecords - guards[number].taken
            guards[number].taken = 0
            if skipped == 0 { continue }
            let engine = members[guards[number].member].query.engine
            engine.totals.events += skipped
            engine.totals.accepted += skipped
            let source = engine.sources[0]
            source.greatest[0] = max(source.greatest[0], lastArrival)
        }
    }
}
