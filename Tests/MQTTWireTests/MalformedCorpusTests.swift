import Foundation
import MQTTWire
import Testing

/// One line of Vectors/malformed.txt, whose head explains the fields.
struct MalformedCase: Sendable, CustomTestStringConvertible {
    enum Expected: Equatable {
        case close
        case connack(UInt8)
        case disconnect(UInt8)
    }

    let name: String
    let version: ProtocolVersion
    let clause: String
    let isConnected: Bool
    let bytes: [UInt8]
    let expected: Expected

    var testDescription: String { "\(name) (\(version), \(clause))" }

    init?(line: Substring) {
        let fields = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
        guard fields.count == 6 else { return nil }
        guard let version: ProtocolVersion = ["3": .v311, "5": .v5][fields[1]] else { return nil }
        guard ["before-connect", "connected"].contains(fields[3]) else { return nil }
        name = fields[0]
        self.version = version
        clause = fields[2]
        isConnected = fields[3] == "connected"
        bytes = MQTTWireTests.bytes(fields[4])
        let words = fields[5].split(separator: " ")
        let code = words.count == 2 ? UInt8(words[1], radix: 16) : nil
        switch (words.first, code) {
        case ("close", nil): expected = .close
        case ("connack", let code?): expected = .connack(code)
        case ("disconnect", let code?): expected = .disconnect(code)
        default: return nil
        }
    }

    static let lines: [Substring] = {
        guard
            let url = Bundle.module.url(
                forResource: "malformed", withExtension: "txt", subdirectory: "Vectors"),
            let text = try? String(contentsOf: url, encoding: .utf8)
        else { return [] }
        return text.split(separator: "\n").filter { !$0.hasPrefix("#") }
    }()

    static let all = lines.compactMap { MalformedCase(line: $0) }
}

@Suite("The malformed corpus")
struct MalformedCorpusTests {
    @Test("Every line is understood, no bytes occur twice, and there are at least 150 cases")
    func corpusIsSound() {
        #expect(MalformedCase.all.count == MalformedCase.lines.count)
        #expect(MalformedCase.all.count >= 150)
        let keys = MalformedCase.all.map { "\($0.version) \($0.isConnected) \(hex($0.bytes))" }
        #expect(Set(keys).count == keys.count)
    }

    @Test("A malformed packet is refused with its reason", arguments: MalformedCase.all)
    func isRefused(_ malformed: MalformedCase) throws {
        let reason = try #require(try reasonOfRefusal(malformed))
        switch malformed.expected {
        case .disconnect(let code):
            #expect(malformed.isConnected)
            #expect(malformed.version == .v5)
            #expect(reason.rawValue == code)
        case .connack(let code) where malformed.version == .v311:
            #expect(reason.returnCode == code)
        case .connack(let code):
            #expect(reason.rawValue == code)
        case .close:
            // Nothing is said, so that any reason will do; but it is never "unsupported version".
            #expect(reason != .unsupportedProtocolVersion)
            #expect(reason.isFailure)
        }
    }

    @Test("The version of a malformed CONNECT says whether a CONNACK of 5.0 answers it")
    func versionOfMalformedConnect() throws {
        for malformed in MalformedCase.all where !malformed.isConnected {
            let version = try? withFrame(malformed.bytes) { connectVersion(body: $1) }
            switch malformed.expected {
            case .connack(0x01), .disconnect: #expect(version == .some(nil))
            case .connack: #expect(version == .v5)
            case .close: #expect(version != .v5)
            }
        }
    }

    /// As the hub reads: the scanner, then the view for a PUBLISH, then the decoder for the rest.
    private func reasonOfRefusal(_ malformed: MalformedCase) throws -> ReasonCode? {
        do {
            try withFrame(malformed.bytes) { firstByte, body in
                guard firstByte >> 4 == PacketType.publish.rawValue else {
                    _ = try decodePacket(firstByte: firstByte, body: body, version: malformed.version)
                    return
                }
                let view = try PublishView(firstByte: firstByte, body: body, version: malformed.version)
                if let error = validateTopicName(UnsafeRawBufferPointer(rebasing: body[view.topic])) {
                    throw error
                }
            }
            return nil
        } catch let error as WireError {
            return error.reason
        }
    }
}
