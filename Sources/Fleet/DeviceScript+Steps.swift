import Telemetry

// What happens next, and what it changes. At equal times the order of the cases of `Step.Kind` holds.
extension DeviceScript {
    struct Step {
        enum Kind {
            case duplicate
            case linkChange
            case drain
            case goOffline
            case release
            case reading
        }
        var kind: Kind
        var time: Int64
    }

    /// The earliest step; there is always one until the script is finished.
    func nextStep() -> Step? {
        var best = Step(kind: .reading, time: nextReadingAt)
        // From the last kind to the first, so that the first wins at equal times.
        if let first = held.first, first.due <= best.time { best = Step(kind: .release, time: first.due) }
        if let nextOfflineAt, nextOfflineAt <= best.time {
            best = Step(kind: .goOffline, time: nextOfflineAt)
        }
        switch link {
        case .open: break
        case .stalled(let until), .offline(let until):
            if until <= best.time { best = Step(kind: .linkChange, time: until) }
        case .draining(let began, let sent):
            let time = drainTime(began: began, sent: sent)
            if time <= best.time { best = Step(kind: .drain, time: time) }
        case .finished: return nil
        }
        if let first = duplicates.first, first.due <= best.time {
            best = Step(kind: .duplicate, time: first.due)
        }
        return best
    }

    mutating func perform(_ step: Step) {
        lastStepAt = step.time
        switch step.kind {
        case .duplicate:
            let duplicate = duplicates.removeFirst()
            emit(.publish(duplicate.publication), at: step.time)
        case .linkChange: changeLink(at: step.time)
        case .drain: drain(at: step.time)
        case .goOffline: goOffline(at: step.time)
        case .release: release(at: step.time)
        case .reading: makeReading(at: step.time)
        }
    }

    // MARK: the link

    private mutating func goOffline(at time: Int64) {
        guard let offline = type.connection.offline else {
            nextOfflineAt = nil
            return
        }
        link = .offline(until: time + max(1, linkStream.whole(in: offline.durationMilliseconds)))
        nextOfflineAt = nil
        backlog.updateEach { $0.faults.insert(.offline) }
        emit(.goOffline, at: time)
    }

    private mutating func changeLink(at time: Int64) {
        if case .offline = link {
            emit(.comeOnline, at: time)
            if let offline = type.connection.offline {
                let wait = linkStream.exponential(mean: Double(offline.meanTimeBetweenMilliseconds))
                nextOfflineAt = time + max(1_000, Int64(wait))
                if offline.ratePerSecond != nil, !backlog.isEmpty {
                    link = .draining(began: time, sent: 0)
                    return
                }
            }
            link = .open
            let newestFirst = type.connection.offline?.order == .newestFirst
            while let reading = newestFirst ? backlog.popLast() : backlog.popFirst() {
                send(reading, at: time)
            }
            return
        }
        link = .open
        while let reading = backlog.popFirst() { send(reading, at: time) }
    }

    private func drainTime(began: Int64, sent: Int64) -> Int64 {
        guard let rate = type.connection.offline?.ratePerSecond else { return began }
        return began + Int64((Double(sent) * 1_000 / rate).rounded(.up))
    }

    private mutating func drain(at time: Int64) {
        guard case .draining(let began, let sent) = link else { return }
        let newestFirst = type.connection.offline?.order == .newestFirst
        if let reading = newestFirst ? backlog.popLast() : backlog.popFirst() { send(reading, at: time) }
        link = backlog.isEmpty ? .open : .draining(began: began, sent: sent + 1)
    }

    // MARK: readings

