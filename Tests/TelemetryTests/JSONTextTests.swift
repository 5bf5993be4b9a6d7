import Telemetry
import Testing

@Suite struct JSONTextTests {
    /// Byte by byte, as RFC 8259 §7 has it.
    private static func plainly(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case "\r": quoted += "\\r"
            case "\t": quoted += "\\t"
            case "\u{0}"..<"\u{20}":
                let hex = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }

    @Test("Each character that needs an escape has it at each place of a word of eight bytes")
    func escapes() {
        let special =
            (0..<0x20).compactMap { UnicodeScalar($0).map(String.init) } + [
                "\"", "\\", "\u{7F}", "ä", "€", "😀",
            ]
        for character in special {
            for place in 0..<17 {
                for rest in [0, 1, 9] {
                    let text =
                        String(repeating: "x", count: place) + character + String(repeating: "!", count: rest)
                    var bytes: [UInt8] = [0x3A]
                    JSONText.append(text, to: &bytes)
                    #expect(String(decoding: bytes, as: UTF8.self) == ":" + Self.plainly(text))
                }
            }
        }
    }

    @Test(
        "Whole numbers are written digit by digit",
        arguments: [0, 7, -7, 10, -10, 1_234_567_890, .max, .min] as [Int64])
    func integers(value: Int64) {
        var bytes: [UInt8] = []
        JSONText.append(value, to: &bytes)
        #expect(String(decoding: bytes, as: UTF8.self) == String(value))
    }
}
