import FileStoreKit
import Telemetry
import Testing

@testable import ConsumerGroups

@Suite("Consumer group")
struct ConsumerGroupTests {
    @Test("a member gets records in log order, and what follows once it has committed")
    func order() throws {
        let scene = GroupScene()
        scene.store(1, 2, 1, 3, 2)
        let first = try scene.fetch("a", 3)
        #expect(first.places == [0, 1, 2])
        #expect(try scene.commit("a", first.delivery) == 3)
        #expect(scene.group.cursor == QueueOffset(300))
        let second = try scene.fetch("a")
        #expect(second.places == [3, 4])
        try scene.commit("a", second.delivery)
        #expect(scene.group.cursor == QueueOffset(500))
        #expect(scene.group.snapshot(now: 0).recordsDone == 5)
        #expect(try scene.fetch("a").places == [])
    }

    @Test("a request with the session goes on, one without begins again with what is not committed")
    func session() throws {
        let scene = GroupScene()
        scene.store(1, 1, 1, 1)
        let first = try scene.fetch("a", 2)
        let next = try scene.fetch("a", 2, session: first.delivery.session)
        #expect(next.places == [2, 3])
        let again = try scene.fetch("a", 3)
        #expect(again.places == [0, 1, 2])
        #expect(again.delivery.records.map(\.deliveries) == [2, 2, 2])
        #expect(throws: GroupError.stale(member: "a")) { try scene.commit("a", first.delivery) }
        #expect(throws: GroupError.stale(member: "a")) {
            try scene.fetch("a", 1, session: first.delivery.session)
        }
        #expect(try scene.commit("a", again.delivery) == 3)
    }

    @Test("a device is with one member at a time, and free again when its records are committed")
    func sharing() throws {
        let scene = GroupScene()
        scene.store(1, 2, 1, 2, 3)
        let one = try scene.fetch("a", 1)
        #expect(one.places == [0])
        // Device 1 is with a; b gets the others.
        let two = try scene.fetch("b")
        #expect(two.places == [1, 3, 4])
        #expect(try scene.fetch("b", session: two.delivery.session).places == [])
        try scene.commit("a", one.delivery)
        #expect(try scene.fetch("b", session: two.delivery.session).places == [2])
        #expect(scene.group.cursor == QueueOffset(100))
    }

    @Test("what is committed behind a slower member is saved and never delivered again")
    func aheadOfTheCursor() throws {
        let scene = GroupScene()
        scene.store(1, 2, 2, 3, 2)
        _ = try scene.fetch("slow", 1)
        let fast = try scene.fetch("fast", 3)
        #expect(fast.places == [1, 2, 3])
        try scene.commit("fast", fast.delivery)
        let state = scene.group.state
        #expect(state.cursor == QueueOffset(0))
        #expect(state.recordsBefore == 0)
        #expect(
            state.ahead == [
                CommittedDevice(device: 2, sequence: 2), CommittedDevice(device: 3, sequence: 1),
            ])
        let next = scene.restarted(state, firstSession: 1_000)
        // Before anything is read the state is the same.
        #expect(next.group.state == state)
        #expect(try next.fetch("a").places == [0, 4])
    }

    @Test("what a member leaves, gives back or is silent over goes to the next that asks, in order")
    func redelivery() throws {
        let scene = GroupScene()
        scene.store(1, 1, 2)
        _ = try scene.fetch("a")
        let wasMember = scene.group.leave(member: "a")
        #expect(wasMember)
        #expect(try scene.fetch("b").places == [0, 1, 2])
        try scene.group.giveBack(member: "b")
        let c = try scene.fetch("c", 2)
        #expect(c.places == [0, 1])
        #expect(scene.group.snapshot(now: 0).members.map(\.name) == ["b", "c"])
        #expect(scene.group.nextDeadline == lease)
        // c's lease is over; its commit comes too late.
        let d = try scene.fetch("d", at: lease)
        #expect(d.places == [0, 1, 2])
        #expect(throws: GroupError.unknownMember(group: "billing", member: "c")) {
            try scene.commit("c", c.delivery, at: lease)
        }
        #expect(scene.group.snapshot(now: lease).members.map(\.name) == ["d"])
        #expect(scene.group.snapshot(now: lease).counters.expired == 2)
        #expect(scene.group.snapshot(now: lease).counters.redelivered == 8)
    }

    @Test("a commit moves the lease on, and so does a request that waits")
    func leases() throws {
        let scene = GroupScene()
        scene.store(1, 1)
        let first = try scene.fetch("a", 1)
        try scene.commit("a", first.delivery, at: 20 * second)
        #expect(scene.group.nextDeadline == 50 * second)
        scene.group.keep(member: "a", session: first.delivery.session, until: 90 * second)
        var isAnyOver = scene.group.expire(now: 89 * second)
        #expect(!isAnyOver)
        isAnyOver = scene.group.expire(now: 90 * second)
        #expect(isAnyOver)
        #expect(scene.group.nextDeadline == nil)
    }

    @Test("a commit may be repeated; one that is behind or ahead is an error and changes nothing")
    func commits() throws {
        let scene = GroupScene()
        scene.store(1, 1, 1)
        let first = try scene.fetch("a")
        #expect(try scene.commit("a", first.delivery, 2) == 2)
        #expect(try scene.commit("a", first.delivery, 2) == 0)
        #expect(throws: GroupError.behind(member: "a")) { try scene.commit("a", first.delivery, 1) }
        let token = first.delivery.records[2].token
        #expect(throws: GroupError.ahead(member: "a")) {
            try scene.group.commit(
                member: "a", upTo: CommitToken(session: token.session, ordinal: token.ordinal + 1),
                lease: lease,
                now: 0, nowTicks: 1)
        }
        #expect(throws: GroupError.stale(member: "a")) {
            try scene.group.commit(
                member: "a", upTo: CommitToken(session: token.session + 1, ordinal: 1), lease: lease, now: 0,
                nowTicks: 1)
        }
        #expect(throws: GroupError.unknownMember(group: "billing", member: "b")) {
            try scene.commit("b", first.delivery)
        }
        #expect(scene.group.cursor == QueueOffset(200))
    }

    @Test("single acknowledgements may come in any order; the cursor waits for the oldest")
    func acknowledgements() throws {
        let scene = GroupScene()
        scene.store(1, 1, 2)
        let tokens = try scene.fetch("a").delivery.records.map(\.token)
        try scene.group.acknowledge(member: "a", tokens[1], nowTicks: 1)
        try scene.group.acknowledge(member: "a", tokens[2], nowTicks: 1)
        try scene.group.acknowledge(member: "a", tokens[2], nowTicks: 1)
        #expect(scene.group.cursor == QueueOffset(0))
        // Sequence 2 of device 1 is done and 1 is not: only device 2 is whole.
        #expect(scene.group.state.ahead == [CommittedDevice(device: 2, sequence: 1)])
        try scene.group.acknowledge(member: "a", tokens[0], nowTicks: 1)
        #expect(scene.group.cursor == QueueOffset(300))
        #expect(scene.group.state.ahead == [])
        #expect(scene.group.snapshot(now: 0).members[0].inFlight == 0)
    }

    @Test("limits: members, records and bytes in flight, and a record that is larger than all")
    func limits() throws {
        var limits = GroupLimits()
        limits.members = 2
        limits.memberRecords = 3
        limits.memberBytes = 250
        limits.windowRecords = 4
        let scene = GroupScene(limits: limits)
        scene.store(1, 1, 1, 1, 1, 1)
        let first = try scene.fetch("a", 10)
        #expect(first.places == [0, 1], "250 bytes hold two records")
        #expect(scene.log.count == 6)
        #expect(scene.group.readOffset == QueueOffset(400), "the window is full")
        // A small answer still brings one record, whatever its size; but no more than 250 bytes are under way.
        #expect(try scene.fetch("a", 10, session: first.delivery.session).places == [2])
        #expect(throws: GroupError.memberFull(member: "a", records: 3, bytes: 300)) {
            try scene.fetch("a", 1, session: first.delivery.session)
        }
        #expect(try scene.fetch("a", 10, bytes: 1).places == [0])
        #expect(try scene.fetch("b").places == [])
        #expect(throws: GroupError.self) { try scene.fetch("c") }
        #expect(throws: GroupError.self) { try scene.fetch("") }
        #expect(throws: GroupError.self) { try scene.fetch("a\nb") }
    }

    @Test("a seek voids what is delivered and goes on elsewhere")
    func seek() throws {
        let scene = GroupScene()
        scene.store(1, 2, 1, 2)
        let first = try scene.fetch("a")
        try scene.commit("a", first.delivery, 3)
        scene.group.seek(to: QueueOffset(100), recordsBefore: 1)
        #expect(throws: GroupError.stale(member: "a")) { try scene.commit("a", first.delivery) }
        #expect(try scene.fetch("a").places == [1, 2, 3])
        #expect(scene.group.snapshot(now: 0).recordsDone == 1)
    }

    @Test("what retention removed is counted, in the window and before it was read")
    func overtaken() throws {
        let scene = GroupScene()
        scene.store(1, 2, 1, 2, 3)
        let first = try scene.fetch("a", 3)
        try scene.commit("a", first.delivery, 1)
        // Records 1 and 2 are with a, 3 and 4 wait; now everything before 4 is removed.
        scene.group.overtaken(first: QueueOffset(400), recordsBefore: 4)
        #expect(scene.group.snapshot(now: 0).missed == 3)
        #expect(scene.group.cursor == QueueOffset(400))
        #expect(scene.group.snapshot(now: 0).members[0].inFlight == 0)
        #expect(try scene.commit("a", first.delivery) == 0)
        let next = try scene.fetch("a")
        #expect(next.places == [4])
        try scene.commit("a", next.delivery)
        // Nothing of the next was read yet.
        scene.group.overtaken(first: QueueOffset(900), recordsBefore: 9)
        #expect(scene.group.snapshot(now: 0).missed == 7)
        #expect(scene.group.snapshot(now: 0).recordsDone == 9)
        #expect(scene.group.readOffset == QueueOffset(900))
        scene.group.overtaken(first: QueueOffset(800), recordsBefore: 8)
        #expect(scene.group.snapshot(now: 0).missed == 7)
    }

    @Test("commit tokens are read as they are written, and nothing else is")
    func tokens() {
        let token = CommitToken(session: 123_456_789, ordinal: 17)
        #expect(CommitToken(text: token.description) == token)
        for text in ["", "-", "1", "1-", "-1", "1-2-3", "1 -2", "é-1", "1--2"] {
            #expect(CommitToken(text: text) == nil, "\(text)")
        }
    }

    @Test(
        "patterns match whole names",
        arguments: [
            ("*", "", true), ("*", "a", true), ("a*", "abc", true), ("a*", "ba", false),
            ("*c", "abc", true), ("a?c", "abc", true), ("a?c", "ac", false), ("?", "é", true),
            ("pump-*-x", "pump-1-2-x", true), ("pump-*-x", "pump-x", false), ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false), ("", "", true), ("", "a", false), ("**", "abc", true),
        ])
    func patterns(_ pattern: String, _ name: String, _ matches: Bool) {
        #expect(DeviceFilter.pattern(pattern).matches(name) == matches)
    }

    @Test("definitions are checked, with the field named")
    func validation() throws {
        let limits = GroupLimits()
        try definition().validate(limits)
        try definition("a.b-C_9", devices: .names(["x"]), start: .sequence(3)).validate(limits)
        func field(_ definition: GroupDefinition) -> String? {
            do {
                try definition.validate(limits)
                return nil
            } catch {
                guard case GroupError.invalid(let field, _) = error else { return "?" }
                return field
            }
        }
        for name in ["", ".a", "a/b", "ä", "a b", String(repeating: "x", count: 65)] {
            #expect(field(definition(name)) == "group", "\(name)")
        }
        #expect(field(definition(devices: .names([]))) == "devices")
        #expect(field(definition(devices: .names([""]))) == "devices")
        #expect(field(definition(devices: .pattern(String(repeating: "*", count: 200)))) == "devices")
        #expect(field(definition(devices: .names(Array(repeating: "x", count: 1_001)))) == "devices")
        #expect(field(definition(start: .sequence(1))) == "from")
        #expect(GroupStart(text: "0") == nil)
        #expect(GroupStart(text: "soon") == nil)
        #expect(GroupStart(text: "12") == .sequence(12))
        #expect(GroupStart(text: "2026-01-01T00:00:00Z")?.description == "2026-01-01T00:00:00Z")
        #expect(DeviceFilter(text: "*") == .all)
        #expect(DeviceFilter(text: "a*") == .pattern("a*"))
        #expect(DeviceFilter(text: "a") == .names(["a"]))
    }
}
