/// Sessions: rows that follow each other within the timeout. A session ends when the timeout passes without
/// a row, or at a multiple of the longest duration when it is then at least that long.
///
/// Rows come in the order of their times. A session's groups end together.
final class SessionWindows: WindowOperator {
    private final class Session {
        var start: Int64
        var last: Int64
        /// Timeline and partition.
        let owner: Int
        var groups: [(key: [UInt8], block: UnsafeMutableRawPointer)] = []
        let numbers: KeyTable

        init(start: Int64, owner: Int, hashKey: UInt64) {
            numbers = KeyTable(hashKey: hashKey)
            self.start = start
            last = start
            self.owner = owner
        }
    }

    private let timeout: Int64
    private let longest: Int64
    private let partition: [Int]
    /// The partition's key is part of the group's; otherwise sessions of several partitions may have one key, begin and
    /// end together, and a group is named by both.
    private let isPartOfKey: Bool
    /// Timeline and partition key to a number.
    private let owners: KeyTable
    private var timelineOfOwner: [Int32] = []
    private var current: [Int] = []
    private var sessionsOfOwner: [Int] = []
    private var sessions: [Session?] = []
    private var freeSessions: [Int] = []
    private var heaps: [DueHeap] = []
    private var due = DueHeap()
    private var ownerKey = KeyBuffer()
    private var groupCount = 0

    init(
        timeout: Int64, longest: Int64, partition: [Int], isPartOfKey: Bool, state: GroupState,
        plan: WindowPlan, limits: StreamLimits
    ) {
        self.timeout = timeout
        self.longest = longest
        self.partition = partition
        self.isPartOfKey = isPartOfKey
        owners = KeyTable(hashKey: limits.hashKey)
        super.init(state: state, plan: plan, kind: .session, limits: limits)
    }

    deinit {
        for session in sessions {
            for group in session?.groups ?? [] {
                state.clear(group.block)
                group.block.deallocate()
            }
        }
        ownerKey.deallocate()
    }

    override var openGroups: Int { groupCount }
    override var earliestTimeline: Int? { due.earliestNumber }

    /// The last moment of a session as far as it is known.
    private func end(_ session: Session) -> Int64 {
        let earliest = session.start + longest
        let rest = earliest % longest
        let check = rest == 0 ? earliest : earliest + (rest > 0 ? longest - rest : -rest)
        return min(session.last + timeout, check)
    }

    override func add(
        _ context: RowContext, _ frame: UnsafeMutablePointer<Datum>, key: UnsafeRawBufferPointer, hash: UInt64
    ) -> RowFailure? {
        guard groupCount < limits.openGroupsMax, key.count <= limits.keyBytesMax else { return .limit }
        ownerKey.removeAll()
        ownerKey.append(bigEndian: UInt64(UInt32(bitPattern: context.timeline)))
        for slot in partition { GroupKey.append(frame[slot], to: &ownerKey) }
        let owner = owner(ownerKey.bytes, context.timeline)
        var number = current[owner]
        if number >= 0, let session = sessions[number], context.time > end(session) { number = -1 }
        if number < 0 { number = open(owner, at: context.time) }
        guard let session = sessions[number] else { return nil }
        session.last = max(session.last, context.time)
        let block = block(of: key, in: session)
        schedule(number, session)
        return state.add(block, context, frame)
    }

    private func owner(_ key: UnsafeRawBufferPointer, _ timeline: Int32) -> Int {
        let (owner, isNew) = owners.number(of: key)
        if isNew {
            while current.count <= owner {
                current.append(-1)
                timelineOfOwner.append(0)
                sessionsOfOwner.append(0)
            }
            current[owner] = -1
            sessionsOfOwner[owner] = 0
            timelineOfOwner[owner] = timeline
        }
        return owner
    }

    private func open(_ owner: Int, at time: Int64) -> Int {
        let session = Session(start: time, owner: owner, hashKey: limits.hashKey)
        let number: Int
        if let unused = freeSessions.popLast() {
            number = unused
            sessions[number] = session
        } else {
            number = sessions.count
            sessions.append(session)
        }
        current[owner] = number
        sessionsOfOwner[owner] += 1
        return number
    }

    private func block(of key: UnsafeRawBufferPointer, in session: Session) -> UnsafeMutableRawPointer {
        let (number, isNew) = session.numbers.number(of: key)
        if !isNew { return session.groups[number].block }
        let block = UnsafeMutableRawPointer.allocate(byteCount: state.layout.byteCount, alignment: 16)
        state.initialize(block)
        session.groups.append((Array(key), block))
        groupCount += 1
        return block
    }

