import ArgumentParser
import Hub

/// Listeners besides the plain one, and the threads behind them.
struct ListenerOptions: ParsableArguments {
    @Option(help: "MQTT over TLS, HOST:PORT; needs --certificate and --key.")
    var mqtts: HostPort?

    @Option(help: "MQTT over WebSocket on the path /mqtt, HOST:PORT.")
    var ws: HostPort?

    @Option(help: "MQTT over WebSocket and TLS on the path /mqtt, HOST:PORT.")
    var wss: HostPort?

    @Option(help: ArgumentHelp("PEM file: the server's certificate and its chain.", valueName: "file"))
    var certificate: String?

    @Option(help: ArgumentHelp("PEM file: the key of --certificate.", valueName: "file"))
    var key: String?

    @Option(
        name: .customLong("client-ca"),
        help: ArgumentHelp(
            "PEM file: clients over TLS must show a certificate signed by one of these.", valueName: "file"))
    var clientCA: String?

    @Option(help: "Threads that own sockets, 1 to 64; 1 reads plain ones on the broker's own. (default: 1)")
    var loops: Int?

    func apply(to configuration: inout HubConfiguration) throws {
        if let loops {
            guard HubLimits.loops.contains(loops) else {
                throw Failure.input("--loops \(loops): is a number from 1 to \(HubLimits.loops.upperBound)")
            }
            configuration.loops = loops
        }
        let secure = mqtts != nil || wss != nil
        for (name, value) in [("certificate", certificate), ("key", key)] where secure && value == nil {
            throw Failure.input("--\(mqtts != nil ? "mqtts" : "wss") needs --\(name) FILE, a PEM file")
        }
        for (name, value) in [("certificate", certificate), ("key", key), ("client-ca", clientCA)] {
            if value != nil, !secure { throw Failure.input("--\(name) needs --mqtts or --wss HOST:PORT") }
        }
        let wanted: [(ListenerSettings.Kind, HostPort?)] = [(.mqtts, mqtts), (.ws, ws), (.wss, wss)]
        let hadListeners = !configuration.listeners.isEmpty
        for case (let kind, let address?) in wanted {
            var listener = ListenerSettings(kind, address, place: "--\(kind.rawValue)")
            if kind.isSecure {
                listener.certificate = certificate
                listener.key = key
                listener.clientCA = clientCA
                listener.clientCertificate = clientCA == nil ? .none : .required
            }
            configuration.listeners.append(listener)
        }
        // The plain listener stays where it is unless the configuration file decides otherwise.
        if !hadListeners, configuration.mqtt == nil {
            configuration.mqtt = HostPort(host: "127.0.0.1", port: 1883)
        }
    }
}
