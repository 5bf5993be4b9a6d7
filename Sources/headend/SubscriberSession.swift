import Foundation
import MosquittoClient

/// One subscription over libmosquitto, with callbacks on its loop's thread.
final class SubscriberSession: Sendable {
    private let loop: MosquittoLoop

    /// - Parameters:
    ///   - authorityFile: whom to trust over `mqtts`; nil for the system's.
    ///   - certificate: what is shown to the broker; nil for none.
    ///   - onFailure: the broker refused, or the first connection failed.
    init(
        url: MosquittoURL, filter: String, authorityFile: String?,
        certificate: (file: String, keyFile: String)?,
        onMessage:
            @escaping @Sendable (_ topic: String, _ payload: [UInt8], _ qos: Int, _ retain: Bool) -> Void,
        onFailure: @escaping @Sendable (Failure) -> Void
    ) throws {
        let loop = try MosquittoLoop(name: "headend-sub")
        self.loop = loop
        let isAccepted = loop.perform {
            do throws(MosquittoError) {
                let client = try Self.client(loop, url, authorityFile, certificate)
                try Self.start(client, url, filter, onMessage, onFailure)
            } catch {
                onFailure(Failure(status: .environment, message: error.description))
            }
        }
        precondition(isAccepted, "a new loop takes its first command")
    }

    private static func client(
        _ loop: MosquittoLoop, _ url: MosquittoURL, _ authorityFile: String?,
        _ certificate: (file: String, keyFile: String)?
    ) throws(MosquittoError) -> MosquittoClient {
        let client = try MosquittoClient(
            loop: loop, identifier: "headend-subscribe-\(ProcessInfo.processInfo.processIdentifier)",
            receiveMaximum: 1_000)
        if let user = url.user { try client.setCredentials(user: user, password: url.password) }
        guard url.isSecure else { return client }
        if let certificate {
            try client.useMutualTLS(
                authorityFile: authorityFile, certificateFile: certificate.file, keyFile: certificate.keyFile)
        } else {
            try client.useTLS(authorityFile: authorityFile)
        }
        return client
    }

    private static func start(
        _ client: MosquittoClient, _ url: MosquittoURL, _ filter: String,
        _ onMessage: @escaping @Sendable (String, [UInt8], Int, Bool) -> Void,
        _ onFailure: @escaping @Sendable (Failure) -> Void
    ) throws(MosquittoError) {
        client.reconnects = true
        var hasConnected = false
        // The client is kept alive by its own callbacks until the loop stops.
        client.onConnect = { reason, _ in
            guard reason == 0 else {
                onFailure(
                    Failure(
                        status: .environment, message: "\(url): the broker refused the connection (\(reason))"
                    ))
                return
            }
            hasConnected = true
            do {
                try client.subscribe(filter, qos: 1)
            } catch {
                onFailure(.input(String(describing: error)))
            }
        }
        client.onSubscribed = { _, granted in
            if granted.contains(where: { $0 >= 128 }) {
                onFailure(.input("the broker refused the topic filter \"\(filter)\""))
            }
        }
        client.onDisconnect = { error in
            if !hasConnected {
                onFailure(
                    Failure(
                        status: .environment,
                        message: "no broker answers at \(url)" + (error.map { ": \($0.message)" } ?? "")))
            }
        }
        client.onMessage = { message in
            onMessage(message.topic, message.payload, Int(message.qos), message.isRetained)
        }
        try client.connect(host: url.host, port: url.port)
    }

    func stop() { loop.stop() }
}
