/// The property bag of an Azure IoT Hub topic: `name=value&name=value`, percent-encoded.
package enum PropertyBag {
    /// Finds a property (`$.mid`, `$.ctime` …); allocates nothing.
    ///
    /// - Parameter name: the decoded name.
    /// - Returns: where its value stands in the bag, still encoded; nil when it is not there.
    package static func range(
        named name: UnsafeRawBufferPointer, in bag: UnsafeRawBufferPointer
    ) -> Range<Int>? {
        var start = 0
        while start < bag.count {
            var end = start
            var equals = -1
            while end < bag.count, bag[end] != 0x26 {
                if bag[end] == 0x3D, equals < 0 { equals = end }
                end += 1
            }
            if isName(name, bag, start, equals < 0 ? end : equals) {
                return equals < 0 ? end..<end : (equals + 1)..<end
            }
            start = end + 1
        }
        return nil
    }

    /// Gives every property of a bag, decoded, in its order; what has no `=` has an empty value.
    package static func forEach(
        in bag: UnsafeRawBufferPointer, _ body: (_ name: [UInt8], _ value: [UInt8]) -> Void
    ) {
        for part in bag.split(separator: 0x26) {
            let parts = part.split(separator: 0x3D, maxSplits: 1, omittingEmptySubsequences: false)
            body(
                decode(UnsafeRawBufferPointer(rebasing: parts[0])),
                parts.count > 1 ? decode(UnsafeRawBufferPointer(rebasing: parts[1])) : [])
        }
    }

    /// Whether the encoded bytes of a range are the decoded name.
    private static func isName(
        _ name: UnsafeRawBufferPointer, _ bag: UnsafeRawBufferPointer, _ start: Int, _ end: Int
    ) -> Bool {
        var at = start
        for wanted in name {
            guard at < end else { return false }
            let (byte, width) = decoded(bag, at, end)
            guard byte == wanted else { return false }
            at += width
        }
        return at == end
    }

    /// Resolves `%XX`; a `%` without two hex digits stays as it is, `+` stays a plus (topics are not forms).
    package static func decode(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var at = 0
        while at < bytes.count {
            let (byte, width) = decoded(bytes, at, bytes.count)
            result.append(byte)
            at += width
        }
        return result
    }

    private static func decoded(
        _ bytes: UnsafeRawBufferPointer, _ at: Int, _ end: Int
    ) -> (byte: UInt8, width: Int) {
        guard bytes[at] == 0x25, at + 2 < end, let high = digit(bytes[at + 1]), let low = digit(bytes[at + 2])
        else { return (bytes[at], 1) }
        return (high << 4 | low, 3)
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x37
        case 0x61...0x66: byte - 0x57
        default: nil
        }
    }
}
