package import Telemetry

// From an event to its row, and time going on.
extension StreamEngine {
    /// Sets the event's time and timeline, judges it, and runs its row.
    func take(
        _ event: StreamEvent, _ source: SourceRuntime, _ slots: UnsafeMutablePointer<Datum>, isJSON: Bool
    ) {
        let stage = source.runtime
        let frame = stage.frame
        if !source.isDirect { load(event, source, slots, frame, isJSON: isJSON) }
        var row = RowContext(time: event.arrivalTime.ticks)
        row.device = event.device
        row.sequence = event.sequence
        if source.prologue.count > 0, !run(source.prologue, stage, &row) {
            if context.failure == .type {
                context.failure = nil
                totals.mistyped += 1
                return
            }
            return note(source.prologue, row)
        }
        var timeline = 0
        if source.isPartitioned {
            timeline = self.timeline(event, source, slots, isJSON: isJSON)
            guard timeline >= 0 else {
                return note(.limit, nil, row)
            }
            row.timeline = Int32(timeline)
        }
        if source.timeSlot >= 0 {
            let time = source.isDirect ? Datum(ticks: event.eventTime.ticks) : frame[source.timeSlot]
            guard let ticks = EventClock.ticks(time) else {
                totals.withoutTime += 1
                return
            }
            guard let accepted = judge(ticks, event, source, timeline) else {
                if source.isDirect { isDirectJSON = source.grouping?.scan(event.payload, arena) != .notJSON }
                move(source)
                return
            }
            row.time = accepted
            if let minimum = source.minimum, accepted == ticks, !note(source, minimum, at: ticks) {
                return note(.limit, nil, row)
            }
        } else {
            // Arrival times never go back; an input that says otherwise is taken at its greatest.
            row.time = max(row.time, source.greatest[timeline], source.floor)
        }
        let isLater = accept(time: row.time, source, timeline: timeline)
        if let grouping = source.keptGrouping {
            if isJSON { isDirectJSON = grouping.use { group($0, event, row, source, slots) } }
        } else {
            accept(row, stage)
        }
        if source.minimum != nil { return move(source) }
        if isLater, !hasFailed { goOn(source, stage, timeline: timeline, to: row.time) }
    }

    /// An event of this time is accepted.
    ///
    /// - Returns: whether it is the latest of its timeline so far, and time goes on by it.
    @inline(__always)
    func accept(time: Int64, _ source: SourceRuntime, timeline: Int) -> Bool {
        totals.accepted += 1
        guard time > source.greatest[timeline], source.minimum == nil else { return false }
        source.greatest[timeline] = time
        source.forgetful?.use { $0.advance(to: time) }
        return true
    }

    /// A timeline went on to `time`: closes what that ends.
    @inline(__always)
    func goOn(_ source: SourceRuntime, _ stage: StageRuntime, timeline: Int, to time: Int64) {
        let watermark = max(source.floor, TimePolicy.saturatingSubtract(time, source.tolerance))
        if let leaf = source.leaf {
            if leaf.use({ $0.earliest(Int32(timeline)) }) >= watermark { return }
        } else if stage.listeners.isEmpty, stage.sort == nil {
            return
        }
        advance(stage, Int32(timeline), to: watermark)
    }

    /// The device of the event in the frame is at a time.
    ///
    /// - Returns: false when there are too many devices, or its name is too long.
    private func note(_ source: SourceRuntime, _ minimum: MinimumTime, at ticks: Int64) -> Bool {
        key.removeAll()
        for slot in source.plan.deviceSlots { GroupKey.append(source.runtime.frame[slot], to: &key) }
        return key.count <= limits.keyBytesMax && minimum.note(key.bytes, at: ticks)
    }

    /// Lets time go on as far as the device that is furthest behind; nothing without `MinimumWatermark`.
    private func move(_ source: SourceRuntime) {
        guard let minimum = source.minimum, !hasFailed else { return }
        source.floor = max(source.floor, TimePolicy.saturatingSubtract(minimum.least, source.tolerance))
        guard source.floor > source.told else { return }
        source.told = source.floor
        source.forgetful?.use { $0.advance(to: source.floor) }
        if let leaf = source.leaf, leaf.use({ $0.earliest(-1) }) >= source.floor { return }
        advance(source.runtime, -1, to: source.floor)
    }

