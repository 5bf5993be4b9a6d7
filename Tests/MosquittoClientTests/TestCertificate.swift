import Foundation

/// A self-signed certificate for `localhost`, made by openssl.
final class TestCertificate {
    static let isAvailable = FileManager.default.isExecutableFile(atPath: "/usr/bin/openssl")
    let certificateFile: String
    let brokerLines: [String]
    private let directory: URL

    init() throws {
        directory = FileManager.default.temporaryDirectory.appending(path: "certificate-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        certificateFile = directory.appending(path: "certificate.pem").path
        let keyFile = directory.appending(path: "key.pem").path
        brokerLines = ["certfile \(certificateFile)", "keyfile \(keyFile)"]
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/openssl")
        process.arguments = [
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost", "-keyout", keyFile, "-out", certificateFile,
        ]
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
    }

    deinit { try? FileManager.default.removeItem(at: directory) }
}
