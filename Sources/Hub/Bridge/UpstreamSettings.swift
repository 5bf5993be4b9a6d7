package import Bridge
package import MosquittoClient
import Platform

/// An existing broker that the hub takes messages from and mirrors topics with: one entry of `upstream:`.
package struct UpstreamSettings: Sendable {
    /// Unique among the bridges; it names the folder, the metrics and the `$SYS` topic.
    package var name: String
    package var url: MosquittoURL
    /// Its first line is the password, with the user in the URL.
    package var passwordFile: String?
    /// PEM with the authorities to trust; nil trusts the system's.
    package var authorityFile: String?
    package var certificateFile: String?
    package var keyFile: String?
    /// nil for one made of the hub's identity and the name: the other broker keeps the session under it.
    package var clientIdentifier: String?
    package var version = MosquittoVersion.v5
    package var keepAliveSeconds: UInt16 = 60
    package var rules: [BridgeRule] = []
    package var bufferBytesMax = BridgeBufferLimits().bytesMax
    /// Where the other broker says, retained, whether the hub is there: `1`, or `0` from its will.
    package var notificationTopic: String?

    package init(name: String, url: MosquittoURL) {
        self.name = name
        self.url = url
    }

    /// The client identifier at the other broker.
    ///
    /// - Parameter hub: the identity of the data directory.
    func identifier(hub: String) -> String { clientIdentifier ?? "headend-\(hub)-\(name)" }

    /// Without duplicates, in the order of the rules.
    var remoteSubscriptions: [(filter: String, qos: UInt8)] {
        Self.unique(rules.filter(\.isInward).map { ($0.remoteSubscription, $0.qos) })
    }

    var localSubscriptions: [(filter: String, qos: UInt8)] {
        Self.unique(rules.filter(\.isOutward).map { ($0.localFilter, $0.qos) })
    }

    private static func unique(_ all: [(String, UInt8)]) -> [(filter: String, qos: UInt8)] {
        var found: [(filter: String, qos: UInt8)] = []
        for (filter, qos) in all {
            if let index = found.firstIndex(where: { $0.filter == filter }) {
                found[index].qos = max(found[index].qos, qos)
            } else {
                found.append((filter, qos))
            }
        }
        return found
    }

    /// The password, read anew for each client so that a changed file is taken up.
    ///
    /// - Throws: what is wrong with the file, without its contents.
    func password() throws(HubError) -> String? {
        guard let passwordFile else { return url.password }
        do {
            let bytes = try PosixFileStore().contents(of: passwordFile)
            let line = bytes.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
            guard !line.isEmpty else {
                throw HubError("\(passwordFile): its first line, the password, is empty", isInput: true)
            }
            return String(decoding: line, as: UTF8.self)
        } catch let error as HubError {
            throw error
        } catch {
            throw HubError("\(error)")
        }
    }
}
