extension ReasonCode {
    /// Whether the packet type may carry this reason in MQTT 5.0, whichever side sends it: table 2-6 and the
    /// table of each packet's section. False for packets that carry none.
    package func isAllowed(in type: PacketType) -> Bool {
        switch type {
        case .connack: isAllowedInConnack
        case .puback, .pubrec: isAllowedInPuback
        case .pubrel, .pubcomp: rawValue == 0x00 || rawValue == 0x92
        case .suback: isAllowedInSuback
        case .unsuback: isAllowedInUnsuback
        case .disconnect: isAllowedInDisconnect
        case .auth: rawValue == 0x00 || rawValue == 0x18 || rawValue == 0x19
        case .connect, .publish, .subscribe, .unsubscribe, .pingreq, .pingresp: false
        }
    }

    /// MQTT 5.0 §3.2.2.2 table 3-1.
    private var isAllowedInConnack: Bool {
        switch rawValue {
        case 0x00, 0x80...0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99...0x9D, 0x9F: true
        default: false
        }
    }

    /// MQTT 5.0 §3.4.2.1 table 3-4, §3.5.2.1 table 3-5.
    private var isAllowedInPuback: Bool {
        switch rawValue {
        case 0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99: true
        default: false
        }
    }

    /// MQTT 5.0 §3.9.3 table 3-8.
    private var isAllowedInSuback: Bool {
        switch rawValue {
        case 0x00...0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2: true
        default: false
        }
    }

    /// MQTT 5.0 §3.11.3 table 3-9.
    private var isAllowedInUnsuback: Bool {
        switch rawValue {
        case 0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91: true
        default: false
        }
    }

    /// MQTT 5.0 §3.14.2.1 table 3-10, and 0x8C by table 2-6.
    private var isAllowedInDisconnect: Bool {
        switch rawValue {
        case 0x00, 0x04, 0x80...0x83, 0x87, 0x89, 0x8B...0x90, 0x93...0x9F, 0xA0...0xA2: true
        default: false
        }
    }
}
