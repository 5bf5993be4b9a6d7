import MosquittoClient
package import Platform
import ReferenceFiles
import Telemetry
import Yams

/// The YAML file behind `--config`.
///
/// ```yaml
/// data: /var/lib/headend
/// mqtt: 0.0.0.0:1883
/// listeners: [{ type: ws, address: "127.0.0.1:8083" }]   # see `ListenerReader`
/// loops: 1
/// http: 127.0.0.1:8080
/// downstream: mqtts://broker.example:8883/site-7
/// downstream_ca: ca.crt
/// queue: { segment_bytes: 67108864, compression: on, plain_bytes: 268435456 }
/// retention: { age: 7d, bytes: 50GB, recordsPerDevice: 100000 }
/// registration: closed
/// sys_interval: 10
/// ingest: [{ preset: azure }]        # see `IngestReader`
/// upstream: [{ name: plant, url: mqtt://10.0.0.7, subscribe: [{ filter: tele/# }] }]   # see `UpstreamReader`
/// users: users                       # see `AccessReader`
/// acl: [{ allow: publish, user: gateway, topic: devices/# }]
/// anonymous: false
/// minute_query: on
/// references: [{ name: sites, file: sites.csv }]       # see `ReferenceConfigurationReader`
/// queries: [{ name: hot, file: hot.sql, late: 30s }]   # see `QueryConfigurationReader`
/// ```
package enum HubConfigurationFile {
    /// Everything that is wrong with a configuration file, a line each. Exit status 2.
    package struct Problems: Error, Sendable, CustomStringConvertible {
        package var lines: [String]
        package var description: String { lines.joined(separator: "\n") }
    }

    private static let keys = [
        "data", "mqtt", "listeners", "loops", "http", "downstream", "downstream_ca", "queue", "retention",
        "ingest",
        "registration", "upstream", "sys_interval", "users", "acl", "anonymous", "limits", "queries",
        "minute_query", "references",
    ]
    private static let queueKeys = ["segment_bytes", "compression", "plain_bytes"]

    /// - Throws: `Problems` with `file:line:column` and what to do, or `FileError` when it cannot be read.
    /// - Parameter references: inputs of reference data that are named elsewhere.
    package static func read(
        _ path: String, references: [String] = [], files: any FileStore = PosixFileStore()
    ) throws -> HubConfiguration {
        let text = String(decoding: try files.contents(of: path), as: UTF8.self)
        return try parse(text, path: path, references: references, files: files)
    }

    /// - Parameter files: where files that it names are read from.
    package static func parse(
        _ text: String, path: String, references: [String] = [], files: any FileStore = PosixFileStore()
    ) throws -> HubConfiguration {
        var reader = Reader(
            path: path, access: AccessReader(path: path, files: files), references: references)
        let node: Node?
        do throws(ConfigurationText.Mistake) {
            node = try ConfigurationText.compose(text, path: path)
        } catch {
            throw Problems(lines: [error.line])
        }
        if let node { reader.read(node) }
        reader.applyAuthority()
        reader.problems += reader.access.problems
        reader.configuration.access = reader.access.settings
        guard reader.problems.isEmpty else { throw Problems(lines: reader.problems) }
        return reader.configuration
    }

    private struct Reader {
        let path: String
        var access: AccessReader
        /// Named elsewhere.
        var references: [String]
        var configuration = HubConfiguration()
        var problems: [String] = []
        private var authority: Node?

        init(path: String, access: AccessReader, references: [String]) {
            self.path = path
            self.access = access
            self.references = references
        }

        mutating func read(_ node: Node) {
            guard let mapping = node.mapping else {
                problem(node, "a configuration is a map of settings")
                return
            }
            // Queries name them, wherever they stand.
            if let value = mapping["references"] {
                var reader = ReferenceConfigurationReader(path: path)
                configuration.references = reader.read(value)
                problems += reader.problems
            }
            for (key, value) in mapping {
                let name = key.string ?? ""
                switch name {
                case "references": break
                case "data": if let text = string(value, name) { configuration.dataDirectory = text }
                case "mqtt": if let address = address(value, name) { configuration.mqtt = address }
                case "listeners": readListeners(value)
                case "loops":
                    if let loops = value.scalar.flatMap({ Int($0.string) }), HubLimits.loops.contains(loops) {
                        configuration.loops = loops
                    } else {
                        problem(value, "loops: is a number from 1 to \(HubLimits.loops.upperBound)")
                    }
                case "http": if let address = address(value, name) { configuration.http = address }
                case "downstream": readDownstream(value)
                case "downstream_ca": authority = value
                case "queue": readQueue(value)
                case "ingest": readIngest(value)
                case "registration": readRegistration(value)
                case "sys_interval": readSystemInterval(value)
                case "retention": readRetention(value)
                case "upstream": readUpstream(value)
                case "limits":
                    var reader = LimitReader(path: path)
                    reader.read(value, into: &configuration.limits)
                    problems += reader.problems
                case "users": access.readUsers(value)
                case "acl": access.readList(value)
                case "anonymous": access.readAnonymous(value)
                case "minute_query":
                    switch value.scalar?.string {
                    case "on", "true": configuration.runsMinuteQuery = true
                    case "off", "false": configuration.runsMinuteQuery = false
                    default: problem(value, "minute_query: is on or off")
                    }
                case "queries":
                    var reader = QueryConfigurationReader(path: path)
                    reader.references = references + configuration.references.map(\.name)
                    configuration.queries = reader.read(value)
                    problems += reader.problems
                default: unknown(key, name, among: HubConfigurationFile.keys)
                }
            }
        }

        private mutating func readDownstream(_ value: Node) {
            guard let text = string(value, "downstream") else { return }
            do {
                configuration.downstream = try MosquittoURL(text)
            } catch {
                problem(value, "downstream: \(error)")
            }
        }

        /// When all is read: the settings may stand in any order.
        mutating func applyAuthority() {
            guard let authority, let file = string(authority, "downstream_ca") else { return }
            guard configuration.downstream?.isSecure == true else {
                problem(authority, "downstream_ca: needs downstream: mqtts://HOST:PORT")
                return
            }
            configuration.downstream?.authorityFile = file
        }

        private mutating func readListeners(_ node: Node) {
            var reader = ListenerReader(path: path)
            configuration.listeners = reader.read(node)
            problems += reader.problems
        }

        private mutating func readIngest(_ node: Node) {
            var reader = IngestReader(path: path)
            configuration.ingest = reader.read(node)
            problems += reader.problems
            configuration.notes += reader.notes
        }

        private mutating func readUpstream(_ node: Node) {
            var reader = UpstreamReader(path: path)
            configuration.upstreams = reader.read(node)
            problems += reader.problems
            configuration.notes += reader.notes
        }

        private mutating func readRegistration(_ node: Node) {
            guard let text = node.scalar?.string, let policy = Registration(rawValue: text) else {
                let isLater = node.scalar?.string == "approve"
                problem(
                    node, "registration: is open or closed\(isLater ? "; approve is not there yet" : "")")
                return
            }
            configuration.registration = policy
        }

        private mutating func readSystemInterval(_ node: Node) {
            guard let seconds = node.scalar.flatMap({ Int($0.string) }), (0...86_400).contains(seconds) else {
                problem(node, "sys_interval: is a whole number of seconds up to 86400; 0 turns $SYS off")
                return
            }
            configuration.systemTopicsSeconds = seconds
        }

        private mutating func readQueue(_ node: Node) {
            guard let mapping = node.mapping else {
                problem(node, "queue: is a map of settings")
                return
            }
            for (key, value) in mapping {
                let name = key.string ?? ""
                switch name {
                case "segment_bytes":
                    if let bytes = bytes(value, name, from: 1) { configuration.segmentBytes = bytes }
                case "plain_bytes":
                    if let bytes = bytes(value, name, from: 0) { configuration.plainBytes = bytes }
                case "compression":
                    switch value.scalar?.string {
                    case "on", "true": configuration.isCompressing = true
                    case "off", "false": configuration.isCompressing = false
                    default: problem(value, "compression: is on or off")
                    }
                default: unknown(key, name, among: HubConfigurationFile.queueKeys)
                }
            }
        }

        private mutating func bytes(_ node: Node, _ name: String, from least: Int) -> Int? {
            if let bytes = node.scalar.flatMap({ Int($0.string) }), bytes >= least { return bytes }
            problem(node, "\(name): is a whole number of bytes")
            return nil
        }

        private mutating func readRetention(_ node: Node) {
            guard let mapping = node.mapping else {
                problem(node, "retention: is a map of limits, for example { age: 7d, bytes: 50GB }")
                return
            }
            for (key, value) in mapping {
                let name = key.string ?? ""
                guard RetentionSettings.keys.contains(name) else {
                    unknown(key, name, among: RetentionSettings.keys)
                    continue
                }
                let text = value.scalar?.string ?? ""
                if let mistake = RetentionSettings.set(name, text, in: &configuration.retention) {
                    problem(value, mistake)
                }
            }
        }

        private mutating func string(_ node: Node, _ name: String) -> String? {
            if let text = node.scalar?.string, !text.isEmpty { return text }
            problem(node, "\(name): is a text")
            return nil
        }

        private mutating func address(_ node: Node, _ name: String) -> HostPort? {
            if let text = node.scalar?.string, let address = HostPort(text) { return address }
            problem(node, "\(name): is HOST:PORT, for example 127.0.0.1:1883")
            return nil
        }

        private mutating func unknown(_ node: Node, _ name: String, among known: [String]) {
            let hint = Suggestion.nearest(to: name, in: known).map { " (did you mean \"\($0)\"?)" } ?? ""
            problem(node, "unknown setting \"\(name)\"\(hint); there are: \(known.joined(separator: ", "))")
        }

        private mutating func problem(_ node: Node, _ text: String) {
            let place = node.mark.map { ":\($0.line):\($0.column)" } ?? ""
            problems.append("\(path)\(place): \(text)")
        }
    }
}
