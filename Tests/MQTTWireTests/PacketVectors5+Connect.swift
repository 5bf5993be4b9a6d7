import MQTTWire

let connectVectors5: [PacketVector] = [
    PacketVector(
        "CONNECT, the least", "5.0 §3.1",
        "10 0D 0004 4D515454 05 02 0000 00 0000",
        .connect(Connect(.v5) { $0.cleanStart = true })),
    PacketVector(
        "CONNECT with a password alone", "5.0 §3.1.2.9",
        "10 11 0004 4D515454 05 40 003C 00 0001 61 0001 70",
        .connect(
            Connect(.v5) {
                $0.cleanStart = false
                $0.keepAlive = 60
                $0.clientIdentifier = "a"
                $0.password = [0x70]
            })),
    PacketVector(
        "CONNECT with every property", "5.0 §3.1.2.11",
        """
        10 33 0004 4D515454 05 02 000A
        23 11 0000000A 15 0001 6D 16 0001 64 17 01 19 00 21 0014 22 0005 26 0001 6B 0001 76 27 00000100
        0003 636964
        """,
        .connect(
            Connect(.v5) {
                $0.keepAlive = 10
                $0.clientIdentifier = "cid"
                $0.properties.sessionExpiryInterval = 10
                $0.properties.authenticationMethod = "m"
                $0.properties.authenticationData = [0x64]
                $0.properties.requestProblemInformation = 1
                $0.properties.requestResponseInformation = 0
                $0.properties.receiveMaximum = 20
                $0.properties.topicAliasMaximum = 5
                $0.properties.userProperties = [UserProperty("k", "v")]
                $0.properties.maximumPacketSize = 256
            })),
    PacketVector(
        "CONNECT with a will and its properties", "5.0 §3.1.3.2",
        """
        10 3F 0004 4D515454 05 F6 0000 00 0001 61
        21 01 01 02 0000003C 03 0002 6A73 08 0001 72 09 0002 0001 18 00000005 26 0001 6B 0001 76
        0001 77 0003 627965 0001 75 0002 7077
        """,
        .connect(
            Connect(.v5) {
                $0.clientIdentifier = "a"
                $0.will = Will(
                    topic: "w", payload: [0x62, 0x79, 0x65], qos: .exactlyOnce, retain: true,
                    properties: Properties {
                        $0.payloadFormatIndicator = 1
                        $0.messageExpiryInterval = 60
                        $0.contentType = "js"
                        $0.responseTopic = "r"
                        $0.correlationData = [0, 1]
                        $0.willDelayInterval = 5
                        $0.userProperties = [UserProperty("k", "v")]
                    })
                $0.userName = "u"
                $0.password = [0x70, 0x77]
            })),
    PacketVector(
        "CONNACK accepted", "5.0 §3.2", "20 03 00 00 00",
        .connack(Connack(sessionPresent: false, reason: .success))),
    PacketVector(
        "CONNACK refused", "5.0 §3.2.2.2", "20 03 00 85 00",
        .connack(Connack(sessionPresent: false, reason: .clientIdentifierNotValid))),
    PacketVector(
        "CONNACK with every property", "5.0 §3.2.2.3",
        """
        20 3F 01 00 3C 11 00000001 12 0001 63 13 003C 15 0001 6D 16 0001 64 1A 0001 69 1C 0001 73
        1F 0001 72 21 0010 22 0008 24 01 25 00 26 0001 6B 0001 76 27 00010000 28 01 29 01 2A 00
        """,
        .connack(
            Connack(
                sessionPresent: true, reason: .success,
                properties: Properties {
                    $0.sessionExpiryInterval = 1
                    $0.assignedClientIdentifier = "c"
                    $0.serverKeepAlive = 60
                    $0.authenticationMethod = "m"
                    $0.authenticationData = [0x64]
                    $0.responseInformation = "i"
                    $0.serverReference = "s"
                    $0.reasonString = "r"
                    $0.receiveMaximum = 16
                    $0.topicAliasMaximum = 8
                    $0.maximumQoS = 1
                    $0.retainAvailable = 0
                    $0.userProperties = [UserProperty("k", "v")]
                    $0.maximumPacketSize = 65_536
                    $0.wildcardSubscriptionAvailable = 1
                    $0.subscriptionIdentifierAvailable = 1
                    $0.sharedSubscriptionAvailable = 0
                }))),
]

let publishVectors5: [PacketVector] = [
    PacketVector(
        "PUBLISH at QoS 0", "5.0 §3.3", "30 08 0003 612F62 00 6869",
        .publish(Publish(topic: "a/b", payload: [0x68, 0x69]))),
    PacketVector(
        "PUBLISH with every property", "5.0 §3.3.2.3",
        """
        3D 30 0003 612F62 000A
        27 01 01 02 0000003C 03 0002 6A73 08 0001 72 09 0002 0001 0B 07 23 0003
        26 0001 6B 0001 76 26 0001 6B 0000
        78
        """,
        .publish(
            Publish("a/b", "x") {
                $0.qos = .exactlyOnce
                $0.duplicate = true
                $0.retain = true
                $0.packetIdentifier = 10
                $0.properties.payloadFormatIndicator = 1
                $0.properties.messageExpiryInterval = 60
                $0.properties.contentType = "js"
                $0.properties.responseTopic = "r"
                $0.properties.correlationData = [0, 1]
                $0.properties.subscriptionIdentifiers = [7]
                $0.properties.topicAlias = 3
                $0.properties.userProperties = [UserProperty("k", "v"), UserProperty("k", "")]
            })),
    PacketVector(
        "PUBLISH with an alias for its topic", "5.0 §3.3.2.3.4", "32 09 0000 0001 03 23 0005 78",
        .publish(
            Publish("", "x") {
                $0.qos = .atLeastOnce
                $0.packetIdentifier = 1
                $0.properties.topicAlias = 5
            })),
    PacketVector(
        "PUBLISH for two subscriptions", "5.0 §3.3.2.3.8", "30 09 0001 74 05 0B 01 0B 8001",
        .publish(Publish("t", "") { $0.properties.subscriptionIdentifiers = [1, 128] })),
    PacketVector(
        "PUBLISH with properties out of order", "5.0 §2.2.2.2", "30 0B 0001 74 07 23 0001 03 0001 63",
        .publish(
            Publish("t", "") {
                $0.properties.contentType = "c"
                $0.properties.topicAlias = 1
            }), isCanonical: false),
]
