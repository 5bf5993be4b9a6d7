import ArgumentParser
import Foundation
import MosquittoClient
import Telemetry
import UnixSignals

/// Prints what is published.
struct SubscribeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "subscribe", abstract: "Print messages as `topic payload` lines.",
        discussion: "Example: headend subscribe 'headend/minute/#' --hub mqtt://127.0.0.1:1883")

    @Argument(help: "Topic filter, with + and #.")
    var filter: String

    @Option(help: "The broker: mqtt[s]://[user:pass@]host[:port].")
    var hub = BrokerArgument.local

    @OptionGroup(title: "Over mqtts") var tls: TLSClientOptions

    @Flag(help: #"One JSON object a line: {"topic","payload","qos","retain"}."#)
    var json = false

    @Option(help: "End after so many messages.")
    var count: Int?

    func validate() throws {
        if let count, count < 1 { throw ValidationError("--count must be at least 1") }
    }

    func run() async throws {
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        let (ended, announce) = AsyncStream.makeStream(of: Failure?.self)
        let printer = MessagePrinter(isJSON: json, limit: count) { announce.yield(nil) }
        try tls.check(hub)
        let session = try SubscriberSession(
            url: hub.url, filter: filter, authorityFile: tls.ca, certificate: try tls.certificate()
        ) { topic, payload, qos, retain in
            printer.print(topic, payload, qos, retain)
        } onFailure: {
            announce.yield($0)
        }
        let outcome = await withTaskGroup(of: Failure?.self) { group in
            group.addTask {
                for await _ in signals { break }
                return nil
            }
            group.addTask {
                for await failure in ended { return failure }
                return nil
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            announce.finish()
            return first
        }
        session.stop()
        if let outcome { throw outcome }
    }
}

extension BrokerArgument {
    /// The hub on this machine. The default text is a valid address.
    static var local: BrokerArgument {
        guard let local = BrokerArgument(argument: "mqtt://127.0.0.1:1883") else {
            preconditionFailure("the default address is well-formed")
        }
        return local
    }
}

/// Confined to the MQTT loop's thread; `@unchecked Sendable` for that reason.
private final class MessagePrinter: @unchecked Sendable {
    private let isJSON: Bool
    private var left: Int?
    private let onEnd: @Sendable () -> Void

    init(isJSON: Bool, limit: Int?, onEnd: @escaping @Sendable () -> Void) {
        self.isJSON = isJSON
        left = limit
        self.onEnd = onEnd
    }

    func print(_ topic: String, _ payload: [UInt8], _ qos: Int, _ retain: Bool) {
        if left == 0 { return }
        if isJSON {
            var bytes: [UInt8] = []
            Column.appendJSON(
                [
                    Column("topic", .text(topic)),
                    Column("payload", .text(String(decoding: payload, as: UTF8.self))),
                    Column("qos", .bigint(Int64(qos))), Column("retain", .boolean(retain)),
                ], to: &bytes)
            Console.line(String(decoding: bytes, as: UTF8.self))
        } else {
            Console.line(topic + " " + String(decoding: payload, as: UTF8.self))
        }
        if let count = left {
            left = count - 1
            if count == 1 { onEnd() }
        }
    }
}
