import MosquittoClient

/// What a broker's refusal means, in words that say what to do.
enum UpstreamAdvice {
    /// CONNACK with a reason: a return code of 3.1.1 or a reason code of 5.
    static func refusal(_ reason: Int32, _ settings: UpstreamSettings) -> String {
        let place = settings.url.description
        switch reason {
        case 1, 132:
            let other = settings.version == .v5 ? "3.1.1" : "5"
            return "\(place) does not speak this version of MQTT: write version: \(other)"
        case 2, 133: return "\(place) refuses the client identifier: write another one as client_id:"
        case 3, 136: return "\(place) is not available at the moment"
        case 4, 134: return "\(place) refuses the user name or the password: see url: and password_file:"
        case 5, 135: return "\(place) does not authorize this client: it needs a user, or rights, there"
        case 138: return "\(place) has banned this client"
        default: return "\(place) refuses the connection with reason code \(reason)"
        }
    }

    static func subscription(_ filter: String, _ code: Int32) -> String {
        switch code {
        case 128: "the subscription to \"\(filter)\" is refused: the client may have no right to read there"
        case 135: "the subscription to \"\(filter)\" is refused: this client is not authorized to read there"
        case 158: "the subscription to \"\(filter)\" is refused: the broker has no shared subscriptions"
        case 162: "the subscription to \"\(filter)\" is refused: the broker has no wildcards"
        default: "the subscription to \"\(filter)\" is refused with reason code \(code)"
        }
    }

    /// A connection that was not made, or ended.
    static func failure(_ error: MosquittoError, _ settings: UpstreamSettings) -> String {
        let text = error.description
        let lower = text.lowercased()
        let hints: [(String, String)] = [
            ("name or service not known", "check the host name"),
            ("temporary failure in name resolution", "check the name servers"),
            ("connection refused", "check that the broker listens there, and the port"),
            ("no answer within", "check the address and firewalls; a TLS port needs mqtts://"),
            (
                "tls error",
                "check ca:, certificate: and key:, and that the certificate names \(settings.url.host)"
            ),
            ("certificate", "check ca:, certificate: and key:"),
        ]
        for (mark, hint) in hints where lower.contains(mark) { return "\(text): \(hint)" }
        return text
    }
}
