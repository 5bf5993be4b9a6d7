/// Gathers rows as JSON, one a line.
struct RowCollector {
    let limits: ReferenceLimits
    private(set) var bytes: [UInt8] = []
    private(set) var ends: [Int] = []
    private(set) var lines: [Int32] = []

    init(_ limits: ReferenceLimits) { self.limits = limits }

    /// Appends a row; `write` puts a JSON object.
    ///
    /// - Parameter line: where it begins in the file; 0 when there are no lines.
    /// - Returns: what limit it is over; nil when it is not.
    mutating func append(line: Int, _ write: (inout [UInt8]) -> Void) -> String? {
        let from = bytes.count
        write(&bytes)
        if bytes.count - from > limits.rowBytesMax {
            return "the row has \(bytes.count - from) bytes, and the limit is \(limits.rowBytesMax)"
        }
        bytes.append(0x0A)
        if bytes.count > limits.bytesMax { return "more than \(limits.bytesMax) bytes of rows" }
        guard ends.count < limits.rowsMax else { return "more than \(limits.rowsMax) rows" }
        ends.append(bytes.count)
        if line > 0 { lines.append(Int32(clamping: line)) }
        return nil
    }

    /// Appends a text quoted and escaped as RFC 8259 §7 asks.
    static func appendText(_ text: UnsafeRawBufferPointer, to bytes: inout [UInt8]) {
        bytes.append(0x22)
        var from = 0
        for (at, byte) in text.enumerated() where byte < 0x20 || byte == 0x22 || byte == 0x5C {
            bytes.append(contentsOf: text[from..<at])
            from = at + 1
            bytes.append(0x5C)
            switch byte {
            case 0x0A: bytes.append(0x6E)
            case 0x0D: bytes.append(0x72)
            case 0x09: bytes.append(0x74)
            case 0x22, 0x5C: bytes.append(byte)
            default:
                let digits = Array("0123456789abcdef".utf8)
                bytes.append(contentsOf: [0x75, 0x30, 0x30, digits[Int(byte >> 4)], digits[Int(byte & 15)]])
            }
        }
        bytes.append(contentsOf: text[from...])
        bytes.append(0x22)
    }
}
