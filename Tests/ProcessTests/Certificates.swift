import Foundation
import Testing

/// An authority with a certificate for a hub on this machine and one for a client, made by `openssl` for one test.
struct Certificates {
    let directory: TemporaryDirectory
    var authority: String { directory.path + "/ca.pem" }
    var server: (certificate: String, key: String) {
        (directory.path + "/server.pem", directory.path + "/server.key")
    }
    var client: (certificate: String, key: String) {
        (directory.path + "/client.pem", directory.path + "/client.key")
    }

    /// - Returns: nil, with a line that says so, when there is no `openssl`.
    init?() throws {
        guard Programs.areInstalled(Programs.openssl) else { return nil }
        directory = try TemporaryDirectory()
        try openssl(
            ["req", "-x509", "-days", "2", "-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.pem"]
                + Self.newKey)
        try issue("server", name: "localhost", extensions: "subjectAltName=IP:127.0.0.1,DNS:localhost")
        try issue("client", name: "device-7", extensions: "extendedKeyUsage=clientAuth")
    }

    private static let newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

    private func issue(_ file: String, name: String, extensions: String) throws {
        try openssl(
            ["req", "-subj", "/CN=\(name)", "-keyout", file + ".key", "-out", file + ".csr"] + Self.newKey)
        try directory.write(file + ".ext", extensions + "\n")
        try openssl([
            "x509", "-req", "-days", "2", "-in", file + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-extfile", file + ".ext", "-out", file + ".pem",
        ])
    }

    private func openssl(_ words: [String]) throws {
        let inDirectory = words.map { word in
            [".pem", ".key", ".csr", ".ext"].contains { word.hasSuffix($0) }
                ? "\(directory.path)/\(word)" : word
        }
        let ended = try run(Programs.openssl, inDirectory)
        guard ended.status == 0 else { throw ProcessFailure(description: ended.transcript) }
    }
}
