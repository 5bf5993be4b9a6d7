import MQTTWire

/// MQTT 5.0, the sections of its chapter 3 in order; the longer ones are in their own file.
let vectors5: [PacketVector] =
    connectVectors5 + publishVectors5 + subscribeVectors5 + [
        PacketVector(
            "PUBACK, success", "5.0 §3.4.2.1", "40 02 1234",
            .puback(Acknowledgement(packetIdentifier: 0x1234))),
        PacketVector(
            "PUBACK, success written out", "5.0 §3.4.2.1", "40 03 1234 00",
            .puback(Acknowledgement(packetIdentifier: 0x1234)), isCanonical: false),
        PacketVector(
            "PUBACK with a reason", "5.0 §3.4.2.2.1", "40 03 1234 97",
            .puback(Acknowledgement(packetIdentifier: 0x1234, reason: .quotaExceeded))),
        PacketVector(
            "PUBACK with an empty property block", "5.0 §3.4.2.2.1", "40 04 1234 10 00",
            .puback(Acknowledgement(packetIdentifier: 0x1234, reason: .noMatchingSubscribers)),
            isCanonical: false),
        PacketVector(
            "PUBREC with properties", "5.0 §3.5.2.2",
            "50 0F 1234 83 0B 1F 0001 72 26 0001 6B 0001 76",
            .pubrec(
                Acknowledgement(
                    packetIdentifier: 0x1234, reason: .implementationSpecificError,
                    properties: Properties {
                        $0.reasonString = "r"
                        $0.userProperties = [UserProperty("k", "v")]
                    }))),
        PacketVector(
            "PUBREC, success with a property", "5.0 §3.5.2.2", "50 08 1234 00 04 1F 0001 72",
            .pubrec(
                Acknowledgement(packetIdentifier: 0x1234, properties: Properties { $0.reasonString = "r" }))),
        PacketVector(
            "PUBREL", "5.0 §3.6", "62 02 1234", .pubrel(Acknowledgement(packetIdentifier: 0x1234))),
        PacketVector(
            "PUBREL, identifier not found", "5.0 §3.6.2.1", "62 03 1234 92",
            .pubrel(Acknowledgement(packetIdentifier: 0x1234, reason: .packetIdentifierNotFound))),
        PacketVector(
            "PUBCOMP", "5.0 §3.7", "70 02 1234", .pubcomp(Acknowledgement(packetIdentifier: 0x1234))),
        PacketVector("PINGREQ", "5.0 §3.12", "C0 00", .pingreq),
        PacketVector("PINGRESP", "5.0 §3.13", "D0 00", .pingresp),
        PacketVector("DISCONNECT, normal", "5.0 §3.14.2.1", "E0 00", .disconnect(Disconnect())),
        PacketVector(
            "DISCONNECT, normal written out", "5.0 §3.14.2.2.1", "E0 02 00 00", .disconnect(Disconnect()),
            isCanonical: false),
        PacketVector(
            "DISCONNECT with will", "5.0 §3.14.2.2.1", "E0 01 04",
            .disconnect(Disconnect(reason: .disconnectWithWill))),
        PacketVector(
            "DISCONNECT with properties", "5.0 §3.14.2.2",
            "E0 16 9C 14 11 00000E10 1C 0001 73 1F 0001 72 26 0001 6B 0001 76",
            .disconnect(
                Disconnect(
                    reason: .useAnotherServer,
                    properties: Properties {
                        $0.sessionExpiryInterval = 3_600
                        $0.serverReference = "s"
                        $0.reasonString = "r"
                        $0.userProperties = [UserProperty("k", "v")]
                    }))),
        PacketVector("AUTH, success", "5.0 §3.15.2.1", "F0 00", .auth(Auth(reason: .success))),
        PacketVector(
            "AUTH, continue", "5.0 §3.15.2.2", "F0 0A 18 08 15 0001 6D 16 0001 64",
            .auth(
                Auth(
                    reason: .continueAuthentication,
                    properties: Properties {
                        $0.authenticationMethod = "m"
                        $0.authenticationData = [0x64]
                    }))),
    ]

let subscribeVectors5: [PacketVector] = [
    PacketVector(
        "SUBSCRIBE with every option", "5.0 §3.8.3.1",
        "82 1A 000A 09 0B FF7F 26 0001 6B 0000 0003 612F62 1D 0005 632F2B2F23 22",
        .subscribe(
            Subscribe.make(
                10,
                [
                    Subscribe.Filter.make(
                        "a/b", qos: .atLeastOnce, noLocal: true, retainAsPublished: true, handling: 1),
                    Subscribe.Filter.make("c/+/#", qos: .exactlyOnce, handling: 2),
                ],
                Properties {
                    $0.subscriptionIdentifiers = [16_383]
                    $0.userProperties = [UserProperty("k", "")]
                }))),
    PacketVector(
        "SUBSCRIBE to a shared subscription", "5.0 §4.8.2",
        "82 10 0001 00 000A 2473686172652F672F74 00",
        .subscribe(
            Subscribe(
                packetIdentifier: 1, filters: [Subscribe.Filter("$share/g/t", qos: .atMostOnce)]))),
    PacketVector(
        "SUBACK with every kind of reason", "5.0 §3.9.3", "90 0D 000A 04 1F 0001 72 00 01 02 8F 97 A2",
        .suback(
            SubscribeAcknowledgement(
                packetIdentifier: 10,
                reasons: [
                    .grantedQoS0, .grantedQoS1, .grantedQoS2, .topicFilterInvalid, .quotaExceeded,
                    .wildcardSubscriptionsNotSupported,
                ],
                properties: Properties { $0.reasonString = "r" }))),
    PacketVector(
        "UNSUBSCRIBE with a user property", "5.0 §3.10",
        "A2 0F 000A 07 26 0001 6B 0001 76 0003 612F62",
        .unsubscribe(
            Unsubscribe.make(10, ["a/b"], Properties { $0.userProperties = [UserProperty("k", "v")] }))),
    PacketVector(
        "UNSUBACK", "5.0 §3.11.3", "B0 05 000A 00 00 11",
        .unsuback(
            SubscribeAcknowledgement(packetIdentifier: 10, reasons: [.success, .noSubscriptionExisted]))),
]

extension Subscribe {
    static func make(_ identifier: UInt16, _ filters: [Filter], _ properties: Properties) -> Subscribe {
        var packet = Subscribe(packetIdentifier: identifier, filters: filters)
        packet.properties = properties
        return packet
    }
}

extension Subscribe.Filter {
    static func make(
        _ text: String, qos: QoS, noLocal: Bool = false, retainAsPublished: Bool = false, handling: UInt8
    ) -> Subscribe.Filter {
        var filter = Subscribe.Filter(text, qos: qos)
        filter.noLocal = noLocal
        filter.retainAsPublished = retainAsPublished
        filter.retainHandling = handling
        return filter
    }
}

extension Unsubscribe {
    static func make(_ identifier: UInt16, _ filters: [String], _ properties: Properties) -> Unsubscribe {
        var packet = Unsubscribe(packetIdentifier: identifier, filters: filters)
        packet.properties = properties
        return packet
    }
}
