/// One file of the fleet folder: what its devices are, how they connect and how they misbehave.
package struct DeviceType: Equatable, Sendable {
    /// The file's name without `.yaml`.
    package var name: String
    /// How many devices, from 1.
    package var count: Int
    package var identifier: Template
    package var topic: Template
    /// In the file's order; a device with index i (from 1) has the value at `(i − 1) mod count of values`.
    package var tags: [Tag]
    /// The time between two readings, drawn anew each time; milliseconds, at least 1.
    package var everyMilliseconds: ClosedRange<Int64>
    /// At least one, in the order of the file, which is the order in the payload.
    package var sensors: [SensorModel]
    package var connection: ConnectionModel
    package var faults: FaultModel

    /// A name with the values that are dealt out in turn.
    package struct Tag: Equatable, Sendable {
        package var name: String
        /// Never empty.
        package var values: [String]

        package init(name: String, values: [String]) {
            self.name = name
            self.values = values
        }
    }

    /// `{type}-{i:04}`
    package static let identifierDefault = "{type}-{i:04}"
    /// The device-to-cloud topic of the Azure layout.
    package static let topicDefault = "devices/{id}/messages/events/"
}

/// Who a simulated device is.
package struct DeviceIdentity: Equatable, Sendable {
    package var id: String
    package var topic: String
    /// This device's share of the type's tags, in the file's order.
    package var tags: [DeviceType.Tag]
    /// The index in `FleetPlan.types`.
    package var typeIndex: Int
}
