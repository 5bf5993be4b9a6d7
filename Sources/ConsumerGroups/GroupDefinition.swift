package import Telemetry

/// Where a group begins to read.
package enum GroupStart: Sendable, Equatable, CustomStringConvertible {
    /// The first record that the log still has.
    case earliest
    /// Behind the last record of now.
    case latest
    /// The first record that arrived at this moment or later.
    case time(EventTime)
    /// A record of the group's only device.
    case sequence(UInt64)

    /// - Returns: nil when the text is none of `earliest`, `latest`, an ISO 8601 time, a sequence from 1.
    package init?(text: String) {
        switch text {
        case "earliest": self = .earliest
        case "latest": self = .latest
        default:
            if let sequence = UInt64(text) {
                guard sequence > 0 else { return nil }
                self = .sequence(sequence)
            } else if let time = EventTime.parse(text) {
                self = .time(time)
            } else {
                return nil
            }
        }
    }

    package var description: String {
        switch self {
        case .earliest: "earliest"
        case .latest: "latest"
        case .time(let time): time.description
        case .sequence(let sequence): String(sequence)
        }
    }
}

/// What a group is; it does not change while the group exists.
package struct GroupDefinition: Sendable, Equatable {
    package var name: String
    package var devices: DeviceFilter
    /// Where it began.
    package var start: GroupStart
    /// Retention waits for it.
    package var mustNotMiss: Bool
    /// The wall clock when it was made, 100 ns ticks.
    package var createdTicks: Int64
    /// The identity of the log its cursor counts in.
    package var logID: UInt64

    package init(
        name: String, devices: DeviceFilter, start: GroupStart, mustNotMiss: Bool, createdTicks: Int64,
        logID: UInt64
    ) {
        self.name = name
        self.devices = devices
        self.start = start
        self.mustNotMiss = mustNotMiss
        self.createdTicks = createdTicks
        self.logID = logID
    }

    /// - Throws: `.invalid` with the field that is wrong.
    package func validate(_ limits: GroupLimits) throws(GroupError) {
        try Self.validate(name: name, limits)
        try devices.validate(limits)
        if case .sequence = start {
            guard case .names(let names) = devices, names.count == 1 else {
                throw .invalid(
                    field: "from",
                    explanation:
                        "a sequence is a place in the queue of one device; name exactly one in devices, or begin "
                        + "at a time")
            }
        }
    }

    /// A group's name is the name of its file: letters, digits, `-`, `_` and `.`, not first a dot.
    package static func validate(name: String, _ limits: GroupLimits) throws(GroupError) {
        let isPlain = name.utf8.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x5F, 0x2E: true
            default: false
            }
        }
        guard isPlain, !name.isEmpty, name.utf8.count <= limits.nameBytesMax, name.utf8.first != 0x2E else {
            throw .invalid(
                field: "group",
                explanation:
                    "a name has 1 to \(limits.nameBytesMax) of the characters A-Z a-z 0-9 - _ . and does not "
                    + "begin with a dot")
        }
    }
}