    /// The time that TIMESTAMP BY gives an event, without taking it; nil when there is none.
    package func time(of event: StreamEvent) -> EventTime? {
        guard let source = inputs[event.input].sources.first, let slot = source.plan.timeSlot else {
            return nil
        }
        let stage = stages[source.plan.stage]
        let mark = arena.mark
        defer { arena.release(to: mark) }
        let decoder = inputs[event.input].decoder
        guard decoder.decode(event.payload) else { return nil }
        self.event = event
        load(event, source, decoder.slots, stage.frame, isJSON: true)
        var row = RowContext(time: event.arrivalTime.ticks)
        guard run(source.prologue, stage, &row) else {
            context.failure = nil
            return nil
        }
        return EventClock.ticks(stage.frame[slot]).map { EventTime(ticks: $0) }
    }

    func load(
        _ event: StreamEvent, _ source: SourceRuntime, _ slots: UnsafeMutablePointer<Datum>,
        _ frame: UnsafeMutablePointer<Datum>,
        isJSON: Bool
    ) {
        for index in 0..<source.loadCount {
            let copy = source.loads[index]
            frame[copy.to] =
                copy.from >= 0
                ? slots[copy.from] : property(copy.from, event, isJSON: isJSON)
        }
    }

    /// The number of the event's timeline; −1 when there are too many.
    @inline(__always)
    private func timeline(
        _ event: StreamEvent, _ source: SourceRuntime, _ slots: UnsafeMutablePointer<Datum>, isJSON: Bool
    ) -> Int {
        guard source.isDirect else { return timeline(source, source.runtime.frame) }
        let device = Int(event.device)
        if device < source.timelineOfDevice.count {
            let known = Int(source.timelineOfDevice[device])
            if known >= 0 { return known }
        }
        let frame = source.runtime.frame
        load(event, source, slots, frame, isJSON: isJSON)
        let number = timeline(source, frame)
        guard number >= 0, device < limits.timelinesMax else { return number }
        while source.timelineOfDevice.count <= device { source.timelineOfDevice.append(-1) }
        source.timelineOfDevice[device] = Int32(number)
        return number
    }

    private func timeline(_ source: SourceRuntime, _ frame: UnsafeMutablePointer<Datum>) -> Int {
        key.removeAll()
        for slot in source.plan.timelineSlots { GroupKey.append(frame[slot], to: &key) }
        if let known = source.keys.find(key.bytes, hash: source.keys.hash(key.bytes)) { return known }
        guard source.keys.count < limits.timelinesMax, key.count <= limits.keyBytesMax else { return -1 }
        let number = source.keys.number(of: key.bytes).number
        while source.greatest.count <= number { source.greatest.append(Int64.min) }
        return number
    }

    /// - Returns: the time at which the event counts; nil when it does not.
    private func judge(_ ticks: Int64, _ event: StreamEvent, _ source: SourceRuntime, _ timeline: Int)
        -> Int64?
    {
        let arrival = arrivesAtEventTime ? ticks : event.arrivalTime.ticks
        if let minimum = source.minimum {
            // Whether a tick came before it or not, the event meets the same time. What closes does so behind it: its
            // row is in the frame.
            minimum.arrive(at: arrival)
            source.floor = max(
                source.floor, TimePolicy.saturatingSubtract(minimum.least, source.tolerance))
        }
        let watermark = policy.watermark(greatest: source.greatest[timeline], floor: source.floor)
        switch policy.judge(event: ticks, arrival: arrival, watermark: watermark) {
        case .accepted(let time, let retimed):
            if let retimed { count(retimed, ticks, event, watermark) }
            return time
        case .refused(let reason):
            count(reason, ticks, event, watermark)
            if policy.lateAction == .divert { divert(ticks, event, reason, watermark) }
            return nil
        }
    }

    private func count(
        _ reason: TimePolicy.Refusal, _ ticks: Int64, _ event: StreamEvent, _ watermark: Int64
    ) {
        lastMisplaced[Int(reason.rawValue)] = MisplacedEvent(
            device: event.device, time: ticks, arrival: event.arrivalTime.ticks, watermark: watermark)
        switch reason {
        case .early: totals.early += 1
        case .late: totals.late += 1
        case .outOfOrder: totals.outOfOrder += 1
        }
    }

    func accept(_ row: RowContext, _ stage: StageRuntime) {
        if let sort = stage.sort {
            if !sort.add(row, stage.frame) {
                stop(
                    QueryFailure(
                        text: "more than \(limits.sortedRowsMax) rows wait for their turn",
                        hint: "a smaller out-of-order tolerance holds fewer"))
            }
            return
        }
        var row = row
        if !run(stage.body, stage, &row) { note(stage.body, row) }
    }

    // MARK: Time

    func raise(_ source: SourceRuntime, to floor: Int64) {
        guard floor > source.floor, !hasFailed else { return }
        source.floor = floor
        advance(stages[source.plan.stage], -1, to: floor)
    }

