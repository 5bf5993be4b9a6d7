/// The type in the upper half of a packet's first byte; 0 is reserved. MQTT 5.0 §2.1.2 table 2-1.
package enum PacketType: UInt8, Sendable, CaseIterable {
    case connect = 1
    case connack = 2
    case publish = 3
    case puback = 4
    case pubrec = 5
    case pubrel = 6
    case pubcomp = 7
    case subscribe = 8
    case suback = 9
    case unsubscribe = 10
    case unsuback = 11
    case pingreq = 12
    case pingresp = 13
    case disconnect = 14
    /// MQTT 5.0 only.
    case auth = 15

    /// The first byte of this packet with the flags that table 2-2 fixes; PUBLISH with all of its flags 0.
    package var firstByte: UInt8 {
        let flags: UInt8 = self == .pubrel || self == .subscribe || self == .unsubscribe ? 0b0010 : 0
        return rawValue << 4 | flags
    }
}
