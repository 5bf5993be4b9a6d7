/// A topic template of which the columns' numbers are known, so that a topic is made as bytes.
package struct RowTopic: Sendable {
    enum Part: Sendable {
        case text([UInt8])
        case column(Int)
    }

    let parts: [Part]

    /// Appends the topic of a row.
    ///
    /// - Parameter appendText: appends the text of the column with this number.
    package func append(to bytes: inout [UInt8], appendText: (Int, inout [UInt8]) -> Void) {
        for index in parts.indices {
            switch parts[index] {
            case .text(let text): bytes.append(contentsOf: text)
            case .column(let number): Self.appendLevel(to: &bytes) { appendText(number, &$0) }
            }
        }
    }

    /// Appends a value as one level: what would end the level, or read as a wildcard, is percent-encoded.
    static func appendLevel(to bytes: inout [UInt8], appendText: (inout [UInt8]) -> Void) {
        let start = bytes.count
        appendText(&bytes)
        guard bytes[start...].contains(where: { isSpecial($0) }) else { return }
        let text = Array(bytes[start...])
        bytes.removeLast(text.count)
        for (index, byte) in text.enumerated() {
            switch byte {
            case UInt8(ascii: "+"): bytes.append(contentsOf: "%2B".utf8)
            case UInt8(ascii: "#"): bytes.append(contentsOf: "%23".utf8)
            case UInt8(ascii: "/"): bytes.append(contentsOf: "%2F".utf8)
            case 0: bytes.append(contentsOf: "%00".utf8)
            case UInt8(ascii: "%") where readsAsEncoding(text[(index + 1)...]):
                bytes.append(contentsOf: "%25".utf8)
            default: bytes.append(byte)
            }
        }
    }

    private static func isSpecial(_ byte: UInt8) -> Bool {
        switch byte {
        case 0, UInt8(ascii: "+"), UInt8(ascii: "#"), UInt8(ascii: "/"), UInt8(ascii: "%"): true
        default: false
        }
    }

    private static func readsAsEncoding(_ rest: ArraySlice<UInt8>) -> Bool {
        let code = String(decoding: rest.prefix(2), as: UTF8.self)
        return ["2B", "23", "2F", "00", "25"].contains(code)
    }
}
