import MosquittoClient
import Platform

/// Tries what a bridge would do, with a client of its own beside the bridge's and without a trace: connects, asks for
/// the subscriptions, and leaves.
package struct UpstreamProbe: Sendable {
    /// What was tried, and how it ended.
    package struct Step: Sendable, Equatable {
        package var isGood: Bool
        package var text: String
    }

    private struct State {
        var steps: [Step] = []
        var isOver = false
    }

    /// Longer than a client waits for an answer.
    private static let timeoutNanoseconds: UInt64 = 15_000_000_000

    /// Tries a broker; blocks for at most 15 seconds.
    ///
    /// - Returns: one step for the connection and one for each subscription; the last that is not good ends it.
    package static func run(_ settings: UpstreamSettings) throws -> [Step] {
        let loop = try MosquittoLoop(name: "probe")
        defer { loop.stop() }
        let state = Monitor(State())
        let probe = Probe(settings, state, loop)
        loop.perform { probe.start() }
        state.wait(timeoutNanoseconds: timeoutNanoseconds, until: { $0.isOver }, then: { _ in })
        loop.perform { probe.end() }
        return state.withLock { state in
            state.isOver
                ? state.steps
                : state.steps + [Step(isGood: false, text: "no answer of \(settings.url) within 15 s")]
        }
    }

    /// `@unchecked Sendable`: confined to the loop's thread; `state` has its lock.
    private final class Probe: @unchecked Sendable {
        private let settings: UpstreamSettings
        private let state: Monitor<State>
        private let loop: MosquittoLoop
        private var client: MosquittoClient?
        private var pending: [Int32: (filter: String, qos: UInt8)] = [:]
        private var refusal: String?

        init(_ settings: UpstreamSettings, _ state: Monitor<State>, _ loop: MosquittoLoop) {
            self.settings = settings
            self.state = state
            self.loop = loop
        }

        func start() {
            do {
                let client = try MosquittoClient(
                    loop: loop, identifier: settings.identifier(hub: "test") + "-test",
                    version: settings.version)
                self.client = client
                if let user = settings.url.user {
                    try client.setCredentials(user: user, password: try settings.password())
                }
                if let certificate = settings.certificateFile, let key = settings.keyFile {
                    try client.useMutualTLS(
                        authorityFile: settings.authorityFile, certificateFile: certificate, keyFile: key)
                } else if settings.url.isSecure {
                    try client.useTLS(authorityFile: settings.authorityFile)
                }
                client.onConnect = { [weak self] reason, _ in self?.connected(reason) }
                client.onDisconnect = { [weak self] error in self?.disconnected(error) }
                client.onSubscribed = { [weak self] identifier, granted in
                    self?.subscribed(identifier, granted)
                }
                try client.connect(
                    host: settings.url.host, port: settings.url.port,
                    keepAliveSeconds: settings.keepAliveSeconds)
            } catch {
                over(Step(isGood: false, text: "\(error)"))
            }
        }

        func end() {
            client?.onDisconnect = nil
            client?.disconnect()
            client = nil
        }

        private func connected(_ reason: Int32) {
            guard reason == 0, let client else {
                refusal = UpstreamAdvice.refusal(reason, settings)
                return
            }
            let version = settings.version == .v5 ? "MQTT 5" : "MQTT 3.1.1"
            add(Step(isGood: true, text: "connected to \(settings.url) (\(version))"))
            do throws(MosquittoError) {
                for subscription in settings.remoteSubscriptions {
                    let identifier = try client.subscribe(subscription.filter, qos: subscription.qos)
                    pending[identifier] = subscription
                }
            } catch {
                return over(Step(isGood: false, text: error.description))
            }
            if pending.isEmpty { over(nil) }
        }

        private func subscribed(_ identifier: Int32, _ granted: [Int32]) {
            guard let subscription = pending.removeValue(forKey: identifier) else { return }
            let code = granted.first ?? 128
            let lower = code < Int32(subscription.qos) ? ", asked for \(subscription.qos)" : ""
            add(
                Step(
                    isGood: code < 128,
                    text: code < 128
                        ? "may subscribe to \"\(subscription.filter)\" (QoS \(code)\(lower))"
                        : UpstreamAdvice.subscription(subscription.filter, code)))
            if pending.isEmpty { over(nil) }
        }

        private func disconnected(_ error: MosquittoError?) {
            let text = refusal ?? error.map { UpstreamAdvice.failure($0, settings) } ?? "the connection ended"
            over(Step(isGood: false, text: text))
        }

        private func add(_ step: Step) { state.withLock { $0.steps.append(step) } }

        private func over(_ step: Step?) {
            state.update { state in
                guard !state.isOver else { return }
                if let step { state.steps.append(step) }
                state.isOver = true
            }
        }
    }
}
