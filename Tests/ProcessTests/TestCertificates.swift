import Foundation
import Testing

/// A certificate authority and what it signed, made by `openssl` in a folder.
struct TestCertificates {
    static let openssl = "/usr/bin/openssl"

    let folder: TemporaryDirectory
    private var directory: String { folder.path }
    var authority: String { directory + "/ca.crt" }

    /// Makes the authority and a certificate for a hub on this machine: `hub.crt`, `hub.key`.
    init(in folder: TemporaryDirectory) throws {
        self.folder = folder
        try Self.openssl([
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
            directory + "/ca.key", "-out", directory + "/ca.crt", "-days", "2", "-subj", "/CN=Test authority",
        ])
        try make("hub", subject: "/CN=localhost", names: "DNS:localhost,IP:127.0.0.1")
    }

    func certificate(_ name: String) -> String { directory + "/\(name).crt" }
    func key(_ name: String) -> String { directory + "/\(name).key" }

    /// Makes `<name>.crt` and `<name>.key`.
    func make(_ name: String, subject: String, names: String? = nil) throws {
        let request = directory + "/\(name).csr"
        try Self.openssl([
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
            key(name), "-out", request, "-subj", subject,
        ])
        let extensions = directory + "/\(name).ext"
        try (names.map { "subjectAltName=\($0)\n" } ?? "\n").write(
            toFile: extensions, atomically: true, encoding: .utf8)
        try Self.openssl([
            "x509", "-req", "-in", request, "-CA", authority, "-CAkey", directory + "/ca.key",
            "-CAcreateserial", "-out", certificate(name), "-days", "2", "-extfile", extensions,
        ])
    }

    private static func openssl(_ arguments: [String]) throws {
        let ended = try run(openssl, arguments)
        try #require(ended.status == 0, "openssl: \(ended.transcript)")
    }
}
