import Telemetry
import Yams

/// Reads `listeners:` of the configuration file: a list of doors.
///
/// ```yaml
/// listeners:
///   - { type: mqtt, address: "127.0.0.1:1883" }
///   - type: mqtts
///     address: 0.0.0.0:8883
///     certificate: hub.crt
///     key: hub.key
///     client_ca: devices-ca.crt          # and then client_certificate: is required unless said otherwise
///     client_certificate: optional
///     identity: common_name
///     anonymous: false
///     limits: { connections: 5000, message_rate: 50 }     # see `LimitReader`
///   - { type: ws, address: "127.0.0.1:8083" }
/// ```
///
/// Files are relative to the working directory, as with the options.
struct ListenerReader {
    private static let keys = [
        "type", "address", "certificate", "key", "client_ca", "client_certificate", "identity", "anonymous",
        "limits",
    ]
    /// Listeners of one hub: each has a descriptor and a place in every connection's origin.
    private static let listenersMax = 64

    let path: String
    /// What is wrong, each with its place.
    private(set) var problems: [String] = []

    init(path: String) { self.path = path }

    mutating func read(_ node: Node) -> [ListenerSettings] {
        guard let entries = node.sequence, !entries.isEmpty else {
            problem(node, "listeners: is a list, for example [{ type: mqtt, address: \"127.0.0.1:1883\" }]")
            return []
        }
        if entries.count > Self.listenersMax {
            problem(node, "listeners: has \(entries.count) entries, at most \(Self.listenersMax) are allowed")
        }
        return entries.map { readListener($0) }
    }

    private mutating func readListener(_ node: Node) -> ListenerSettings {
        var listener = ListenerSettings()
        listener.place = place(node)
        guard let mapping = node.mapping else {
            problem(node, "a listener is a map, for example { type: mqtt, address: \"127.0.0.1:1883\" }")
            return listener
        }
        var given: [String: Node] = [:]
        for (key, value) in mapping {
            let name = key.string ?? ""
            guard Self.keys.contains(name) else {
                unknown(key, name)
                continue
            }
            given[name] = value
            read(name, value, &listener)
        }
        for name in ["type", "address"] where given[name] == nil { problem(node, "\(name): is missing") }
        check(node, given, &listener)
        return listener
    }

    private mutating func read(_ name: String, _ value: Node, _ listener: inout ListenerSettings) {
        switch name {
        case "type": if let kind = choice(value, name, ListenerSettings.Kind.self) { listener.kind = kind }
        case "address":
            if let text = value.scalar?.string, let address = HostPort(text) {
                listener.address = address
            } else {
                problem(value, "address: is HOST:PORT, for example 127.0.0.1:8883")
            }
        case "anonymous":
            switch value.scalar?.string {
            case "true", "yes", "on": listener.anonymous = true
            case "false", "no", "off": listener.anonymous = false
            default: problem(value, "anonymous: is true or false")
            }
        case "limits":
            var reader = LimitReader(path: path)
            listener.limits = reader.readListener(value)
            problems += reader.problems
        case "certificate": listener.certificate = file(value, name)
        case "key": listener.key = file(value, name)
        case "client_ca": listener.clientCA = file(value, name)
        case "client_certificate":
            if let policy = choice(value, name, ListenerSettings.ClientCertificate.self) {
                listener.clientCertificate = policy
            }
        default:
            if let identity = choice(value, name, ListenerSettings.CertificateIdentity.self) {
                listener.identity = identity
            }
        }
    }

    /// What must stand together.
    private mutating func check(_ node: Node, _ given: [String: Node], _ listener: inout ListenerSettings) {
        guard listener.kind.isSecure else {
            for name in ["certificate", "key", "client_ca", "client_certificate", "identity"] {
                if let value = given[name] {
                    problem(value, "\(name): belongs to a listener of type mqtts or wss")
                }
            }
            return
        }
        for name in ["certificate", "key"] where given[name] == nil {
            problem(node, "\(name): is missing; \(listener.kind.rawValue) needs a PEM file")
        }
        if given["client_certificate"] == nil, listener.clientCA != nil {
            listener.clientCertificate = .required
        }
        if listener.clientCertificate != .none, listener.clientCA == nil {
            problem(
                given["client_certificate"] ?? node,
                "client_certificate: needs client_ca:, a PEM file with who signs the clients' certificates")
        }
    }

    private mutating func choice<Choice: RawRepresentable & CaseIterable>(
        _ node: Node, _ name: String, _ type: Choice.Type
    ) -> Choice? where Choice.RawValue == String {
        let text = node.scalar?.string ?? ""
        if let choice = Choice(rawValue: text) { return choice }
        let all = Choice.allCases.map(\.rawValue)
        let hint = Suggestion.nearest(to: text, in: all).map { " (did you mean \"\($0)\"?)" } ?? ""
        problem(node, "\(name): is one of \(all.joined(separator: ", "))\(hint)")
        return nil
    }

    private mutating func file(_ node: Node, _ name: String) -> String? {
        if let text = node.scalar?.string, !text.isEmpty { return text }
        problem(node, "\(name): is the name of a PEM file")
        return nil
    }

    private mutating func unknown(_ node: Node, _ name: String) {
        let hint = Suggestion.nearest(to: name, in: Self.keys).map { " (did you mean \"\($0)\"?)" } ?? ""
        problem(node, "unknown setting \"\(name)\"\(hint); there are: \(Self.keys.joined(separator: ", "))")
    }

    private func place(_ node: Node) -> String { path + (node.mark.map { ":\($0.line):\($0.column)" } ?? "") }

    private mutating func problem(_ node: Node, _ text: String) { problems.append("\(place(node)): \(text)") }
}
