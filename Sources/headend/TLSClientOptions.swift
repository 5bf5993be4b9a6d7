import ArgumentParser
import MosquittoClient

/// How a client meets a broker over `mqtts`.
struct TLSClientOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "PEM file with the authorities to trust over mqtts. (default: the system's)", valueName: "file"))
    var ca: String?

    @Option(
        help: ArgumentHelp("PEM file with a certificate to show; needs --client-key.", valueName: "file"))
    var clientCertificate: String?

    @Option(help: ArgumentHelp("PEM file with the key of --client-certificate.", valueName: "file"))
    var clientKey: String?

    /// The certificate to show, if any.
    func certificate() throws -> (file: String, keyFile: String)? {
        switch (clientCertificate, clientKey) {
        case (let file?, let keyFile?): return (file, keyFile)
        case (nil, nil): return nil
        case (nil, _): throw Failure.input("--client-key needs --client-certificate FILE")
        case (_, nil): throw Failure.input("--client-certificate needs --client-key FILE")
        }
    }

    func check(_ broker: BrokerArgument) throws {
        let isUsed = ca != nil || clientCertificate != nil || clientKey != nil
        if isUsed, !broker.url.isSecure {
            throw Failure.input(
                "--hub \(broker.url): certificates need mqtts://, for example mqtts://host:8883")
        }
        _ = try certificate()
    }
}
