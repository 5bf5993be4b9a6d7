import Transport

/// The MQTT listener: 3.1.1 and 5.0 over plain TCP on one port.
struct MQTTListener: Sendable {
    /// The address with the port that it has.
    let address: HostPort
    private let thread: EventThread

    /// Opens the port; connections are taken from now on.
    ///
    /// - Throws: `HubError` when the address is in use or not this machine's.
    static func open(_ address: HostPort, on thread: EventThread) throws(HubError) -> MQTTListener {
        do throws(SocketError) {
            let listener = try StreamListener(host: address.host, port: address.port)
            thread.accept(from: listener)
            return MQTTListener(address: HostPort(host: address.host, port: listener.port), thread: thread)
        } catch {
            throw HubError.bind("mqtt", address, code: error.code, error.message)
        }
    }

    /// Takes no more connections.
    func close() { thread.stopAccepting() }
}

extension HubError {
    /// A listener that cannot have its address, said in one line.
    ///
    /// - Parameters:
    ///   - code: errno, 0 where there was none.
    ///   - message: what the system says, for codes that need no advice.
    static func bind(_ name: String, _ address: HostPort, code: Int32, _ message: String) -> HubError {
        let text =
            switch code {
            case 98, 48: "the port is in use; stop what uses it or choose another with --\(name) HOST:PORT"
            case 13, 1: "not allowed; ports below 1024 need root"
            case 99, 49: "not an address of this machine"
            default: message
            }
        return HubError("cannot listen for \(name) on \(address): \(text)")
    }
}
