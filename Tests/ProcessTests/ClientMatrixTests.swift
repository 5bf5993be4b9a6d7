import Foundation
import Glibc
import Testing

@Suite("Client libraries that people use", .ownThread, .timeLimit(.minutes(3)))
struct ClientMatrixTests {
    /// Programs at a time: most of what they do is waiting for each other.
    private static let parallel = 4
    private static let rowSeconds = 60.0

    @Test("every library does everything it has, in both versions, over every transport")
    func matrix() throws {
        let certificates = try Certificates()
        let hub = try HubProcess(configuration: Self.configuration(certificates))
        var urls: [ClientMatrix.Transport: String] = [.tcp: "mqtt://127.0.0.1:\(hub.mqttPort)"]
        urls[.ws] = hub.listeners("ws").first.map { "ws://\($0)/mqtt" }
        urls[.wss] = hub.listeners("wss").first.map { "wss://\($0)/mqtt" }
        urls[.tls] = hub.listeners("mqtts").first.map { "mqtts://\($0)" }
        urls[.mtls] = hub.listeners("mqtts").dropFirst().first.map { "mqtts://\($0)" }
        let programs = try ClientPrograms(urls: urls, certificates: certificates)
        for (library, what) in programs.missing.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            print("skipped: \(library.rawValue) needs \(what) (scripts/bootstrap --with-tests)")
        }
        let transports = ClientMatrix.Transport.allCases.filter { urls[$0] != nil }
        if certificates != nil { #expect(transports.count == 5, "\(hub.transcript)") }

        var matrix = ClientMatrix()
        try run(
            ClientMatrix.rows(transports).filter { programs.missing[$0.library] == nil }, programs, &matrix)
        try checkTelemetry(hub, &matrix)
        #expect(matrix.failures.isEmpty, "\(matrix.table)")
        #expect(hub.isRunning, "\(hub.transcript)")
        #expect(try hub.status()["protocolErrors"] as? [String: Int] == [:])
        #expect(try hub.stop() == 0, "\(hub.transcript)")
    }

    private static func configuration(_ certificates: Certificates?) -> String {
        var text = "listeners:\n  - { type: ws, address: \"127.0.0.1:0\" }\n"
        guard let certificates else { return text }
        let (certificate, key) = certificates.server
        let own = "address: \"127.0.0.1:0\", certificate: \(certificate), key: \(key)"
        text += "  - { type: wss, \(own) }\n  - { type: mqtts, \(own) }\n"
        text += "  - { type: mqtts, \(own), client_ca: \(certificates.authority) }\n"
        return text
    }

    private func run(
        _ rows: [ClientMatrix.Row], _ programs: ClientPrograms, _ matrix: inout ClientMatrix
    ) throws {
        var waiting = rows[...]
        var running: [(row: ClientMatrix.Row, process: ChildProcess, start: Double)] = []
        while !waiting.isEmpty || !running.isEmpty {
            while running.count < Self.parallel, let row = waiting.popFirst() {
                running.append((row, try programs.start(row), monotonicSeconds()))
            }
            for (index, entry) in running.enumerated().reversed() {
                let seconds = monotonicSeconds() - entry.start
                if entry.process.exitStatus == nil, seconds < Self.rowSeconds { continue }
                entry.process.kill()
                matrix.record(entry.row, entry.process, status: entry.process.exitStatus, seconds: seconds)
                running.remove(at: index)
            }
            Glibc.poll(nil, 0, 5)
        }
    }

    /// Each row's device has each of its readings once, whatever its QoS was and however often it came.
    private func checkTelemetry(_ hub: HubProcess, _ matrix: inout ClientMatrix) throws {
        for row in matrix.rows {
            let path = "/api/v1/devices/\(row.prefix)"
            let stored = try poll(seconds: 5) { () -> Int? in
                guard hub.text(path).contains("records") else { return nil }
                let count = try hub.object(path)["records"] as? Int
                return count == ClientMatrix.readingsStored ? count : nil
            }
            // A device that sent nothing is not there.
            let records = (try? hub.array(path + "/records")) ?? []
            let found = records.compactMap { $0["messageId"] as? String }
            let expected = (0..<ClientMatrix.readingsStored).map { "\(row.prefix)-\($0)" }
            if stored == nil || found != expected {
                matrix.fail(row, "telemetry", "stored \(found) instead of \(expected)")
            }
        }
    }
}
