/// The property bag of an Azure IoT Hub topic: `name=value&name=value`, percent-encoded.
package enum PropertyBag {
    /// Finds a system property (`$.mid`, `$.ctime` …) and gives its decoded value.
    ///
    /// - Parameter name: the decoded name.
    /// - Returns: nil when it is not there.
    package static func value(named name: StaticString, in bag: UnsafeRawBufferPointer) -> [UInt8]? {
        var start = 0
        while start < bag.count {
            var end = start
            var equals = -1
            while end < bag.count, bag[end] != 0x26 {
                if bag[end] == 0x3D, equals < 0 { equals = end }
                end += 1
            }
            let nameEnd = equals < 0 ? end : equals
            if isName(name, UnsafeRawBufferPointer(rebasing: bag[start..<nameEnd])) {
                return equals < 0 ? [] : decode(UnsafeRawBufferPointer(rebasing: bag[(equals + 1)..<end]))
            }
            start = end + 1
        }
        return nil
    }

    private static func isName(_ name: StaticString, _ encoded: UnsafeRawBufferPointer) -> Bool {
        // Most names are not escaped beyond `%24`; decoding the few bytes of each is cheap enough.
        guard encoded.count >= name.utf8CodeUnitCount else { return false }
        let decoded = decode(encoded)
        guard decoded.count == name.utf8CodeUnitCount else { return false }
        for index in decoded.indices where decoded[index] != name.utf8Start[index] { return false }
        return true
    }

    /// Resolves `%XX`; a `%` without two hex digits stays as it is, `+` stays a plus (topics are not forms).
    package static func decode(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var at = 0
        while at < bytes.count {
            if bytes[at] == 0x25, at + 2 < bytes.count, let high = digit(bytes[at + 1]),
                let low = digit(bytes[at + 2])
            {
                result.append(high << 4 | low)
                at += 3
            } else {
                result.append(bytes[at])
                at += 1
            }
        }
        return result
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