    private func schedule(_ number: Int, _ session: Session) {
        let timeline = Int(timelineOfOwner[session.owner])
        while heaps.count <= timeline { heaps.append(DueHeap()) }
        heaps[timeline].set(number, due: end(session))
        due.set(timeline, due: heaps[timeline].earliest)
    }

    override func earliest(_ timeline: Int32) -> Int64 {
        timeline < 0 ? due.earliest : due.due(Int(timeline))
    }

    override func close(_ timeline: Int32, _ body: (ClosedGroup) -> RowFailure?) -> RowFailure? {
        let end = earliest(timeline)
        var closing: [Int] = []
        while due.earliest == end || timeline >= 0,
            let line = timeline >= 0 ? Int(timeline) : due.earliestNumber
        {
            while heaps[line].earliest == end, let number = heaps[line].earliestNumber {
                closing.append(number)
                heaps[line].set(number, due: Int64.max)
            }
            due.set(line, due: heaps[line].earliest)
            if timeline >= 0 { break }
        }
        var groups: [(key: [UInt8], session: Int, group: Int)] = []
        for number in closing {
            guard let session = sessions[number] else { continue }
            for (index, group) in session.groups.enumerated() { groups.append((group.key, number, index)) }
        }
        // Sessions of one key that end together stand in the order in which they began.
        groups.sort { left, right in
            left.key != right.key
                ? left.key.lexicographicallyPrecedes(right.key)
                : (sessions[left.session]?.start ?? 0, left.session) < (
                    sessions[right.session]?.start ?? 0, right.session
                )
        }
        var failure: RowFailure?
        for item in groups where failure == nil {
            guard let session = sessions[item.session] else { continue }
            let key = isPartOfKey ? item.key : item.key + owners.bytes(of: session.owner).dropFirst(8)
            failure = key.withUnsafeBytes { key in
                body(
                    ClosedGroup(
                        key: key, block: session.groups[item.group].block,
                        timeline: timelineOfOwner[session.owner], start: session.start, end: end))
            }
        }
        for number in closing { free(number) }
        return failure
    }

    private func free(_ number: Int) {
        guard let session = sessions[number] else { return }
        for group in session.groups {
            state.clear(group.block)
            group.block.deallocate()
        }
        groupCount -= session.groups.count
        sessions[number] = nil
        freeSessions.append(number)
        if current[session.owner] == number { current[session.owner] = -1 }
        sessionsOfOwner[session.owner] -= 1
        if sessionsOfOwner[session.owner] == 0 { owners.remove(session.owner) }
    }

    override func write(to writer: inout StateWriter) {
        let open = sessions.indices.filter { sessions[$0] != nil }
        writer.put(UInt32(open.count))
        for number in open {
            guard let session = sessions[number] else { continue }
            writer.put(owners.bytes(of: session.owner))
            writer.put(UInt8(current[session.owner] == number ? 1 : 0))
            writer.put(session.start)
            writer.put(session.last)
            writer.put(UInt32(session.groups.count))
            for group in session.groups {
                group.key.withUnsafeBytes { writer.put($0) }
                state.write(group.block, to: &writer)
            }
        }
    }

    override func read(_ reader: inout StateReader) throws(CheckpointError) {
        for _ in 0..<(try reader.take(UInt32.self)) {
            let key = try reader.takeBytes()
            guard key.count >= 8 else { throw .damaged(at: reader.at) }
            let timeline = UInt64(bigEndian: key.loadUnaligned(as: UInt64.self))
            guard timeline < UInt64(limits.timelinesMax) else { throw .damaged(at: reader.at) }
            let owner = owner(key, Int32(timeline))
            let before = current[owner]
            let isCurrent = try reader.take(UInt8.self) == 1
            let number = open(owner, at: try reader.take(Int64.self))
            if !isCurrent { current[owner] = before }
            guard let session = sessions[number] else { continue }
            session.last = try reader.take(Int64.self)
            for _ in 0..<(try reader.take(UInt32.self)) {
                let block = block(of: try reader.takeBytes(), in: session)
                guard state.rows(block) == 0 else { throw .damaged(at: reader.at) }
                try state.read(&reader, into: block)
            }
            schedule(number, session)
        }
    }
}