    /// A stage's time, of a timeline or with −1 of all, is now `watermark`: rows that wait go on, windows
    /// close.
    func advance(_ stage: StageRuntime, _ timeline: Int32, to watermark: Int64) {
        if let sort = stage.sort {
            while !hasFailed, let waiting = sort.next(timeline, through: watermark) {
                sort.load(waiting, into: stage.frame)
                var row = waiting.context
                if !run(stage.body, stage, &row) { note(stage.body, row) }
                waiting.free()
            }
        }
        for listener in stage.listeners where !hasFailed {
            switch listener {
            case .group(let number): close(groups[number], timeline, before: watermark)
            case .analytic(let number):
                // Of many timelines each looking at all partitions would cost too much: ticks do it.
                if timeline <= 0 { analytics[number].forget(before: watermark, timeline: timeline) }
            case .join(let number, let isRight): advance(number, isRight: isRight, to: watermark)
            case .feed(let number):
                let feed = plan.feeds[number]
                let target = stages[feed.stage]
                let before = target.feederTimes.min() ?? Int64.min
                target.feederTimes[feed.feeder] = max(target.feederTimes[feed.feeder], watermark)
                let after = target.feederTimes.min() ?? Int64.min
                if after > before { advance(target, 0, to: after) }
            }
        }
    }

    private func close(_ group: GroupRuntime, _ timeline: Int32, before watermark: Int64) {
        while !hasFailed {
            // Of several windows the one that ends first comes first.
            var next: WindowOperator?
            var end = watermark
            for window in group.windows where window.earliest(timeline) < end {
                next = window
                end = window.earliest(timeline)
            }
            guard let next else { break }
            let failed = next.close(timeline) { closed in emit(closed, next, group) }
            if let failed {
                stop(QueryFailure(failed, nil))
            }
        }
        let output = stages[group.plan.outputStage]
        if !hasFailed, !output.listeners.isEmpty || output.sort != nil {
            advance(output, timeline, to: watermark)
        }
    }

    private func advance(_ number: Int, isRight: Bool, to watermark: Int64) {
        let join = joins[number]
        let output = stages[join.plan.outputStage]
        let before = join.watermark
        let failed = join.advance(isRight: isRight, to: watermark, output: output.frame) { context in
            pass(context, output)
            return nil
        }
        if let failed { stop(QueryFailure(failed, nil)) }
        if join.watermark > before, !hasFailed { advance(output, 0, to: join.watermark) }
    }

    /// The key as it names the row: of several windows of one kind in Windows() with the window's id, since theirs may
    /// begin and end together.
    private func identity(
        _ key: UnsafeRawBufferPointer, _ window: WindowOperator, _ group: GroupRuntime
    ) -> UnsafeRawBufferPointer {
        guard let id = window.id, group.windows.contains(where: { $0 !== window && $0.kind == window.kind })
        else { return key }
        self.key.removeAll()
        GroupKey.append(arena.text(id.utf8), to: &self.key)
        let name = arena.allocate(key.count + self.key.bytes.count)
        name.copyBytes(from: key)
        UnsafeMutableRawBufferPointer(rebasing: name[key.count...]).copyBytes(from: self.key.bytes)
        return UnsafeRawBufferPointer(name)
    }

    /// Runs a row of an operator, or lets it wait.
    func pass(_ row: RowContext, _ stage: StageRuntime) { accept(row, stage) }

    /// Puts a closed group into the output stage's frame and runs it.
    private func emit(_ closed: ClosedGroup, _ window: WindowOperator, _ group: GroupRuntime) -> RowFailure? {
        let mark = arena.mark
        defer { arena.release(to: mark) }
        let stage = stages[group.plan.outputStage]
        let frame = stage.frame
        GroupKey.forEach(in: closed.key, arena: arena) { index, value in
            if index < group.plan.keyResults.count { frame[group.plan.keyResults[index]] = value }
        }
        var row = RowContext(time: closed.end)
        row.timeline = closed.timeline
        row.kind = window.kind
        row.start = closed.start
        row.end = closed.end
        row.key = identity(closed.key, window, group)
        var isNoted = false
        for result in group.plan.results {
            frame[result.result] = group.state.result(result.function, result.measure, closed.block, context)
            if let failed = context.failure {
                context.failure = nil
                frame[result.result] = .null
                // Once, however many columns have none: it has one name.
                if !isNoted { note(failed, nil, row) }
                isNoted = true
                if hasFailed { return nil }
            }
        }
        if let slot = group.plan.windowIDResult {
            frame[slot] = window.id.map { arena.text($0.utf8) } ?? .null
        }
        pass(row, stage)
        if let drain, rows.count >= limits.rowsPerDrain { drain(rows) }
        return nil
    }
}
