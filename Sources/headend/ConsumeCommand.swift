import ArgumentParser
import Foundation
import UnixSignals

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Prints the records of a group as a member of it.
struct ConsumeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "consume", abstract: "Print records as a member of a consumer group, and commit them.",
        discussion: """
            The group is made when it is not there. Records are committed when they are printed; whatever a consumer \
            printed and did not commit, because it was killed in between, is printed again by the next: (device, \
            sequence) tells. Several consumers of one group share the devices.

            Example: headend consume --group billing --devices 'meter-*' --from earliest --json
            """)

    @OptionGroup var hub: GroupHubOptions
    @Option(help: "The group.") var group: String
    @Option(help: "Devices of the group, when it is made: a,b or a pattern with * and ?. (default: all)")
    var devices: String?
    @Option(
        help: """
            Where the group begins, when it is made: earliest, latest, an ISO 8601 time, or a sequence of the only \
            device. (default: earliest)
            """)
    var from: String?
    @Option(help: "The name of this member. (default: host name and process id)") var member: String?
    @Option(help: "End after so many records. (default: at Ctrl-C)") var count: Int?
    @Flag(help: "One JSON object a line.") var json = false
    @Flag(help: "Print only: the next consumer gets the same records.") var noCommit = false

    func validate() throws {
        if let count, count < 1 { throw ValidationError("--count must be at least 1") }
    }

    func run() async throws {
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        let client = try hub.client()
        let name = member ?? ProcessInfo.processInfo.hostName + "-" + String(getpid())
        try await join(client)
        let work = Task { try await consume(client, name) }
        let watch = Task {
            for await _ in signals {
                // What is printed is committed; only waiting ends.
                work.cancel()
                return
            }
        }
        let outcome = await work.result
        watch.cancel()
        // What is not committed goes to others at once. Without it their wait is as long as the lease.
        await Task { try? await client.leave(group, member: name) }.value
        try outcome.get()
    }

    /// Makes the group, or finds that it is the one that was asked for.
    private func join(_ client: GroupClient) async throws {
        guard let data = try await client.find(group) else {
            _ = try await client.create(group, devices: devices, from: from, mustNotMiss: false)
            return
        }
        let existing = try JSONDecoder().decode(GroupClient.Group.self, from: data)
        if let devices {
            _ = try await client.create(
                group, devices: devices, from: existing.from, mustNotMiss: existing.mustNotMiss == true)
        }
        if let from, from != existing.from {
            Console.note(
                "group \"\(group)\" exists and goes on where it stands; to move it: headend group seek \(group) "
                    + "--to \(from)")
        }
    }

    private func consume(_ client: GroupClient, _ name: String) async throws {
        var left = count ?? .max
        var session: String?
        while left > 0, !Task.isCancelled {
            let batch: GroupClient.Batch
            do {
                batch = try await client.fetch(
                    group, member: name, session: session, max: min(left, 500), waitSeconds: 30)
            } catch is CancellationError {
                return
            }
            guard let token = batch.commit else { continue }
            if noCommit { session = batch.session }
            let lines = batch.records.map { RecordLine.text($0, json: json) + "\n" }.joined()
            guard Console.write(lines) else {
                throw Failure(
                    status: .environment,
                    message: "standard output is closed; what was not printed is not committed")
            }
            left -= batch.records.count
            if noCommit { continue }
            // A Ctrl-C between printing and committing must not make the next consumer print it again.
            try await Task { try await client.commit(group, member: name, token: token) }.value
        }
    }
}
