import Testing

@testable import Access

@Suite("Users and their passwords")
struct UserTests {
    private static let salt = (0..<16).map { UInt8($0) }

    private func hash(_ password: String, cost: Int = 10) throws -> PasswordHash {
        try PasswordHash(password: Array(password.utf8), salt: Self.salt, cost: cost)
    }

    @Test("a hash is written as it was always written, and knows its password")
    func golden() throws {
        let hash = try hash("correct horse")
        #expect(
            hash.description
                == "$scrypt$ln=10,r=8,p=1$AAECAwQFBgcICQoLDA0ODw==$nfkj3u1fRTHCea+fVr03sWV770kp5wLOLoEakziKhqE="
        )
        let read = try #require(PasswordHash(hash.description))
        #expect(read == hash)
        #expect(read.matches(Array("correct horse".utf8)))
        #expect(!read.matches(Array("correct horsf".utf8)))
        #expect(!read.matches([]))
    }

    /// RFC 7914 §12, the vector with N = 16384, r = 8, p = 1; the first 32 of its 64 bytes.
    @Test("the hash is scrypt's of RFC 7914")
    func standard() throws {
        let text = "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU=$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI="
        let hash = try #require(PasswordHash(text))
        #expect(hash.matches(Array("pleaseletmein".utf8)))
    }

    @Test(
        "what is no hash, or would take too much memory, is none",
        arguments: [
            "", "secret", "$scrypt$", "$scrypt$ln=20,r=8,p=1$AAECAwQFBgcICQoLDA0ODw==$AA==",
            "$argon2$ln=10,r=8,p=1$AAECAwQFBgcICQoLDA0ODw==$AA==", "$scrypt$ln=10,r=8$AAECAwQFBgc=$AAAA",
            "$scrypt$ln=10,r=8,p=1,x=1$AAECAwQFBgcICQoLDA0ODw==$AA==",
        ])
    func noHash(_ text: String) { #expect(PasswordHash(text) == nil) }

    @Test("a password has 1 to 1,024 bytes")
    func lengths() throws {
        #expect(throws: PasswordProblem.passwordLength) { try hash("") }
        #expect(throws: PasswordProblem.passwordLength) { try hash(String(repeating: "x", count: 1_025)) }
        let long = try hash(String(repeating: "x", count: 1_024))
        #expect(long.matches([UInt8](repeating: 0x78, count: 1_024)))
    }

    @Test("a users' file is edited line by line, and comments stay")
    func file() throws {
        let first = try hash("one")
        let second = try hash("two")
        var text = UserTable.text("# ours\n", setting: "a", to: first)
        text = UserTable.text(text, setting: "b", to: first)
        text = UserTable.text(text, setting: "a", to: second)
        #expect(text == "# ours\na:\(second)\nb:\(first)\n")
        let table = try UserTable(text)
        #expect(table.names == ["a", "b"])
        #expect(table["a"] == second)
        #expect(table["c"] == nil)
        #expect(UserTable.text(text, setting: "b", to: nil) == "# ours\na:\(second)\n")
    }

    @Test("what is wrong with a users' file is told by line, without what stands there")
    func problems() throws {
        let good = try hash("one").description
        let text = "a:\(good)\nplain:hunter2\nb\na:\(good)\n:\(good)\n"
        #expect(
            throws: UserTable.Problems(lines: [
                (2, "the hash of \"plain\" is not one that `headend user` writes: set it anew"),
                (3, "a line is NAME:HASH; use `headend user add`"), (4, "the user \"a\" stands twice"),
                (5, "a user name has 1 to 256 bytes"),
            ])
        ) { try UserTable(text) }
    }

    @Test("logins take turns by user, and who has too many waits alone")
    func queue() {
        var queue = LoginQueue<String>()
        for number in 0..<20 {
            let isTaken = queue.add("a\(number)", of: "a")
            #expect(isTaken == (number < LoginQueue<String>.loginsPerUserMax))
        }
        for name in ["b", "c"] {
            let isTaken = queue.add(name + "0", of: name)
            #expect(isTaken)
        }
        let first = (0..<4).map { _ in queue.next() }
        #expect(first == ["a0", "b0", "c0", "a1"])
        #expect(queue.count == 14)
        while queue.next() != nil {}
        #expect(queue.count == 0)
        for user in 0..<2_000 {
            let isTaken = queue.add("x", of: "u\(user)")
            #expect(isTaken == (user < 1_024))
        }
        var taken = 0
        while queue.next() != nil { taken += 1 }
        #expect(taken == 1_024)
    }

    @Test("right and wrong passwords are remembered for a while, and forgotten when the users change")
    func cache() {
        var cache = CredentialCache(secret: [1, 2, 3])
        let second: UInt64 = 1_000_000_000
        #expect(cache.outcome(user: "a", password: [1], now: 0) == nil)
        cache.note(user: "a", password: [1], isRight: true, now: 0)
        cache.note(user: "a", password: [2], isRight: false, now: 0)
        #expect(cache.outcome(user: "a", password: [1], now: 599 * second) == true)
        #expect(cache.outcome(user: "a", password: [1], now: 601 * second) == nil)
        #expect(cache.outcome(user: "a", password: [2], now: 59 * second) == false)
        #expect(cache.outcome(user: "a", password: [2], now: 61 * second) == nil)
        #expect(cache.outcome(user: "b", password: [1], now: 0) == nil)
        #expect(cache.outcome(user: "a\u{1}", password: [], now: 0) == nil)
        cache.removeAll()
        #expect(cache.outcome(user: "a", password: [1], now: 0) == nil)
    }
}
