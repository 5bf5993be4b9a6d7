import Foundation
import Glibc

/// Other people's client libraries, the versions and transports they are tried with, and what is tried: each row is a
/// program that prints a line a feature (the contract is in Scripts/client_harness.py).
struct ClientMatrix {
    enum Library: String, CaseIterable {
        case mosquitto
        case paho = "paho-python"
        case pahoC = "paho-c"
        case mqttjs = "mqtt.js"
        case aiomqtt
    }

    enum Transport: String, CaseIterable {
        case tcp, tls, mtls, ws, wss
    }

    struct Row {
        var library: Library
        var version: String
        var transport: Transport

        /// What its topics, clients and device begin with.
        var prefix: String { "\(library.rawValue)-\(version)-\(transport.rawValue)" }
    }

    static let features = [
        "qos", "retained", "will", "resume", "large", "shared", "request", "telemetry",
    ]
    /// What each row stores in the queue of its device: every other message is a repetition.
    static let readingsStored = 6

    /// Every library with both versions over every transport it has.
    static func rows(_ transports: [Transport]) -> [Row] {
        transports.flatMap { transport in
            Library.allCases.filter { has($0, transport) }.flatMap { library in
                ["3.1.1", "5.0"].map { Row(library: library, version: $0, transport: transport) }
            }
        }
    }

    private static func has(_ library: Library, _ transport: Transport) -> Bool {
        guard transport == .ws || transport == .wss else { return true }
        // Debian's mosquitto clients have no WebSocket. Paho C has, but all connections of a process share one buffer
        // of received bytes (`frame_buffer` of its WebSocket.c), so two clients, as here, lose each other's packets.
        return library != .mosquitto && library != .pahoC
    }

    /// What a library cannot do; anything else that is not done is a failure.
    static func isMissing(_ feature: String, _ row: Row) -> Bool {
        // Response topics are MQTT 5's; mosquitto_rr asks without one too.
        feature == "request" && row.version == "3.1.1" && row.library != .mosquitto
    }

    /// Answers by row and feature: nil is "ok".
    private(set) var failures: [(row: Row, feature: String, cause: String)] = []
    private var cells: [String: [String: String]] = [:]
    private(set) var rows: [Row] = []
    private var seconds: [String: Double] = [:]

    mutating func record(_ row: Row, _ ended: ChildProcess, status: Int32?, seconds: Double) {
        rows.append(row)
        self.seconds[row.prefix] = seconds
        var words: [String: String] = [:]
        for line in ended.output.split(separator: "\n") {
            let parts = line.split(separator: " ", maxSplits: 1)
            guard parts.count == 2, let feature = parts[1].split(separator: ":").first else { continue }
            words[String(feature)] = String(line)
        }
        for feature in Self.features {
            let line = words[feature] ?? ""
            let expected = Self.isMissing(feature, row) ? "none" : "ok"
            let found = String(line.prefix { $0 != " " })
            cells[row.prefix, default: [:]][feature] = found.isEmpty ? "nothing" : found
            guard found != expected else { continue }
            let cause =
                line.isEmpty
                ? "said nothing, status \(status.map(String.init) ?? "none"): \(ended.transcript.suffix(1_000))"
                : line
            fail(row, feature, cause)
        }
    }

    mutating func fail(_ row: Row, _ feature: String, _ cause: String) {
        cells[row.prefix, default: [:]][feature] = "FAILED"
        failures.append((row, feature, cause))
    }

    /// The whole table, and below it why what failed did.
    var table: String {
        func cell(_ text: String, _ width: Int) -> String {
            text + String(repeating: " ", count: max(1, width - text.count))
        }
        var text = cell("library", 13) + cell("version", 9) + cell("transport", 11)
        text += Self.features.map { cell($0, 10) }.joined() + "seconds\n"
        for row in rows {
            text += cell(row.library.rawValue, 13) + cell(row.version, 9) + cell(row.transport.rawValue, 11)
            text += Self.features.map { cell(cells[row.prefix]?[$0] ?? "", 10) }.joined()
            text += String(format: "%.1f\n", seconds[row.prefix] ?? 0)
        }
        for failure in failures { text += "\(failure.row.prefix): \(failure.feature): \(failure.cause)\n" }
        return text
    }
}

/// How the programs of the matrix are started.
struct ClientPrograms {
    /// Addresses of the hub.
    var urls: [ClientMatrix.Transport: String]
    var certificates: Certificates?
    /// The Paho C program, when there is a compiler and the library.
    private let pahoC: String?
    private let directory: TemporaryDirectory
    let missing: [ClientMatrix.Library: String]

    init(urls: [ClientMatrix.Transport: String], certificates: Certificates?) throws {
        self.urls = urls
        self.certificates = certificates
        directory = try TemporaryDirectory()
        func isThere(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }
        var missing: [ClientMatrix.Library: String] = [:]
        if !isThere(Programs.requester) { missing[.mosquitto] = "mosquitto-clients" }
        if !isThere(Programs.node) || !isThere("/usr/share/nodejs/mqtt") { missing[.mqttjs] = "node-mqtt" }
        for (library, module) in [(ClientMatrix.Library.paho, "paho.mqtt"), (.aiomqtt, "aiomqtt")] {
            let found = try? run(Programs.python, ["-c", "import \(module)"], seconds: 30)
            if found?.status != 0 { missing[library] = module }
        }
        if missing[.paho] != nil { missing[.mosquitto] = "python3" }
        if isThere("/usr/include/MQTTClient.h"), isThere(Programs.compiler) {
            pahoC = directory.path + "/client_paho"
            let built = try run(
                Programs.compiler,
                [
                    "-O1", "-Wall", "-Wextra", "-Werror", "-o", directory.path + "/client_paho",
                    try Programs.script("client_paho", extension: "c"), "-lpaho-mqtt3cs",
                ], seconds: 60)
            guard built.status == 0 else { throw ProcessFailure(description: built.transcript) }
        } else {
            pahoC = nil
            missing[.pahoC] = "libpaho-mqtt-dev"
        }
        self.missing = missing
    }

    func start(_ row: ClientMatrix.Row) throws -> ChildProcess {
        var environment = ["NODE_PATH=/usr/share/nodejs", "PYTHONDONTWRITEBYTECODE=1"]
        if row.transport == .tls || row.transport == .mtls || row.transport == .wss, let certificates {
            environment.append("HEADEND_CA=\(certificates.authority)")
            if row.transport == .mtls {
                environment.append("HEADEND_CERTIFICATE=\(certificates.client.certificate)")
                environment.append("HEADEND_KEY=\(certificates.client.key)")
            }
        }
        guard var url = urls[row.transport] else {
            throw ProcessFailure(description: "no listener for \(row.transport)")
        }
        let program: [String]
        switch row.library {
        case .mosquitto: program = [Programs.python, try Programs.script("client_mosquitto")]
        case .paho: program = [Programs.python, try Programs.script("client_paho")]
        case .aiomqtt: program = [Programs.python, try Programs.script("client_aiomqtt")]
        case .mqttjs: program = [Programs.node, try Programs.script("client_mqttjs", extension: "js")]
        case .pahoC:
            program = [pahoC ?? ""]
            // Its names: tcp and ssl for mqtt and mqtts.
            url = url.replacing("mqtts://", with: "ssl://").replacing("mqtt://", with: "tcp://")
        }
        return try ChildProcess(
            "/usr/bin/env",
            environment + program + [url, row.version, row.prefix] + ClientMatrix.features,
            directory: directory.path, label: row.prefix)
    }
}
