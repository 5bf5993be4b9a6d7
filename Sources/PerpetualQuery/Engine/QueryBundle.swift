package import Telemetry

/// Several queries over the same records: a payload is decoded once, only the fields that some query wants, and a
/// query whose WHERE begins with a comparison of a field and a constant is not run for the records that fail it.
///
/// Single-owner. The queries are the bundle's until another bundle is made of them; `settle` before they are asked
/// for counters or state.
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
        var operation: Operation
        var constant: Datum
        var skipped: UInt64 = 0
    }

    private let members: [Member]
    /// The only query, when it reads payloads itself.
    private let only: Kept<LiveQuery>?
    /// Members without guard.
    private let plain: [Int]
    @exclusivity(unchecked) private var guards: [Guard]
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
        self.guards = guards
        plain = members.indices.filter { !guarded.contains($0) }
        decoder = InputDecoder(
            fields: fields, namesMax: limits.fieldNamesMax, hashKey: limits.hashKey, arena: arena)
        start = arena.mark
    }

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
            return Guard(
                member: number, slot: slot, operation: first.operation,
                constant: stage.frame[Int(first.right)])
        default: return nil
        }
    }

    package var count: Int { members.count }
    /// Members that a comparison guards.
    package var guardedCount: Int { guards.count }

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
        if !guards.isEmpty {
            if !isDecoded { isJSON = decoder.decode(record.payload) }
            isDecoded = true
            for number in guards.indices {
                if isJSON, !Self.holds(guards[number], decoder.slots[guards[number].slot]) {
                    guards[number].skipped += 1
                } else {
                    run(guards[number].member, event, isJSON: isJSON, failed)
                }
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
    private static func holds(_ guarded: Guard, _ value: Datum) -> Bool {
        let constant = guarded.constant
        let order: Int
        if value.kind == .float, constant.kind == .float {
            let (a, b) = (value.double, constant.double)
            order = a < b ? -1 : a > b ? 1 : 0
        } else if value.kind == .bigint, constant.kind == .bigint {
            order = value.integer < constant.integer ? -1 : value.integer > constant.integer ? 1 : 0
        } else {
            guard let mixed = Datum.compare(value, constant) else { return false }
            order = mixed
        }
        switch guarded.operation {
        case .jumpUnlessEqual: return order == 0
        case .jumpUnlessNotEqual: return order != 0
        case .jumpUnlessLess: return order < 0
        case .jumpUnlessLessOrEqual: return order <= 0
        case .jumpUnlessGreater: return order > 0
        default: return order >= 0
        }
    }

    /// Tells the queries of the records that they did not see: counters and the time of arrival.
    package func settle() {
        for number in guards.indices where guards[number].skipped > 0 {
            let engine = members[guards[number].member].query.engine
            engine.totals.events += guards[number].skipped
            engine.totals.accepted += guards[number].skipped
            guards[number].skipped = 0
            let source = engine.sources[0]
            source.greatest[0] = max(source.greatest[0], lastArrival)
        }
    }
}
