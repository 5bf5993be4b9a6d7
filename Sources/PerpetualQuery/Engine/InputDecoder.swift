import Telemetry

/// Takes the wanted fields out of payloads: one scan for all queries of an input, no text made on the way.
///
/// A name is matched exactly first, then, when only one spelling of the record fits, without regard to
/// case. What a spelling means is remembered; payloads of one device mostly have the same fields in the
/// same order, so that the spelling at a place is guessed and compared, and looked up only when the guess
/// fails.
///
/// Raw pointers: this class owns the spellings and the slots, and frees them in deinit.
final class InputDecoder {
    private struct Spelling {
        var bytes: UnsafeMutableRawPointer
        var count: Int
        var hash: UInt64
        /// The only slot it fits, exactly; −1: none; −2: see `targets`.
        var slot: Int32
    }
    private struct Target {
        var slot: Int
        var isExact: Bool
    }
    private enum Match: UInt8 { case none = 0, similar, ambiguous, exact }

    let fields: [String]
    /// Values of the wanted fields of the payload in hand.
    let slots: UnsafeMutablePointer<Datum>
    private let matches: UnsafeMutablePointer<Match>
    /// By slot, the spelling that fitted without regard to case.
    private var similarSpelling: [Int32]
    // Accesses inside the scan's closure are checked at run time otherwise; nothing else touches these then.
    @exclusivity(unchecked) private var spellings: [Spelling] = []
    @exclusivity(unchecked) private var targets: [Int32: [Target]] = [:]
    @exclusivity(unchecked) private var table: UnsafeMutablePointer<Int32>
    @exclusivity(unchecked) private var tableCount = 256
    /// By place in the payload, the spelling that stood there last.
    private let guesses: UnsafeMutablePointer<Int32>
    private static let guessesMax = 64
    private let namesMax: Int
    private let hashKey: UInt64
    /// Gets texts that had escapes.
    @exclusivity(unchecked) var arena: ByteArena

    init(fields: [String], namesMax: Int, hashKey: UInt64, arena: ByteArena) {
        self.fields = fields
        self.namesMax = namesMax
        self.hashKey = hashKey
        self.arena = arena
        slots = .allocate(capacity: max(fields.count, 1))
        slots.initialize(repeating: .null, count: max(fields.count, 1))
        matches = .allocate(capacity: max(fields.count, 1))
        matches.initialize(repeating: .none, count: max(fields.count, 1))
        similarSpelling = Array(repeating: -1, count: fields.count)
        table = .allocate(capacity: tableCount)
        table.initialize(repeating: -1, count: tableCount)
        guesses = .allocate(capacity: Self.guessesMax)
        guesses.initialize(repeating: -1, count: Self.guessesMax)
    }

    deinit {
        for spelling in spellings { spelling.bytes.deallocate() }
        slots.deallocate()
        matches.deallocate()
        table.deallocate()
        guesses.deallocate()
    }

    /// Reads one payload.
    ///
    /// - Returns: whether it is a JSON object. When not, all fields are NULL.
    func decode(_ payload: UnsafeRawBufferPointer) -> Bool {
        clear()
        var place = 0
        let isJSON = JSONFieldScanner.forEachTopLevelField(payload) { name, scalar in
            let spelling = self.spelling(name, at: place)
            place += 1
            if spelling < 0 {
                if spelling == -2 { self.takeUnremembered(name, scalar) }
                return
            }
            let slot = Int(self.spellings[spelling].slot)
            if slot >= 0 {
                self.slots[slot] = RecordFunctions.datum(scalar, self.arena)
                self.matches[slot] = .exact
            } else if slot == -2 {
                for target in self.targets[Int32(spelling)] ?? [] {
                    self.take(scalar, target, spelling: Int32(spelling))
                }
            }
        }
        if !isJSON || !Self.isObject(payload) {
            clear()
            return false
        }
        return true
    }

    static func isObject(_ payload: UnsafeRawBufferPointer) -> Bool {
        for byte in payload where byte != 0x20 && byte != 0x0A && byte != 0x0D && byte != 0x09 {
            return byte == 0x7B
        }
        return false
    }

