import ConsumerGroups
import DeviceQueue
import MQTTBroker
import MQTTWire
import Platform
import Telemetry

/// An MQTT client that becomes a member of a group.
struct GroupJoin: Sendable {
    var group: String
    /// nil: whatever the group's devices are, and all when it is made.
    var device: String?
    /// Where a group that is made begins; nil is `latest`, as for any subscription.
    var from: String?
    var member: String
    /// Records it may have unacknowledged.
    var window: Int
    /// Takes records on their way; called on the groups' thread, any time until the member left.
    var deliver: @Sendable ([Message]) -> Void
    /// What was delivered and not sent yet is void: the group gives it out again.
    var void: @Sendable () -> Void

    /// Keeps clients and HTTP consumers apart.
    static let memberPrefix = "mqtt:"
}

extension GroupService {
    /// Makes an MQTT client a member, and the group when there is none.
    ///
    /// - Returns: the member's session.
    func join(_ join: GroupJoin) async -> Result<UInt64, GroupError> {
        do {
            let name = join.group
            try GroupDefinition.validate(name: name, limits)
            let existing: GroupDefinition? = try await perform { worker in
                worker.exists(name) ? try worker.group(name).definition : nil
            }
            if existing == nil {
                _ = try await create(try definition(join))
            } else if let device = join.device, existing?.devices != .names([device]) {
                throw GroupError.differs(
                    group: name, field: "subscription",
                    explanation:
                        "is over \(existing?.devices.description ?? ""): subscribe $share/\(name)/$queue/#")
            }
            let session = try await perform { worker in try worker.group(name).join(join) }
            return .success(session)
        } catch let error as GroupError {
            return .failure(error)
        } catch {
            return .failure(.failed(group: join.group, cause: String(describing: error)))
        }
    }

    private func definition(_ join: GroupJoin) throws -> GroupDefinition {
        let text = join.from ?? "latest"
        guard let start = GroupStart(text: text) else {
            throw GroupError.invalid(
                field: "from",
                explanation: "\"\(text)\" is none of: earliest, latest, an ISO 8601 time, a sequence from 1")
        }
        let definition = GroupDefinition(
            name: join.group, devices: join.device.map { .names([$0]) } ?? .all, start: start,
            mustNotMiss: false, createdTicks: wallTicks(), logID: queue.identity)
        try definition.validate(limits)
        return definition
    }

    /// Commits records of MQTT clients. One that the member no longer has is passed over: it was given to another.
    func acknowledge(_ acknowledgements: [(member: String, ticket: QueueTicket)]) {
        submit { worker in
            for (member, ticket) in acknowledgements {
                let token = CommitToken(session: ticket.session, ordinal: ticket.ordinal)
                try? worker.group(ticket.group).acknowledge(
                    member: member, token, nowTicks: worker.clock.wallTicks())
            }
        }
    }

    /// An MQTT client goes; nothing happens when the member has begun again since.
    func leave(_ group: String, member: String, session: UInt64) {
        submit { worker in (try? worker.group(group))?.leave(member: member, session: session) }
    }
}

extension TelemetryRecord {
    /// The record as an MQTT client gets it: its own topic behind `$queue/`, its payload and properties, and the user
    /// properties `device`, `sequence` and `delivery`.
    func message(_ delivered: DeliveredRecord, group: String) -> Message {
        var properties = Properties()
        if !self.properties.isEmpty {
            // Validated when it came in.
            properties =
                self.properties.withUnsafeBytes { try? parsePublishProperties($0) } ?? Properties()
            properties.topicAlias = nil
            // What is in a queue stays until it is read.
            properties.messageExpiryInterval = nil
        }
        properties.userProperties += [
            UserProperty("device", device.text), UserProperty("sequence", String(sequence)),
            UserProperty("delivery", String(delivered.deliveries)),
        ]
        let isLong = topic.utf8.count + QueueFilter.prefix.utf8.count > 65_535
        return Message(
            topic: QueueFilter.prefix + (isLong ? "devices/\(device.text)/telemetry" : topic),
            payload: payload, qos: .atLeastOnce, retain: false, properties: properties,
            ticket: QueueTicket(
                group: group, session: delivered.token.session, ordinal: delivered.token.ordinal))
    }
}
