import Telemetry

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Where the measures of a group stand in its block of memory, and how values get in and results out.
///
/// A block is plain memory but for two things that it owns: texts of MIN and MAX, and the numbers of objects
/// (distinct sets, collections) in `MeasureObjects`. `clear` gives both back.
struct MeasureLayout {
    let measures: [MeasurePlan]
    let offsets: [Int]
    /// Bytes of a block: 8 for the count of rows, then the measures.
    let byteCount: Int
    /// Blocks hold nothing that must be given back.
    let isPlain: Bool

    init(_ measures: [MeasurePlan]) {
        self.measures = measures
        var at = 8
        var offsets: [Int] = []
        for measure in measures {
            offsets.append(at)
            switch measure.kind {
            case .numeric: at += MemoryLayout<Extent>.stride
            case .count, .distinct, .collection: at += 8
            case .moments: at += MemoryLayout<Moments>.stride
            }
        }
        self.offsets = offsets
        byteCount = (at + 15) & ~15
        isPlain = measures.allSatisfy { $0.kind == .count || $0.kind == .moments }
    }
}

/// Mean and sum of squared deviations: B. P. Welford, "Note on a method for calculating corrected sums of
/// squares and products", 1962; merged after T. F. Chan et al., 1979.
struct Moments {
    var count: UInt64 = 0
    var mean = 0.0
    var deviations = 0.0

    @inline(__always)
    mutating func add(_ value: Double) {
        count += 1
        let before = value - mean
        mean += before / Double(count)
        deviations += before * (value - mean)
    }

    mutating func merge(_ other: Moments) {
        if other.count == 0 { return }
        let total = Double(count + other.count)
        let apart = other.mean - mean
        deviations += other.deviations + apart * apart * Double(count) * Double(other.count) / total
        mean += apart * Double(other.count) / total
        count += other.count
    }
}

/// Count, sum, least and greatest of the values of a group that are not NULL.
///
/// Numbers are kept as `Accumulator` has them. Times, and texts that were cast, have least and greatest
/// only: of texts, the addresses of copies that the extent owns.
struct Extent {
    enum Kind: UInt8 {
        case none = 0, number, datetime, text
        /// Of parts of different kinds, which have no order between them: there is a count, and no more. Never
        /// in a checkpoint, since parts are what is kept.
        case mixed
    }

    var numbers = Accumulator()
    var kind = Kind.none

    /// - Returns: false when the value has no order with those before.
    @inline(__always)
    mutating func add(_ value: Datum, isSorted: Bool = false) -> Bool {
        switch value.kind {
        case .float where kind == .number:
            numbers.add(value.double)
            return true
        case .bigint where kind == .number:
            numbers.add(value.integer)
            return true
        case .null: return true
        default: return addOther(value)
        }
    }

    /// Whether `add` would take a value.
    func takes(_ value: Datum) -> Bool {
        guard let wanted = Self.kind(of: value) else { return false }
        return wanted == .none || kind == .none || kind == wanted
    }

    /// As what a value counts: none for NULL, nil when it has no order at all.
    static func kind(of value: Datum) -> Kind? {
        switch value.kind {
        case .null: return Kind.none
        case .bigint, .float, .bit: return .number
        case .datetime: return .datetime
        case .text where value.isCast: return .text
        case .text:
            if Conversion.float(of: value.bytes) != nil { return .number }
            return EventTime.parse(iso8601: value.bytes) == nil ? nil : .datetime
        default: return nil
        }
    }

    private mutating func addOther(_ value: Datum) -> Bool {
        switch value.kind {
        case .bigint, .float, .bit:
            guard take(.number) else { return false }
            if value.kind == .float { numbers.add(value.double) } else { numbers.add(value.integer) }
            return true
        case .datetime:
            guard take(.datetime) else { return false }
            if numbers.count == 0 || value.integer < Int64(bitPattern: numbers.minimum) {
                numbers.minimum = value.bits
            }
            if numbers.count == 0 || value.integer > Int64(bitPattern: numbers.maximum) {
                numbers.maximum = value.bits
            }
            numbers.count += 1
            return true
        case .text where value.isCast: return addText(value)
        case .text:
            // A text that nobody cast is taken for a float, as the language has it.
            if let number = Conversion.float(of: value.bytes) { return addOther(Datum(number)) }
            // So is one that is a time: MAX(time) of JSON, which has no type for it.
            guard let time = EventTime.parse(iso8601: value.bytes) else { return false }
            return addOther(Datum(ticks: time.ticks))
        default: return false
        }
    }

    private mutating func take(_ wanted: Kind) -> Bool {
        if kind == .none { kind = wanted }
        return kind == wanted
    }

    private mutating func addText(_ value: Datum) -> Bool {
        guard take(.text) else { return false }
        if numbers.count == 0 {
            numbers.minimum = Self.copy(value.bytes)
            numbers.maximum = Self.copy(value.bytes)
        } else {
            if Datum.order(value.bytes, Self.text(numbers.minimum)) < 0 {
                Self.free(numbers.minimum)
                numbers.minimum = Self.copy(value.bytes)
            }
            if Datum.order(value.bytes, Self.text(numbers.maximum)) > 0 {
                Self.free(numbers.maximum)
                numbers.maximum = Self.copy(value.bytes)
            }
        }
        numbers.count += 1
        return true
    }

    // A copy: its length in 8 bytes, then the bytes.
    static func copy(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 8 + bytes.count, alignment: 8)
        memory.storeBytes(of: UInt64(bytes.count), as: UInt64.self)
        if let base = bytes.baseAddress { (memory + 8).copyMemory(from: base, byteCount: bytes.count) }
        return UInt64(UInt(bitPattern: memory))
    }

    static func text(_ address: UInt64) -> UnsafeRawBufferPointer {
        guard let memory = UnsafeRawPointer(bitPattern: UInt(address)) else {
            return UnsafeRawBufferPointer(start: nil, count: 0)
        }
        return UnsafeRawBufferPointer(start: memory + 8, count: Int(memory.load(as: UInt64.self)))
    }

    static func free(_ address: UInt64) { UnsafeMutableRawPointer(bitPattern: UInt(address))?.deallocate() }

    func clear() {
        guard kind == .text else { return }
        Self.free(numbers.minimum)
        Self.free(numbers.maximum)
    }

    /// Takes in the values of another. Of different kinds nothing but the count is left.
    mutating func merge(_ other: Extent) {
        if other.kind == .none { return }
        let before = numbers.count
        guard kind != .mixed, take(other.kind) else {
            clear()
            self = Extent()
            kind = .mixed
            numbers.count = before + other.numbers.count
            return
        }
        if other.kind == .number {
            numbers.merge(other.numbers)
            return
        }
        for value in [other.leastValue, other.greatestValue] { _ = addOther(value) }
        numbers.count = before + other.numbers.count
    }

    var leastValue: Datum { value(numbers.minimum, isFloat: numbers.flags & Accumulator.minimumIsFloat != 0) }
    var greatestValue: Datum {
        value(numbers.maximum, isFloat: numbers.flags & Accumulator.maximumIsFloat != 0)
    }

    private func value(_ bits: UInt64, isFloat: Bool) -> Datum {
        switch kind {
        case .none, .mixed: return .null
        case .number: return isFloat ? Datum(Double(bitPattern: bits)) : Datum(Int64(bitPattern: bits))
        case .datetime: return Datum(ticks: Int64(bitPattern: bits))
        case .text:
            var text = Datum(.text, Self.text(bits))
            text.isCast = true
            return text
        }
    }
}
