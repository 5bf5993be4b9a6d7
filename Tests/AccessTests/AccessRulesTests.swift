import Testing

@testable import Access

@Suite("The access list")
struct AccessRulesTests {
    private func rule(
        _ effect: AccessRule.Effect, _ action: AccessRule.Action, _ topics: [String], users: [String]? = nil,
        clients: [String]? = nil, anonymous: Bool? = nil, place: String
    ) throws -> AccessRule {
        var subject = AccessRule.Subject()
        subject.users = users
        subject.clients = clients
        subject.isAnonymous = anonymous
        return AccessRule(
            effect, action, subject, patterns: try topics.map { try AccessPattern($0) }, place: place)
    }

    @Test("the first rule that is about it decides, and none means no")
    func order() throws {
        let rules = AccessRules([
            try rule(.deny, .publish, ["plant/secret/#"], place: "1"),
            try rule(.allow, .publish, ["plant/#"], users: ["gw"], place: "2"),
            try rule(.deny, .both, ["plant/#"], place: "3"),
            try rule(.allow, .publish, ["#"], place: "4"),
        ])
        let gateway = rules.rights(of: ClientIdentity(client: "x", user: "gw"))
        let other = rules.rights(of: ClientIdentity(client: "x", user: "other"))
        #expect(gateway.decisionToPublish("plant/secret/a").rule?.place == "1")
        #expect(gateway.decisionToPublish("plant/a") == .init(isAllowed: true, rule: rules.rules[1]))
        #expect(other.decisionToPublish("plant/a") == .init(isAllowed: false, rule: rules.rules[2]))
        #expect(other.decisionToPublish("a").isAllowed)
        #expect(other.decisionToSubscribe("a") == .init(isAllowed: false, rule: nil))
    }

    @Test("rules that name their users, and those that do not, keep their order among each other")
    func byName() throws {
        let rules = AccessRules([
            try rule(.deny, .publish, ["a"], users: ["u*"], place: "1"),
            try rule(.allow, .publish, ["a", "b"], users: ["u1", "v"], place: "2"),
            try rule(.deny, .publish, ["b"], place: "3"),
        ])
        let user = rules.rights(of: ClientIdentity(client: "c", user: "u1"))
        #expect(user.decisionToPublish("a").rule?.place == "1")
        #expect(user.decisionToPublish("b").rule?.place == "2")
        #expect(rules.rights(of: ClientIdentity(client: "c", user: "v")).decisionToPublish("a").isAllowed)
        #expect(rules.rights(of: ClientIdentity(client: "c")).decisionToPublish("b").rule?.place == "3")
    }

    @Test("a rule may be for anonymous clients, for names with a star, and for certificates")
    func subjects() throws {
        var certificates = AccessRule.Subject()
        certificates.hasCertificate = true
        let rules = AccessRules([
            try rule(.allow, .publish, ["anonymous"], anonymous: true, place: "1"),
            try rule(.allow, .publish, ["test"], clients: ["test-*-x"], place: "2"),
            AccessRule(.allow, .publish, certificates, patterns: [try AccessPattern("c/%u")], place: "3"),
        ])
        let anonymous = rules.rights(of: ClientIdentity(client: "test-1-x", user: ""))
        #expect(anonymous.decisionToPublish("anonymous").isAllowed)
        #expect(anonymous.decisionToPublish("test").isAllowed)
        #expect(!anonymous.decisionToPublish("c/").isAllowed)
        let user = rules.rights(of: ClientIdentity(client: "test-1-y", user: "u"))
        #expect(!user.decisionToPublish("anonymous").isAllowed)
        #expect(!user.decisionToPublish("test").isAllowed)
        #expect(!user.decisionToPublish("c/u").isAllowed)
        let certified = rules.rights(of: ClientIdentity(client: "x", user: "u", hasCertificate: true))
        #expect(certified.decisionToPublish("c/u").isAllowed)
    }

    @Test("a subscription stands when an earlier rule denies only a part, which is kept back")
    func partial() throws {
        let rules = AccessRules([
            try rule(.deny, .subscribe, ["secret/#"], place: "1"), try rule(.allow, .both, ["#"], place: "2"),
        ])
        let rights = rules.rights(of: ClientIdentity(client: "c"))
        let all = rights.decisionToSubscribe("#")
        #expect(all.isAllowed)
        #expect(all.isPartial)
        #expect(!rights.decisionToSubscribe("secret/x").isAllowed)
        #expect(!rights.decisionToSubscribe("$share/g/secret/#").isAllowed)
        let shared = rights.decisionToSubscribe("$share/g/open/#")
        #expect(shared.isAllowed)
        #expect(!shared.isPartial)
        #expect(Array("secret/x".utf8).withUnsafeBytes { !rights.mayReceive($0) })
        #expect(Array("open/x".utf8).withUnsafeBytes { rights.mayReceive($0) })
        #expect(Array("secret/x".utf8).withUnsafeBytes { rights.mayPublish($0) })
    }

    @Test("a device of more than one level is the client's when the levels spell its name")
    func devices() throws {
        let rules = AccessRules([
            AccessRule(
                .allow, .publish, patterns: [try AccessPattern("telemetry/+/+")], place: "1",
                device: [.level(1), .text(":"), .level(2)])
        ])
        let rights = rules.rights(of: ClientIdentity(client: "t1:d1"))
        #expect(rights.decisionToPublish("telemetry/t1/d1").isAllowed)
        #expect(!rights.decisionToPublish("telemetry/t1/d2").isAllowed)
        #expect(!rights.decisionToPublish("telemetry/t1:d1/").isAllowed)
        #expect(!rights.decisionToSubscribe("telemetry/t1/d1").isAllowed)
    }

    @Test(
        "a star stands for any text",
        arguments: [
            ("*", "", true), ("*", "abc", true), ("a*", "abc", true), ("*c", "abc", true),
            ("a*c", "abc", true),
            ("a*b*c", "aXbYc", true), ("a*b*c", "aXcYb", false), ("abc", "abcd", false), ("a**c", "ac", true),
        ])
    func stars(_ pattern: String, _ text: String, _ matches: Bool) {
        #expect(Glob.matches(pattern, text) == matches)
    }
}
