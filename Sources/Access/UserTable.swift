/// Users and the hashes of their passwords, as the users' file has them: one `name:hash` a line.
///
/// ```
/// # made by `headend user add`
/// pump-1:$scrypt$ln=14,r=8,p=1$c2FsdA==$aGFzaA==
/// ```
package struct UserTable: Sendable, Equatable {
    /// Users at most. 1 million: as many as devices; 200 bytes each.
    package static let usersMax = 1_000_000
    /// Bytes of a name at most.
    package static let nameBytesMax = 256

    private var hashes: [String: PasswordHash] = [:]
    /// In the order of the file.
    package private(set) var names: [String] = []

    package init() {}

    /// Everything that is wrong with a users' file: each line with its number, none with its content.
    package struct Problems: Error, Equatable {
        package var lines: [(number: Int, text: String)]

        package static func == (left: Problems, right: Problems) -> Bool {
            left.lines.elementsEqual(right.lines) { $0 == $1 }
        }
    }

    /// Reads the text of a users' file.
    package init(_ text: String) throws(Problems) {
        var problems: [(number: Int, text: String)] = []
        var number = 0
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            number += 1
            let line = line.hasSuffix("\r") ? line.dropLast() : line
            if line.isEmpty || line.hasPrefix("#") { continue }
            guard let colon = line.firstIndex(of: ":") else {
                problems.append((number, "a line is NAME:HASH; use `headend user add`"))
                continue
            }
            let name = String(line[..<colon])
            if let problem = Self.problem(withName: name) {
                problems.append((number, problem))
            } else if hashes[name] != nil {
                problems.append((number, "the user \"\(name)\" stands twice"))
            } else if let hash = PasswordHash(String(line[line.index(after: colon)...])) {
                names.append(name)
                hashes[name] = hash
            } else {
                problems.append(
                    (number, "the hash of \"\(name)\" is not one that `headend user` writes: set it anew"))
            }
            if names.count > Self.usersMax {
                problems.append((number, "there are at most \(Self.usersMax) users"))
                break
            }
        }
        if !problems.isEmpty { throw Problems(lines: problems) }
    }

    /// What is wrong with a name, if anything.
    package static func problem(withName name: String) -> String? {
        guard !name.isEmpty, name.utf8.count <= nameBytesMax else {
            return "a user name has 1 to \(nameBytesMax) bytes"
        }
        guard !name.hasPrefix("#"), !name.utf8.contains(where: { $0 == 0x3A || $0 < 0x20 || $0 == 0x7F })
        else { return "a user name has no colon and no control character, and does not begin with #" }
        return nil
    }

    package subscript(name: String) -> PasswordHash? { hashes[name] }
    package var isEmpty: Bool { names.isEmpty }

    /// The text of a users' file with one user set, or taken out; all else stays as it is, comments too.
    ///
    /// - Parameter hash: nil takes the user out.
    package static func text(_ text: String, setting name: String, to hash: PasswordHash?) -> String {
        precondition(problem(withName: name) == nil)
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        if lines.last == "" { lines.removeLast() }
        let place = lines.firstIndex { $0.hasPrefix(name + ":") }
        switch (place, hash) {
        case (let place?, let hash?): lines[place] = "\(name):\(hash)"
        case (let place?, nil): lines.remove(at: place)
        case (nil, let hash?): lines.append("\(name):\(hash)")
        case (nil, nil): break
        }
        return lines.map { $0 + "\n" }.joined()
    }
}
