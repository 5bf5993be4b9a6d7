import MQTTWire

/// MQTT 3.1.1, the sections of its chapter 3 in order.
let vectors311: [PacketVector] = [
    PacketVector(
        "CONNECT, the least", "3.1.1 §3.1",
        "10 0C 0004 4D515454 04 02 0000 0000",
        .connect(Connect(.v311) { $0.cleanStart = true })),
    PacketVector(
        "CONNECT with everything", "3.1.1 §3.1, figure 3.6",
        "10 1D 0004 4D515454 04 EE 000A 0002 6964 0001 77 0002 6279 0001 75 0003 70 00 77",
        .connect(
            Connect(.v311) {
                $0.cleanStart = true
                $0.keepAlive = 10
                $0.clientIdentifier = "id"
                $0.will = Will(topic: "w", payload: [0x62, 0x79], qos: .atLeastOnce, retain: true)
                $0.userName = "u"
                $0.password = [0x70, 0x00, 0x77]
            })),
    PacketVector(
        "CONNECT that keeps its session", "3.1.1 §3.1.2.4",
        "10 0D 0004 4D515454 04 00 FFFF 0001 61",
        .connect(
            Connect(.v311) {
                $0.cleanStart = false
                $0.keepAlive = 65_535
                $0.clientIdentifier = "a"
            })),
    PacketVector(
        "CONNACK accepted, session present", "3.1.1 §3.2", "20 02 01 00",
        .connack(Connack(sessionPresent: true, reason: .success))),
    PacketVector(
        "CONNACK unacceptable protocol version", "3.1.1 §3.2.2.3", "20 02 00 01",
        .connack(Connack(sessionPresent: false, reason: .unsupportedProtocolVersion))),
    PacketVector(
        "CONNACK identifier rejected", "3.1.1 §3.2.2.3", "20 02 00 02",
        .connack(Connack(sessionPresent: false, reason: .clientIdentifierNotValid))),
    PacketVector(
        "CONNACK server unavailable", "3.1.1 §3.2.2.3", "20 02 00 03",
        .connack(Connack(sessionPresent: false, reason: .serverUnavailable))),
    PacketVector(
        "CONNACK bad user name or password", "3.1.1 §3.2.2.3", "20 02 00 04",
        .connack(Connack(sessionPresent: false, reason: .badUserNameOrPassword))),
    PacketVector(
        "CONNACK not authorized", "3.1.1 §3.2.2.3", "20 02 00 05",
        .connack(Connack(sessionPresent: false, reason: .notAuthorized))),
    PacketVector(
        "PUBLISH at QoS 0", "3.1.1 §3.3", "30 07 0003 612F62 6869",
        .publish(Publish(topic: "a/b", payload: [0x68, 0x69]))),
    PacketVector(
        "PUBLISH at QoS 1, DUP, retained", "3.1.1 §3.3, figure 3.11", "3B 07 0003 612F62 000A",
        .publish(
            Publish("a/b", "") {
                $0.qos = .atLeastOnce
                $0.duplicate = true
                $0.retain = true
                $0.packetIdentifier = 10
            })),
    PacketVector(
        "PUBLISH at QoS 2 with 128 bytes of body", "3.1.1 §2.2.3, §3.3",
        "34 8001 0001 74 FFFF" + String(repeating: "5A", count: 123),
        .publish(
            Publish("t", String(repeating: "Z", count: 123)) {
                $0.qos = .exactlyOnce
                $0.packetIdentifier = 65_535
            })),
    PacketVector(
        "PUBACK", "3.1.1 §3.4", "40 02 1234", .puback(Acknowledgement(packetIdentifier: 0x1234))),
    PacketVector(
        "PUBREC", "3.1.1 §3.5", "50 02 1234", .pubrec(Acknowledgement(packetIdentifier: 0x1234))),
    PacketVector(
        "PUBREL", "3.1.1 §3.6", "62 02 1234", .pubrel(Acknowledgement(packetIdentifier: 0x1234))),
    PacketVector(
        "PUBCOMP", "3.1.1 §3.7", "70 02 1234", .pubcomp(Acknowledgement(packetIdentifier: 0x1234))),
    PacketVector(
        "SUBSCRIBE to two filters", "3.1.1 §3.8, figure 3.23",
        "82 0E 000A 0003 612F62 01 0003 632F64 02",
        .subscribe(
            Subscribe(
                packetIdentifier: 10,
                filters: [
                    Subscribe.Filter("a/b", qos: .atLeastOnce), Subscribe.Filter("c/d", qos: .exactlyOnce),
                ]))),
    PacketVector(
        "SUBACK", "3.1.1 §3.9, figure 3.26", "90 05 000A 00 02 80",
        .suback(
            SubscribeAcknowledgement(
                packetIdentifier: 10, reasons: [.grantedQoS0, .grantedQoS2, .unspecifiedError]))),
    PacketVector(
        "UNSUBSCRIBE", "3.1.1 §3.10, figure 3.30", "A2 0C 000A 0003 612F62 0003 632F64",
        .unsubscribe(Unsubscribe(packetIdentifier: 10, filters: ["a/b", "c/d"]))),
    PacketVector(
        "UNSUBACK", "3.1.1 §3.11", "B0 02 000A",
        .unsuback(SubscribeAcknowledgement(packetIdentifier: 10, reasons: []))),
    PacketVector("PINGREQ", "3.1.1 §3.12", "C0 00", .pingreq),
    PacketVector("PINGRESP", "3.1.1 §3.13", "D0 00", .pingresp),
    PacketVector("DISCONNECT", "3.1.1 §3.14", "E0 00", .disconnect(Disconnect())),
]
