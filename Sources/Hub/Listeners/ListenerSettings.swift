/// A door of the hub: how clients come in, and what they show of themselves.
package struct ListenerSettings: Sendable, Equatable {
    package enum Kind: String, Sendable, CaseIterable {
        case mqtt, mqtts, ws, wss

        /// Over TLS.
        package var isSecure: Bool { self == .mqtts || self == .wss }
        /// MQTT in WebSocket frames, on the path `/mqtt`.
        package var isWebSocket: Bool { self == .ws || self == .wss }
    }

    /// Whether a client shows a certificate of its own.
    package enum ClientCertificate: String, Sendable, CaseIterable {
        case none, optional, required
    }

    /// What of a client's certificate is its name (`ConnectionOrigin.certificateName`).
    package enum CertificateIdentity: String, Sendable, CaseIterable {
        case commonName = "common_name"
        /// The whole subject as RFC 4514 writes it.
        case subject
        /// The first DNS name, else the first URI, of the subject's alternative names.
        case san
    }

    package var kind = Kind.mqtt
    package var address = HostPort(host: "127.0.0.1", port: 1883)
    /// A PEM file: the server's certificate, then the certificates between it and the root.
    package var certificate: String?
    /// A PEM file with the certificate's key, without a passphrase.
    package var key: String?
    /// A PEM file with the certificates that sign those of clients.
    package var clientCA: String?
    package var clientCertificate = ClientCertificate.none
    package var identity = CertificateIdentity.commonName
    /// As `AccessSettings.anonymous`, for this listener; nil where it does not say.
    package var anonymous: Bool?
    /// What of `HubLimits.listener` is other here.
    package var limits = ListenerLimits.Changes()
    /// `file:line:column` or the option that asked for it, for messages.
    package var place = ""

    package init() {}

    package init(_ kind: Kind, _ address: HostPort, place: String = "") {
        self.kind = kind
        self.address = address
        self.place = place
    }
}

/// A listener that is open.
package struct OpenListener: Sendable, Equatable {
    package var kind: ListenerSettings.Kind
    /// With the port that it has.
    package var address: HostPort
}
