import Telemetry

/// What the publisher sent beside the payload: user properties of MQTT 5, and on either version of the protocol the
/// property bag behind the topic, as Azure IoT Hub has it (`devices/{id}/messages/events/site=north&$.cid=7`).
///
/// Of a name that comes twice the first counts, and properties of MQTT 5 before those of the bag. MQTT 5.0 §3.3.2.3.
struct MessageProperties {
    private let topic: UnsafeRawBufferPointer
    private let block: UnsafeRawBufferPointer

    init(_ event: StreamEvent) {
        topic = event.topic
        block = event.properties
    }

    /// A user property: the exact name first, then the only one that differs in case; NULL when there is none.
    func user(_ name: UnsafeRawBufferPointer, _ arena: ByteArena) -> Datum {
        var exact: Datum?
        var similar: Datum?
        var spelling: [UInt8] = []
        var isAmbiguous = false
        forEachUser { found, value in
            if exact == nil, Datum.order(found, name) == 0 {
                exact = Self.text(value, arena)
            } else if FieldMatch.isSimilar(found, name) {
                if similar == nil {
                    similar = Self.text(value, arena)
                    spelling = Array(found)
                } else if !found.elementsEqual(spelling) {
                    isAmbiguous = true
                }
            }
        }
        return exact ?? (isAmbiguous ? .null : similar ?? .null)
    }

    /// All user properties as a record of texts; NULL when there is none.
    func user(_ arena: ByteArena) -> Datum {
        var bytes: [UInt8] = []
        var used: Set<[UInt8]> = []
        forEachUser { name, value in
            let name = Self.text(name, arena).bytes
            guard used.insert(Array(name)).inserted else { return }
            bytes.append(bytes.isEmpty ? 0x7B : 0x2C)
            JSONText.append(utf8: name, to: &bytes)
            bytes.append(0x3A)
            JSONText.append(utf8: Self.text(value, arena).bytes, to: &bytes)
        }
        if bytes.isEmpty { return .null }
        bytes.append(0x7D)
        return Datum(.record, arena.copy(bytes))
    }

    /// The correlation data of MQTT 5 where it is text, else `$.cid` of the bag.
    func correlationID(_ arena: ByteArena) -> Datum {
        var found: Datum?
        forEach { identifier, value, _ in
            // Any bytes may stand there.
            if identifier == 0x09, String(validating: value, as: UTF8.self) != nil {
                found = arena.text(value)
            }
        }
        if found == nil {
            PropertyBag.forEach(in: bag) { name, value in
                if found == nil, name.elementsEqual("$.cid".utf8) {
                    found = value.withUnsafeBytes { Self.text($0, arena) }
                }
            }
        }
        return found ?? .null
    }

    /// What the bag's percent signs make need not be UTF-8.
    private static func text(_ bytes: UnsafeRawBufferPointer, _ arena: ByteArena) -> Datum {
        if String(validating: bytes, as: UTF8.self) != nil { return arena.text(bytes) }
        return arena.text(String(decoding: bytes, as: UTF8.self).utf8)
    }

    private func forEachUser(
        _ body: (_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Void
    ) {
        forEach { identifier, first, second in if identifier == 0x26 { body(first, second) } }
        PropertyBag.forEach(in: bag) { name, value in
            // Those of the system begin so.
            if name.starts(with: "$.".utf8) { return }
            name.withUnsafeBytes { name in value.withUnsafeBytes { value in body(name, value) } }
        }
    }

    /// The last level of the topic when it has the form of a bag.
    private var bag: UnsafeRawBufferPointer {
        let level = topic.lastIndex(of: 0x2F).map { topic[($0 + 1)...] } ?? topic[...]
        return UnsafeRawBufferPointer(rebasing: level.contains(0x3D) ? level : level.prefix(0))
    }

    /// Properties with bytes, and of user properties name and value; the hub checked the block when it came, and a
    /// damaged one ends early.
    private func forEach(
        _ body: (_ identifier: UInt8, _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer) ->
            Void
    ) {
        var at = 0
        func bytes() -> UnsafeRawBufferPointer? {
            guard at + 2 <= block.count else { return nil }
            let count = Int(block[at]) << 8 | Int(block[at + 1])
            guard at + 2 + count <= block.count else { return nil }
            defer { at += 2 + count }
            return UnsafeRawBufferPointer(rebasing: block[(at + 2)..<(at + 2 + count)])
        }
        let none = UnsafeRawBufferPointer(start: nil, count: 0)
        while at < block.count {
            let identifier = block[at]
            at += 1
            switch identifier {
            case 0x01: at += 1  // Payload format indicator.
            case 0x02: at += 4  // Message expiry interval.
            case 0x23: at += 2  // Topic alias.
            case 0x0B:  // Subscription identifier: a variable byte integer.
                while at < block.count, block[at] >= 0x80 { at += 1 }
                at += 1
            case 0x26:
                guard let name = bytes(), let value = bytes() else { return }
                body(identifier, name, value)
            default:
                guard let value = bytes() else { return }
                body(identifier, value, none)
            }
        }
    }
}
