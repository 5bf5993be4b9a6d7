package import MQTTWire

/// The trail that a message leaves on its way over bridges: the MQTT 5 user property `headend-via`, once for each
/// hub that sent it on. A message that comes back to a hub it has been to goes no further, so rings of brokers do
/// not turn for ever.
///
/// 3.1.1 connections lose it: there `EchoFilter` stands in for direct echoes, and rings must be cut by prefixes.
package enum ViaMark {
    package static let name = "headend-via"
    /// Hubs a message may pass. A longer chain than this is a loop that somebody else's marks hide.
    package static let hopsMax = 16

    /// Whether the message was at this hub before, or at too many.
    package static func isLoop(_ properties: Properties, hub: String) -> Bool {
        var hops = 0
        for property in properties.userProperties where property.name == name {
            if property.value == hub { return true }
            hops += 1
        }
        return hops >= hopsMax
    }

    /// Adds this hub to the trail.
    package static func append(to properties: inout Properties, hub: String) {
        properties.userProperties.append(UserProperty(name, hub))
    }
}
