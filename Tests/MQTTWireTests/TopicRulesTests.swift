import MQTTWire
import Testing

@Suite("Topic names and filters")
struct TopicRulesTests {
    @Test(
        "A topic filter has wildcards only as whole levels, # only as the last",
        arguments: [
            "a", "/", "//", "a/b", "/a", "a/", "+", "#", "+/+", "a/+/b", "a/#", "/#", "+/#", "$SYS/#",
            "a b/ü", "$share/g/t", "$share/g/#", "$share/g/+/t", "$share/g//", "$share", "$shared/x/+",
        ])
    func validFilters(_ filter: String) {
        #expect(validateTopicFilter(filter))
    }

    @Test(
        "Anything else is no topic filter",
        arguments: [
            "", "a+", "+a", "a/b+", "a/+b/c", "a#", "#a", "#/a", "a/#/b", "a/#b", "##", "++", "+#", "#+",
            "a\0b", "$share/", "$share//", "$share/g", "$share/g/", "$share//t", "$share/+/t", "$share/#/t",
            "$share/a+/t", "$share/g/a#", "$share/g/#/a", "$share/g\0/t",
        ])
    func invalidFilters(_ filter: String) {
        #expect(!validateTopicFilter(filter))
    }

    @Test("A topic filter has at most 65,535 bytes")
    func filterLength() {
        #expect(validateTopicFilter(String(repeating: "x", count: 65_535)))
        #expect(!validateTopicFilter(String(repeating: "x", count: 65_536)))
    }

    private func reason(_ name: [UInt8]) -> ReasonCode? {
        name.withUnsafeBytes { validateTopicName($0)?.reason }
    }

    @Test(
        "A topic name is any text but a wildcard",
        arguments: [
            "a", "/", " ", "a/b/c", "devices/ü-1/messages", "\u{FEFF}x", "\u{1}", "\u{7F}", "\u{80}",
            "\u{7FF}",
            "\u{800}", "\u{D7FF}", "\u{E000}", "\u{FFFF}", "\u{10000}", "\u{10FFFF}", "12345678/ü/12345678",
        ])
    func validNames(_ name: String) {
        #expect(reason([UInt8](name.utf8)) == nil)
    }

    @Test("A topic name that is empty, has a wildcard or bad UTF-8 is refused with its reason")
    func invalidNames() {
        #expect(reason([]) == .protocolError)
        for name in ["+", "#", "a/+", "a/#", "a+b", "12345678#"] {
            #expect(reason([UInt8](name.utf8)) == .topicNameInvalid)
        }
        for name in badUTF8 { #expect(reason(bytes(name)) == .malformedPacket, "\(name)") }
    }

    /// Ill-formed by Unicode table 3-7, or with U+0000; the last ones behind eight and in the middle of eight
    /// good bytes, where they meet the word-wise check.
    private let badUTF8 = [
        "00", "80", "BF", "C0AF", "C080", "C1BF", "C2", "C241", "E08080", "E09FBF", "E0A0", "E282", "E28241",
        "EDA080", "EDBFBF", "F0808080", "F08FBFBF", "F09F98", "F4908080", "F5808080", "F8888080", "FE", "FF",
        "4142434445464748 00", "41424344 00 454647", "4142434445464748 80", "41424344 FF 454647",
        "00 41424344454647", "41424344454647 00", "0100010101010101",
    ]

    @Test("The UTF-8 check agrees with the standard library on random bytes", arguments: 0..<20)
    func agreesWithStandardLibrary(_ seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        for _ in 0..<2_000 {
            let candidate = random.almostText()
            let isText = String(validating: candidate, as: UTF8.self) != nil && !candidate.contains(0)
            #expect((reason(candidate) == nil) == isText, "\(hex(candidate))")
        }
    }
}

extension SeededRandom {
    /// 1 to 24 bytes without wildcards: mostly good UTF-8, often with one byte changed.
    fileprivate mutating func almostText() -> [UInt8] {
        var text: [UInt8] = []
        for _ in 0...below(8) {
            let scalars: [Unicode.Scalar] = ["a", "/", "\u{7F}", "ü", "\u{800}", "€", "\u{E000}", "😀"]
            text += [UInt8](String(scalars[below(scalars.count)]).utf8)
        }
        if chance(2) { text[below(text.count)] = UInt8(below(256)) }
        return text.map { $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "#") ? 0x61 : $0 }
    }
}