    private mutating func makeReading(at time: Int64) {
        nextReadingAt = time + max(1, schedule.whole(in: type.everyMilliseconds))
        var values: [Column] = []
        var trueValues: [Column] = []
        for index in sensors.indices {
            guard let sample = sensors[index].sample(atMilliseconds: time) else { continue }
            values.append(Column(sensors[index].model.name, sample.published))
            trueValues.append(Column(sensors[index].model.name, sample.truth))
        }
        // Nothing to report is no reading, and takes no number.
        if values.isEmpty { return }
        sequence += 1
        var reading = Reading(
            sequence: sequence, time: time, messageID: "\(identity.id):\(boot):\(sequence)", values: values,
            trueValues: trueValues)
        let drawn = FaultDraw(from: type.faults, limits: limits, random: &faultStream)
        if drawn.isLost {
            reading.faults = .lose
            omit(reading, at: time)
        } else if drawn.isMalformed {
            reading.faults = .malformed
            reading.corrupt(drawn.corruption)
            deliver(reading, at: time)
        } else {
            place(&reading, drawn, at: time)
        }
    }

    private mutating func place(_ reading: inout Reading, _ drawn: FaultDraw, at time: Int64) {
        if let after = drawn.duplicateAfter {
            reading.faults.insert(.duplicate)
            reading.duplicateAfter = after
        }
        if let by = drawn.outOfOrderBy, held.count + overdue.count < limits.heldMax {
            reading.faults.insert(.outOfOrder)
            let due = time + by
            let index = held.firstIndex { $0.due > due } ?? held.endIndex
            held.insert((due, reading), at: index)
        } else if let by = drawn.delayBy, link == .open {
            reading.faults.insert(.delay)
            link = .stalled(until: time + by)
            backlog.append(reading)
        } else {
            deliver(reading, at: time)
        }
    }

    /// An out-of-order reading's time is over: it goes out, unless it still has nothing to come after.
    private mutating func release(at time: Int64) {
        let reading = held.removeFirst().reading
        if highestSent > reading.sequence {
            deliver(reading, at: time)
        } else {
            overdue.append(reading)
        }
    }

    /// Hands a reading to the link for its first sending.
    private mutating func deliver(_ reading: Reading, at time: Int64) {
        switch link {
        case .open, .finished:
            send(reading, at: time)
            return
        case .draining where type.connection.offline?.order == .newestFirst:
            send(reading, at: time)
            return
        case .stalled, .draining:
            backlog.append(reading)
        case .offline:
            var kept = reading
            kept.faults.insert(.offline)
            backlog.append(kept)
        }
        if backlog.count > type.connection.offline?.keep ?? limits.backlogMax {
            if let dropped = backlog.popFirst() { omit(dropped, at: time) }
        }
    }

    mutating func send(_ reading: Reading, at time: Int64) {
        highestSent = max(highestSent, reading.sequence)
        var sent = [EventTime(milliseconds: time)]
        var publication = Publication(
            topic: topic(reading), payload: reading.payload, messageID: reading.messageID,
            qos: type.connection.qos, attempt: 1, entry: nil)
        if let after = reading.duplicateAfter {
            let due = max(time, min(time + after, nextOfflineAt ?? .max))
            sent.append(EventTime(milliseconds: due))
            var again = publication
            again.attempt = 2
            let index = duplicates.firstIndex { $0.due > due } ?? duplicates.endIndex
            duplicates.insert((due, again), at: index)
        }
        publication.entry = reading.entry(
            device: identity.id, sent: sent,
            expectation: reading.faults.contains(.malformed) ? .quarantine : .once)
        emit(.publish(publication), at: time)
        while let index = overdue.firstIndex(where: { $0.sequence < highestSent }) {
            send(overdue.remove(at: index), at: time)
        }
    }

    private mutating func omit(_ reading: Reading, at time: Int64) {
        emit(.omit(reading.entry(device: identity.id, sent: [], expectation: .never)), at: time)
    }

    /// MQTT 3.1.1 has no user properties: the id goes into the property bag, where the topic has one.
    private func topic(_ reading: Reading) -> String {
        guard type.connection.version == .v311, identity.topic.hasSuffix("/messages/events/") else {
            return identity.topic
        }
        return identity.topic + "%24.mid=" + PercentEncoding.encode(reading.messageID)
    }
}