    func clear() {
        for index in 0..<fields.count {
            slots[index] = .null
            matches[index] = .none
        }
    }

    /// The spelling's number; −1 when no field is wanted under it, −2 when it could not be remembered.
    @inline(__always)
    private func spelling(_ name: UnsafeRawBufferPointer, at place: Int) -> Int {
        if place < Self.guessesMax {
            let guess = Int(guesses[place])
            if guess >= 0, spellings[guess].count == name.count,
                Self.isEqual(spellings[guess].bytes, name)
            {
                return guess
            }
        }
        return lookUp(name, at: place)
    }

    private func lookUp(_ name: UnsafeRawBufferPointer, at place: Int) -> Int {
        let hash = GroupKey.hash(name, hashKey)
        var slot = Int(truncatingIfNeeded: hash) & (tableCount - 1)
        while table[slot] >= 0 {
            let number = Int(table[slot])
            if spellings[number].hash == hash, spellings[number].count == name.count,
                Self.isEqual(spellings[number].bytes, name)
            {
                if place < Self.guessesMax { guesses[place] = Int32(number) }
                return number
            }
            slot = (slot + 1) & (tableCount - 1)
        }
        guard spellings.count < namesMax, name.count <= 1_024 else { return -2 }
        return learn(name, hash, at: place)
    }

    private func learn(_ name: UnsafeRawBufferPointer, _ hash: UInt64, at place: Int) -> Int {
        let number = spellings.count
        let fitting = targets(of: name)
        let copy = UnsafeMutableRawPointer.allocate(byteCount: max(name.count, 1), alignment: 8)
        if let base = name.baseAddress { copy.copyMemory(from: base, byteCount: name.count) }
        var slot: Int32 = fitting.isEmpty ? -1 : -2
        if let only = fitting.first, fitting.count == 1, only.isExact { slot = Int32(only.slot) }
        spellings.append(Spelling(bytes: copy, count: name.count, hash: hash, slot: slot))
        if slot == -2 { targets[Int32(number)] = fitting }
        if spellings.count * 2 > tableCount { growTable() } else { enter(number) }
        if place < Self.guessesMax { guesses[place] = Int32(number) }
        return number
    }

    private func enter(_ number: Int) {
        var slot = Int(truncatingIfNeeded: spellings[number].hash) & (tableCount - 1)
        while table[slot] >= 0 { slot = (slot + 1) & (tableCount - 1) }
        table[slot] = Int32(number)
    }

    private func growTable() {
        table.deallocate()
        tableCount *= 2
        table = .allocate(capacity: tableCount)
        table.initialize(repeating: -1, count: tableCount)
        for number in spellings.indices { enter(number) }
    }

    private func targets(of name: UnsafeRawBufferPointer) -> [Target] {
        let text = JSONBytes.resolved(name)
        var fitting: [Target] = []
        for (slot, field) in fields.enumerated() {
            if field.utf8.elementsEqual(text) {
                fitting.append(Target(slot: slot, isExact: true))
            } else if FieldMatch.isSimilar(text, Array(field.utf8)) {
                fitting.append(Target(slot: slot, isExact: false))
            }
        }
        return fitting
    }

    private func takeUnremembered(_ name: UnsafeRawBufferPointer, _ scalar: JSONScalar) {
        for target in targets(of: name) { take(scalar, target, spelling: -3) }
    }

    private func take(_ scalar: JSONScalar, _ target: Target, spelling: Int32) {
        let slot = target.slot
        if target.isExact {
            matches[slot] = .exact
            slots[slot] = RecordFunctions.datum(scalar, arena)
            return
        }
        switch matches[slot] {
        case .exact, .ambiguous: break
        case .similar where similarSpelling[slot] != spelling:
            matches[slot] = .ambiguous
            slots[slot] = .null
        case .similar, .none:
            matches[slot] = .similar
            similarSpelling[slot] = spelling
            slots[slot] = RecordFunctions.datum(scalar, arena)
        }
    }

    @inline(__always)
    private static func isEqual(_ left: UnsafeMutableRawPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        GroupKey.areEqual(UnsafeRawBufferPointer(start: left, count: right.count), right)
    }
}
