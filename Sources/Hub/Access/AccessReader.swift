import Access
import Platform
import Telemetry
import Yams

/// Reads `users:`, `acl:` and `anonymous:` of the configuration file.
///
/// ```yaml
/// users: users                      # a file that `headend user` writes
/// acl:                              # or the name of a file with such a list
///   - { allow: publish, user: gateway-1, topic: devices/# }
///   - { deny: both, client: "test-*", topic: [plant/#, "$SYS/#"] }
///   - { allow: subscribe, anonymous: true, topic: public/%c/# }
/// anonymous: false
/// ```
struct AccessReader {
    private static let keys = ["allow", "deny", "user", "client", "anonymous", "topic"]
    /// Users, clients or topics of one rule at most.
    private static let namesMax = 1_000

    let path: String
    let files: any FileStore
    private(set) var settings = AccessSettings()
    /// What is wrong, each with its place.
    private(set) var problems: [String] = []

    init(path: String, files: any FileStore) {
        self.path = path
        self.files = files
    }

    mutating func readUsers(_ node: Node) {
        guard let name = node.scalar?.string, !name.isEmpty else {
            return problem(node, "users: is the name of a file that `headend user add` writes")
        }
        do {
            settings.users = try UserFile.read(name, files: files)
        } catch let error as UserFile.Problems {
            problems += error.lines
        } catch {
            problem(node, "users: \(error); make it with: headend user add NAME --file \(name)")
        }
    }

    mutating func readAnonymous(_ node: Node) {
        settings.anonymous = flag(node, "anonymous")
    }

    mutating func readList(_ node: Node) {
        settings.rules = []
        if let name = node.scalar?.string, !name.isEmpty { return readFile(name, node) }
        settings.rules = rules(node, path)
    }

    private mutating func readFile(_ name: String, _ node: Node) {
        do {
            let text = String(decoding: try files.contents(of: name), as: UTF8.self)
            guard let list = try ConfigurationText.compose(text, path: name) else { return }
            settings.rules = rules(list, name)
        } catch let mistake as ConfigurationText.Mistake {
            problems.append(mistake.line)
        } catch {
            problem(node, "acl: \(error)")
        }
    }

    private mutating func rules(_ node: Node, _ file: String) -> [AccessRule] {
        guard let entries = node.sequence else {
            problem(
                node, "acl: is a list of rules, for example [{ allow: publish, user: gw, topic: devices/# }]",
                in: file)
            return []
        }
        let rules = entries.compactMap { rule($0, file) }
        let general = rules.filter { $0.subject.users?.contains { $0.contains("*") } ?? true }
        if rules.count > AccessRules.rulesMax - 1_000 {
            problem(node, "acl: has at most \(AccessRules.rulesMax - 1_000) rules", in: file)
            return []
        }
        if general.count > AccessRules.generalRulesMax {
            problem(
                node,
                "acl: has at most \(AccessRules.generalRulesMax) rules that name no user; give "
                    + "the others a user:", in: file)
            return []
        }
        return rules
    }

    private mutating func rule(_ node: Node, _ file: String) -> AccessRule? {
        guard let mapping = node.mapping else {
            problem(
                node, "a rule is a map, for example { allow: publish, user: gw, topic: devices/# }", in: file)
            return nil
        }
        var effect: (AccessRule.Effect, AccessRule.Action)?
        var subject = AccessRule.Subject()
        var patterns: [AccessPattern] = []
        let before = problems.count
        for (key, value) in mapping {
            let name = key.string ?? ""
            switch name {
            case "allow", "deny":
                guard effect == nil else {
                    problem(key, "a rule allows or denies, not both", in: file)
                    continue
                }
                let what = value.scalar?.string ?? ""
                guard let action = AccessRule.Action(rawValue: what) else {
                    problem(value, "\(name): is publish, subscribe or both\(Self.hint(what))", in: file)
                    continue
                }
                effect = (name == "allow" ? .allow : .deny, action)
            case "user": subject.users = names(value, name, file)
            case "client": subject.clients = names(value, name, file)
            case "anonymous": subject.isAnonymous = flag(value, name, in: file)
            case "topic": patterns = topics(value, file)
            default:
                let hint =
                    Suggestion.nearest(to: name, in: Self.keys).map { " (did you mean \"\($0)\"?)" } ?? ""
                problem(
                    key,
                    "unknown setting \"\(name)\"\(hint); there are: \(Self.keys.joined(separator: ", "))",
                    in: file)
            }
        }
        guard problems.count == before else { return nil }
        guard let effect else {
            problem(node, "a rule needs allow: or deny: with publish, subscribe or both", in: file)
            return nil
        }
        guard !patterns.isEmpty else {
            problem(node, "a rule needs topic:, a topic filter or a list of them", in: file)
            return nil
        }
        if subject.isAnonymous == true, subject.users != nil {
            problem(node, "anonymous: true is about clients without a user: leave user: out", in: file)
            return nil
        }
        let place = file + (node.mark.map { ":\($0.line)" } ?? "")
        return AccessRule(effect.0, effect.1, subject, patterns: patterns, place: place)
    }

    private static func hint(_ text: String) -> String {
        let all = AccessRule.Action.allCases.map(\.rawValue)
        return Suggestion.nearest(to: text, in: all).map { " (did you mean \"\($0)\"?)" } ?? ""
    }

    private mutating func names(_ node: Node, _ name: String, _ file: String) -> [String]? {
        let texts = node.sequence.map { $0.map { $0.scalar?.string ?? "" } } ?? [node.scalar?.string ?? ""]
        guard !texts.isEmpty, texts.count <= Self.namesMax, texts.allSatisfy({ !$0.isEmpty }) else {
            problem(
                node, "\(name): is a name, with * for any text, or a list of up to \(Self.namesMax)", in: file
            )
            return nil
        }
        return texts
    }

    private mutating func topics(_ node: Node, _ file: String) -> [AccessPattern] {
        let entries = node.sequence.map { Array($0) } ?? [node]
        guard !entries.isEmpty, entries.count <= Self.namesMax else {
            problem(node, "topic: has 1 to \(Self.namesMax) topic filters", in: file)
            return []
        }
        var patterns: [AccessPattern] = []
        for entry in entries {
            guard let text = entry.scalar?.string else {
                problem(entry, "topic: is a topic filter, in quotes when it begins with +, # or %", in: file)
                continue
            }
            do {
                patterns.append(try AccessPattern(text))
            } catch {
                problem(entry, "topic: \(error)", in: file)
            }
        }
        return patterns
    }

    private mutating func flag(_ node: Node, _ name: String, in file: String? = nil) -> Bool? {
        switch node.scalar?.string {
        case "true", "yes", "on": return true
        case "false", "no", "off": return false
        default:
            problem(node, "\(name): is true or false", in: file)
            return nil
        }
    }

    private mutating func problem(_ node: Node, _ text: String, in file: String? = nil) {
        problems.append((file ?? path) + (node.mark.map { ":\($0.line):\($0.column)" } ?? "") + ": " + text)
    }
}
