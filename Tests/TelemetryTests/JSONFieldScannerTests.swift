import Foundation
import Telemetry
import Testing

/// Collects what the scanner hands out, as text, so that expectations read like the input.
private func fields(_ json: String) -> [String]? {
    var copy = json
    return copy.withUTF8 { fields(bytes: UnsafeRawBufferPointer($0)) }
}

private func fields(bytes: UnsafeRawBufferPointer) -> [String]? {
    var found: [String] = []
    let valid = JSONFieldScanner.forEachTopLevelField(bytes) { name, value in
        let label = String(decoding: name, as: UTF8.self)
        switch value {
        case .bigint(let number): found.append("\(label)=\(number)")
        case .float(let number): found.append("\(label)=\(number)")
        case .text(let raw, let hasEscapes):
            let text = hasEscapes ? JSONString.decode(raw) : Array(raw)
            found.append("\(label)='\(String(decoding: text, as: UTF8.self))'")
        case .boolean(let flag): found.append("\(label)=\(flag)")
        case .null: found.append("\(label)=null")
        case .nested(let raw): found.append("\(label)=\(String(decoding: raw, as: UTF8.self))")
        }
    }
    return valid ? found : nil
}

/// A comma with nothing but space before the bracket that follows it.
private func hasTrailingComma(_ bytes: [UInt8]) -> Bool {
    let dense = bytes.filter { ![0x20, 0x0A, 0x0D, 0x09].contains($0) }
    return zip(dense, dense.dropFirst()).contains { $0 == 0x2C && ($1 == 0x7D || $1 == 0x5D) }
}

@Suite("JSON field scanner")
struct JSONFieldScannerTests {
    @Test("hands out the top-level fields in order, with their types")
    func fieldsInOrder() {
        #expect(
            fields(
                #" {"id":"a-1", "ts" : 1772323200000,"t":-21.5e0,"ok":true,"n":null,"o":{"x":[1,{}]},"e":"\u00e9\n\ud83d\ude00"} "#
            )
                == [
                    "id='a-1'", "ts=1772323200000", "t=-21.5", "ok=true", "n=null", #"o={"x":[1,{}]}"#,
                    "e='é\n😀'",
                ])
        #expect(fields("{}") == [])
        #expect(fields("21.5") == [])
        #expect(fields("[1,2]") == [])
    }

    @Test(
        "keeps integers exact to the ends of 64 bits and rounds the rest like the C library",
        arguments: [
            ("0", "0"), ("-0", "0"), ("9223372036854775807", "9223372036854775807"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("9223372036854775808", "9.223372036854776e+18"),
            ("0.1", "0.1"), ("1e22", "1e+22"), ("1e23", "1e+23"),
            ("123456789.123456789", "123456789.12345679"),
            ("2.2250738585072011e-308", "2.225073858507201e-308"), ("100000000000000000000", "1e+20"),
        ])
    func numbers(text: String, expected: String) {
        #expect(fields("{\"v\":\(text)}") == ["v=\(expected)"])
    }

    @Test(
        "refuses what is not JSON",
        arguments: [
            "", " ", "{", "}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{'a':1}", "{\"a\":01}",
            "{\"a\":+1}",
            "{\"a\":1.}", "{\"a\":.5}", "{\"a\":1e}", "{\"a\":NaN}", "{\"a\":tru}", "{\"a\":1}x",
            "{\"a\":1}{}",
            "[1,]", "[1 2]", "\"\u{01}\"", #"{"a":"\x"}"#, #"{"a":"\u12"}"#, #"{"a":"\ud800"}"#,
            #"{"a":"\udc00"}"#,
            "{\"a\":1e999}", "hello", "{\"a\":\"", "{\"a\":[}", "{\"a\":{\"b\":1]}", "/**/{}",
        ])
    func refusals(text: String) {
        #expect(fields(text) == nil)
    }

    @Test("refuses bytes that are not UTF-8, overlong forms and surrogates")
    func notUTF8() {
        for bad: [UInt8] in [
            [0xFF], [0xC0, 0x80], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xC3],
            [0x80],
            [0xF0, 0x80, 0x80, 0x80],
        ] {
            let bytes = Array("{\"a\":\"".utf8) + bad + Array("\"}".utf8)
            #expect(bytes.withUnsafeBytes { fields(bytes: $0) } == nil)
        }
    }

    @Test("bounds nesting, so that a peer cannot exhaust the stack")
    func nesting() {
        let deep = 100_000
        #expect(fields(String(repeating: "[", count: deep) + String(repeating: "]", count: deep)) == nil)
        #expect(fields(String(repeating: "[", count: 100) + String(repeating: "]", count: 100)) != nil)
    }

    @Test("agrees with Foundation's parser on mutated documents", arguments: 0..<8)
    func againstFoundation(seed: UInt64) {
        var state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1
        func next(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        let samples = [
            #"{"id":"m-1","ts":"2026-03-01T00:12:34.567Z","temperature":21.37,"unit":"C","rssi":-67}"#,
            #"{"a":[1,2.5,{"b":null}],"c":"\u00e9\"\\","d":true,"e":-1.5E+3}"#, "[]", "{\"é\":\"😀\"}",
            "-12.0e-3",
        ]
        let alphabet =
            Array("{}[]\",:0123456789.eE+-truefalsn \\u/\u{7F}".utf8) + [0xC3, 0xA9, 0xFF, 0x00, 0x0A]
        var disagreements: [String] = []
        for _ in 0..<4_000 {
            var bytes = Array(samples[next(samples.count)].utf8)
            for _ in 0..<next(4) {
                let place = next(bytes.count)
                switch next(3) {
                case 0: bytes[place] = alphabet[next(alphabet.count)]
                case 1: bytes.insert(alphabet[next(alphabet.count)], at: place)
                default: if bytes.count > 1 { bytes.remove(at: place) }
                }
            }
            let ours = bytes.withUnsafeBytes { JSONFieldScanner.forEachTopLevelField($0) { _, _ in } }
            let theirs =
                (try? JSONSerialization.jsonObject(with: Data(bytes), options: .fragmentsAllowed)) != nil
            // Foundation also takes UTF-16 and UTF-32, and a comma before a closing bracket.
            let lenient = bytes.contains(0) || hasTrailingComma(bytes)
            if ours != theirs, !(theirs && lenient) {
                disagreements.append("\(ours) \(String(decoding: bytes, as: UTF8.self))")
            }
        }
        #expect(disagreements == [])
    }
}
