import NIOSSL
import Platform
import SwiftASN1
import Synchronization
import X509

/// The certificate of a listener, and what it asks of its clients: read at the start and again on request.
final class TLSIdentity: Sendable {
    private let settings: ListenerSettings
    private let files: any FileStore
    private let context: Mutex<NIOSSLContext>

    /// - Throws: `HubError` with the listener's place, the file and what to do; `isInput` when a file was read and
    ///   is of no use.
    init(_ settings: ListenerSettings, files: any FileStore) throws(HubError) {
        self.settings = settings
        self.files = files
        context = Mutex(try Self.read(settings, files))
    }

    /// What a new connection uses.
    var current: NIOSSLContext { context.withLock { $0 } }

    /// Reads the files again. Connections that are there keep what they have.
    ///
    /// - Throws: as `init`; new connections go on with what was read before.
    func reload() throws(HubError) {
        let fresh = try Self.read(settings, files)
        context.withLock { $0 = fresh }
    }

    private static func read(
        _ settings: ListenerSettings, _ files: any FileStore
    ) throws(HubError) -> NIOSSLContext {
        let chain = try read(settings, files, "certificate", settings.certificate, certificates)
        let key = try read(settings, files, "key", settings.key) { bytes in
            try? NIOSSLPrivateKey(bytes: bytes, format: .pem)
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        // RFC 8996: TLS 1.0 and 1.1 are not to be used.
        configuration.minimumTLSVersion = .tlsv12
        if settings.clientCertificate != .none {
            let roots = try read(settings, files, "client_ca", settings.clientCA, certificates)
            configuration.trustRoots = .certificates(roots)
            configuration.certificateVerification =
                settings.clientCertificate == .required ? .noHostnameVerification : .optionalVerification
            configuration.sendCANameList = true
        }
        do {
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw problem(
                settings, "key", settings.key,
                "does not belong to the certificate \(settings.certificate ?? ""), or one of them is not usable"
            )
        }
    }

    private static func certificates(_ bytes: [UInt8]) -> [NIOSSLCertificate]? {
        let all = (try? NIOSSLCertificate.fromPEMBytes(bytes)) ?? []
        return all.isEmpty ? nil : all
    }

    /// What the library says of a file is not passed on: it could show what is in it.
    private static func read<Value>(
        _ settings: ListenerSettings, _ files: any FileStore, _ name: String, _ path: String?,
        _ body: ([UInt8]) -> Value?
    ) throws(HubError) -> Value {
        guard let path else { throw problem(settings, name, path, "no file is given") }
        let bytes: [UInt8]
        do {
            bytes = Array(try files.contents(of: path))
        } catch {
            throw HubError("\(settings.place): \(name): \(error)")
        }
        if let value = body(bytes) { return value }
        throw problem(
            settings, name, path,
            name == "key"
                ? "holds no key, or one with a passphrase; it must be PEM (-----BEGIN PRIVATE KEY-----)"
                : "holds no certificate; it must be PEM (-----BEGIN CERTIFICATE-----)")
    }

    private static func problem(
        _ settings: ListenerSettings, _ name: String, _ path: String?, _ text: String
    ) -> HubError {
        HubError("\(settings.place): \(name): \(path ?? "") \(text)", isInput: true)
    }
}

/// The name of a client in the certificate that it proved to own.
enum CertificateName {
    /// - Returns: nil when the certificate has no such name.
    static func name(
        in certificate: NIOSSLCertificate, _ identity: ListenerSettings.CertificateIdentity
    ) -> String? {
        guard let bytes = try? certificate.toDERBytes(), let parsed = try? Certificate(derEncoded: bytes)
        else { return nil }
        let name: String?
        switch identity {
        case .subject: name = parsed.subject.description
        case .commonName:
            name = parsed.subject.flatMap { Array($0) }.last { $0.type == .RDNAttributeType.commonName }
                .map { String(describing: $0.value) }
        case .san: name = alternativeName(parsed)
        }
        guard let name, !name.isEmpty, !name.unicodeScalars.contains(where: { $0.value < 0x20 }) else {
            return nil
        }
        return name
    }

    private static func alternativeName(_ certificate: Certificate) -> String? {
        guard let names = try? certificate.extensions.subjectAlternativeNames else { return nil }
        var uri: String?
        for case let name in names {
            if case .dnsName(let text) = name { return text }
            if case .uniformResourceIdentifier(let text) = name, uri == nil { uri = text }
        }
        return uri
    }
}
