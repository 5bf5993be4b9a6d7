import Access
import DeviceQueue
import FileStoreKit
import MQTTBroker
import Platform
import Testing

@testable import Hub

/// Users and rules that change while a password is being checked.
@Suite("Logins while users change", .timeLimit(.minutes(1)))
struct LoginRaceTests {
    /// A hub's loop in memory whose turns the test takes, with the passwords checked by the real thread.
    private final class World {
        final class Turns: LoopExecutor {
            let bodies = Monitor<[@Sendable () -> Void]>([])

            func execute(_ body: @escaping @Sendable () -> Void) { bodies.update { $0.append(body) } }
            func endTurnSoon() {}
        }

        final class Peer: ConnectionTransport {
            var received: [UInt8] = []
            var isEnded = false

            func send(_ bytes: UnsafeRawBufferPointer) -> Int {
                received += Array(bytes)
                return bytes.count
            }
            func close() { isEnded = true }
            func abort() { isEnded = true }
            func resumeReading() {}
        }

        let turns = Turns()
        let loop: BrokerLoop

        init(_ settings: AccessSettings) throws {
            let queue = try DeviceQueue.open(
                directory: "/data/queue/0", files: MemoryFileStore(), limits: HubLife.queueLimits,
                nowTicks: 1, seed: 7)
            loop = BrokerLoop(
                executor: turns, queue: queue, storage: HubLife.Storage(), clock: HubLife.Clock(),
                limits: HubLimits(), counters: HubCounters(startNonce: 1), seed: 1)
            loop.use(
                AccessControl(
                    settings, listeners: [ListenerAccess(isLoopback: true)], ingest: IngestPreset.standard,
                    secret: [1, 2, 3]))
        }

        deinit { loop.logins.stop() }

        /// Sends a CONNECT of 3.1.1 and what comes with it.
        func connect(_ user: String, _ password: String, then rest: [UInt8] = []) throws -> Peer {
            let connection = try #require(loop.addConnection(now: 1))
            let peer = Peer()
            connection.transport = peer
            func field(_ text: String) -> [UInt8] { [0, UInt8(text.utf8.count)] + Array(text.utf8) }
            let body = field("MQTT") + [4, 0xC2, 0, 0] + field(user) + field(user) + field(password)
            let bytes = [0x10, UInt8(body.count)] + body + rest
            _ = bytes.withUnsafeBytes { connection.receive($0, now: 1) }
            loop.endTurn()
            return peer
        }

        /// Waits until so many passwords are checked.
        func awaitChecks(_ count: Int) {
            let found = turns.bodies.wait(
                timeoutNanoseconds: 10_000_000_000, until: { $0.count >= count }
            ) { $0.count }
            #expect(found >= count, "passwords that are checked")
        }

        /// Goes on with those that are.
        func run() {
            let due = turns.bodies.update { bodies in
                defer { bodies = [] }
                return bodies
            }
            for body in due { body() }
            loop.endTurn()
        }

        func finishCheck() {
            awaitChecks(1)
            run()
        }
    }

    private static func users(_ passwords: [(String, String)]) throws -> AccessSettings {
        var text = ""
        for (name, password) in passwords {
            let hash = try PasswordHash(
                password: Array(password.utf8), salt: [UInt8](repeating: 7, count: 16), cost: 10)
            text += "\(name):\(hash)\n"
        }
        var settings = AccessSettings()
        settings.users = try UserTable(text)
        return settings
    }

    private static let welcome: [UInt8] = [0x20, 2, 0, 0]
    private static let refusal: [UInt8] = [0x20, 2, 0, 4]

    @Test("a user who is removed while the password is checked does not get in, then or later")
    func removed() throws {
        let world = try World(try Self.users([("eve", "right"), ("bob", "b")]))
        let peer = try world.connect("eve", "right")
        world.loop.replaceAccess(try Self.users([("bob", "b")]))
        world.finishCheck()
        #expect(peer.received == [], "the check was of a user who is no more: it is made anew")
        world.finishCheck()
        #expect(peer.received == Self.refusal && peer.isEnded)
        let second = try world.connect("eve", "right")
        #expect(second.received == Self.refusal, "known to be wrong")
    }

    @Test("a password that is replaced while it is checked is no good any more, and the new one is")
    func changed() throws {
        let world = try World(try Self.users([("eve", "old")]))
        let old = try world.connect("eve", "old")
        let new = try world.connect("eve", "new")
        world.awaitChecks(2)
        world.loop.replaceAccess(try Self.users([("eve", "new")]))
        world.run()
        #expect(old.received == [] && new.received == [])
        world.awaitChecks(2)
        world.run()
        #expect(old.received == Self.refusal)
        #expect(new.received == Self.welcome, "what was wrong before is not remembered either")
        #expect(try world.connect("eve", "old").received == Self.refusal)
        #expect(try world.connect("eve", "new").received == Self.welcome)
    }

    @Test("whom a change does not concern gets in all the same, and what he sent meanwhile is taken")
    func untouched() throws {
        let world = try World(try Self.users([("bob", "b"), ("eve", "e")]))
        let peer = try world.connect("bob", "b", then: [0xC0, 0])
        for names in [["bob"], ["bob", "eve"]] {
            world.loop.replaceAccess(try Self.users(names.map { ($0, String($0.prefix(1))) }))
            world.finishCheck()
            #expect(peer.received == [], "checked anew")
        }
        world.finishCheck()
        #expect(peer.received == Self.welcome + [0xD0, 0])
        #expect(try world.connect("bob", "b").received == Self.welcome, "remembered: no second check")
    }

    @Test("where users are given up while a password is checked, it is not asked for any more")
    func opened() throws {
        let world = try World(try Self.users([("eve", "e")]))
        let peer = try world.connect("eve", "wrong")
        world.loop.replaceAccess(AccessSettings())
        world.finishCheck()
        #expect(peer.received == Self.welcome)
    }
}
