/// Who a client is, as the rules see it: its client identifier, and the name it proved.
package final class ClientIdentity: Sendable {
    /// The client identifier, never empty: the one the hub assigned when the client sent none.
    package let client: String
    /// The name in the certificate, else the user name whose password was right; nil for an anonymous client.
    package let user: String?
    /// `user` stands in a certificate that the client proved to own.
    package let hasCertificate: Bool

    let clientName: Name
    let userName: Name?

    /// - Parameter user: an empty name is none.
    package init(client: String, user: String? = nil, hasCertificate: Bool = false) {
        let user = user == "" ? nil : user
        self.client = client
        self.user = user
        self.hasCertificate = hasCertificate && user != nil
        clientName = Name(client)
        userName = user.map(Name.init)
    }

    /// A name that stands for `%c` or `%u` in a rule's topic.
    struct Name: Sendable {
        let bytes: [UInt8]
        /// It has a character that means something in a topic filter, so it stands for no level: a client that
        /// calls itself `+` or `a/b` must not make a rule wider.
        let isVoid: Bool
        /// Such topics belong to the hub; a name is not a way to them.
        let beginsWithDollar: Bool

        init(_ text: String) {
            bytes = Array(text.utf8)
            isVoid = bytes.isEmpty || bytes.contains { $0 == 0x2B || $0 == 0x23 || $0 == 0x2F || $0 == 0 }
            beginsWithDollar = bytes.first == 0x24
        }
    }
}
