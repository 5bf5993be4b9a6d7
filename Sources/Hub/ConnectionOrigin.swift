/// Where a connection comes from, and who its transport says it is; known before its first byte.
package struct ConnectionOrigin: Sendable, Equatable {
    /// Place of its listener among the hub's listeners, from 0.
    package var listener: UInt16 = 0
    /// The peer is on this machine.
    package var isLoopback = true
    /// The name in the certificate that the peer proved to own; nil without one.
    package var certificateName: String?
    /// The hub's own, a bridge's: it came over no listener, and no rule of access or rate is meant for it.
    package var isInternal = false

    /// A connection that the hub makes to itself.
    package static var hub: ConnectionOrigin {
        var origin = ConnectionOrigin()
        origin.isInternal = true
        return origin
    }

    package init(listener: UInt16 = 0, isLoopback: Bool = true, certificateName: String? = nil) {
        self.listener = listener
        self.isLoopback = isLoopback
        self.certificateName = certificateName
    }
}
