import Telemetry

/// Decides for many queries at once which of them a record can give a row of.
///
/// The constants that queries compare a field with cut its values into regions, in each of which every term has one
/// answer. By region there is a bit a query: one search a field, and the bits of all fields joined by AND, leave the
/// queries whose terms all hold. Where a term cannot be judged here (a number beyond 2^53, a LIKE of a number) its
/// query is left too, and judges for itself.
///
/// Raw pointers: the index owns its tables and frees them in deinit.
final class FilterIndex {
    /// The regions of one field's numbers, or of its texts.
    private struct Table {
        /// By region, the queries whose terms hold.
        var masks: UnsafeMutablePointer<UInt64>
        /// Queries whose terms hold for a value that none of the constants can be compared with.
        var incomparable: UnsafeMutablePointer<UInt64>
        /// All queries with a term here.
        var involved: UnsafeMutablePointer<UInt64>
        /// Those of them whose LIKE a value that is no text may match, or fail at.
        var likes: UnsafeMutablePointer<UInt64>
    }

    private struct Field {
        var slot: Int
        var hasNumbers = false
        var hasTexts = false
        var hasLikes = false
        /// A text constant that a number can be compared with.
        var hasNumberTexts = false
        /// Ascending.
        var thresholds: UnsafeMutablePointer<Double>
        var thresholdCount = 0
        var texts: UnsafeMutablePointer<UnsafeRawBufferPointer>
        var textCount = 0
        var numberTable: Table
        var textTable: Table
        /// Queries whose terms hold for NULL.
        var null: UnsafeMutablePointer<UInt64>
    }

    /// Queries in all.
    let count: Int
    let wordCount: Int
    private let fields: UnsafeMutablePointer<Field>
    private let fieldCount: Int
    private var words: [UnsafeMutablePointer<UInt64>] = []
    private var numbers: [UnsafeMutablePointer<Double>] = []
    private var textLists: [UnsafeMutablePointer<UnsafeRawBufferPointer>] = []
    private var textBytes: [UnsafeMutableRawBufferPointer] = []
    private let forced: UnsafeMutablePointer<UInt64>

    /// Bytes of one field's table: enough for 5,000 queries with two constants each. Terms beyond it are left to
    /// their queries.
    private static let tableBytesMax = 1 << 24

    /// - Parameter queries: the terms of each, all of which must hold.
    init(_ queries: [[FilterTerm]]) {
        count = queries.count
        let wordCount = (queries.count + 63) / 64
        self.wordCount = wordCount
        var bySlot: [Int: [(query: Int, term: FilterTerm)]] = [:]
        for (query, terms) in queries.enumerated() {
            for term in terms { bySlot[term.slot, default: []].append((query, term)) }
        }
        let slots = bySlot.keys.sorted()
        fieldCount = slots.count
        fields = .allocate(capacity: max(slots.count, 1))
        forced = .allocate(capacity: max(wordCount, 1))
        for (index, slot) in slots.enumerated() {
            (fields + index).initialize(to: makeField(slot, fitting(bySlot[slot] ?? [])))
        }
    }

    deinit {
        fields.deallocate()
        forced.deallocate()
        for pointer in words { pointer.deallocate() }
        for pointer in numbers { pointer.deallocate() }
        for pointer in textLists { pointer.deallocate() }
        for bytes in textBytes { bytes.deallocate() }
    }

    // MARK: Asking

    /// - Parameter left: gets the queries that are left, a bit each.
    @inline(__always)
    func decide(_ slots: UnsafeMutablePointer<Datum>, _ left: UnsafeMutablePointer<UInt64>) {
        for word in 0..<wordCount { left[word] = ~0 }
        let last = count & 63
        if last > 0 { left[wordCount - 1] = (1 << UInt64(last)) - 1 }
        var isForced = false
        for index in 0..<fieldCount {
            let field = fields + index
            let value = slots[field.pointee.slot]
            if let number = value.exactNumber, !field.pointee.hasTexts {
                keep(left, field.pointee.numberTable.masks + wordCount * region(of: number, field))
                continue
            }
            isForced = decide(value, field, left, isForced: isForced)
        }
        if isForced { for word in 0..<wordCount { left[word] |= forced[word] } }
    }

    @inline(__always)
    private func keep(_ left: UnsafeMutablePointer<UInt64>, _ mask: UnsafeMutablePointer<UInt64>) {
        for word in 0..<wordCount { left[word] &= mask[word] }
    }

    /// - Returns: whether `forced` counts.
    private func decide(
        _ value: Datum, _ field: UnsafeMutablePointer<Field>, _ left: UnsafeMutablePointer<UInt64>,
        isForced: Bool
    ) -> Bool {
        if value.isNull {
            keep(left, field.pointee.null)
            return isForced
        }
        var isForced = isForced
        func force(_ mask: UnsafeMutablePointer<UInt64>) {
            if !isForced { forced.update(repeating: 0, count: wordCount) }
            isForced = true
            for word in 0..<wordCount { forced[word] |= mask[word] }
        }
        if field.pointee.hasNumbers {
            let table = field.pointee.numberTable
            var number = value
            if value.kind == .text { number = Conversion.number(of: value.bytes) ?? .null }
            if value.kind == .bit { number = Datum(Double(value.bits)) }
            if let exact = number.exactNumber {
                keep(left, table.masks + wordCount * region(of: exact, field))
            } else if number.kind == .bigint {
                force(table.involved)
            } else {
                keep(left, table.incomparable)
            }
        }
        if field.pointee.hasTexts {
            let table = field.pointee.textTable
            if value.kind == .text {
                keep(left, table.masks + wordCount * region(of: value.bytes, field))
            } else {
                if field.pointee.hasNumberTexts { force(table.involved) }
                if field.pointee.hasLikes { force(table.likes) }
                keep(left, table.incomparable)
            }
        }
        return isForced
    }

    /// Twice the number of constants below, and one more when it is one of them.
    @inline(__always)
    private func region(of number: Double, _ field: UnsafeMutablePointer<Field>) -> Int {
        var count = field.pointee.thresholdCount
        if count == 0 { return 0 }
        let thresholds = field.pointee.thresholds
        var base = 0
        while count > 1 {
            let half = count >> 1
            base = thresholds[base + half] <= number ? base + half : base
            count -= half
        }
        let found = thresholds[base]
        return number < found ? 2 * base : number == found ? 2 * base + 1 : 2 * base + 2
    }

    private func region(of text: UnsafeRawBufferPointer, _ field: UnsafeMutablePointer<Field>) -> Int {
        var low = 0
        var high = field.pointee.textCount
        while low < high {
            let middle = (low + high) >> 1
            let order = Datum.order(field.pointee.texts[middle], text)
            if order == 0 { return 2 * middle + 1 }
            if order < 0 { low = middle + 1 } else { high = middle }
        }
        return 2 * low
    }

    // MARK: Making

    private func makeWords(_ count: Int, _ value: UInt64 = 0) -> UnsafeMutablePointer<UInt64> {
        let made = UnsafeMutablePointer<UInt64>.allocate(capacity: max(count, 1))
        made.initialize(repeating: value, count: max(count, 1))
        words.append(made)
        return made
    }

    private func fitting(_ terms: [(query: Int, term: FilterTerm)]) -> [(query: Int, term: FilterTerm)] {
        let constantsMax = Self.tableBytesMax / (16 * max(wordCount, 1))
        var constants: Set<FilterConstant> = []
        return terms.filter { _, term in
            guard constants.count + term.constants.count <= constantsMax else { return false }
            constants.formUnion(term.constants)
            return true
        }
    }

    private func makeField(_ slot: Int, _ terms: [(query: Int, term: FilterTerm)]) -> Field {
        let ofNumbers = terms.filter { !$0.term.isText }
        let ofTexts = terms.filter { $0.term.isText }
        var thresholds: Set<Double> = []
        var texts: Set<[UInt8]> = []
        for constant in terms.flatMap({ $0.term.constants }) {
            switch constant {
            case .number(let number): thresholds.insert(number)
            case .text(let text): texts.insert(text)
            }
        }
        let numbers = thresholds.sorted()
        let sorted = texts.sorted { $0.lexicographicallyPrecedes($1) }
        var numberPlaces: [FilterConstant: Int] = [:]
        for (place, number) in numbers.enumerated() { numberPlaces[.number(number)] = place }
        var textPlaces: [FilterConstant: Int] = [:]
        for (place, text) in sorted.enumerated() { textPlaces[.text(text)] = place }
        let field = Field(
            slot: slot, hasNumbers: !ofNumbers.isEmpty, hasTexts: !ofTexts.isEmpty,
            hasLikes: ofTexts.contains { $0.term.hasLike },
            hasNumberTexts: sorted.contains { text in
                text.withUnsafeBytes { Conversion.number(of: $0) } != nil
            },
            thresholds: copy(numbers), thresholdCount: numbers.count, texts: copy(sorted),
            textCount: sorted.count, numberTable: makeTable(ofNumbers, numberPlaces),
            textTable: makeTable(ofTexts, textPlaces), null: makeWords(wordCount, ~0))
        for (query, term) in terms where !term.formula.holds(.null, [:]) { clear(query, field.null) }
        return field
    }

    private func makeTable(
        _ terms: [(query: Int, term: FilterTerm)], _ places: [FilterConstant: Int]
    ) -> Table {
        let regionCount = 2 * places.count + 1
        let table = Table(
            masks: makeWords(terms.isEmpty ? 0 : wordCount * regionCount, ~0),
            incomparable: makeWords(wordCount, ~0), involved: makeWords(wordCount),
            likes: makeWords(wordCount))
        for (query, term) in terms {
            // Between a term's own constants its answer stays the same.
            var from = 0
            for place in Set(term.constants.compactMap { places[$0] }).sorted() {
                clear(query, term, from..<(2 * place + 1), table.masks, places)
                clear(query, term, (2 * place + 1)..<(2 * place + 2), table.masks, places)
                from = 2 * place + 2
            }
            clear(query, term, from..<regionCount, table.masks, places)
            if !term.formula.holds(.incomparable, places) { clear(query, table.incomparable) }
            set(query, table.involved)
            if term.hasLike { set(query, table.likes) }
        }
        return table
    }

    /// Where a term does not hold in the first of some regions, it holds in none of them.
    private func clear(
        _ query: Int, _ term: FilterTerm, _ regions: Range<Int>, _ masks: UnsafeMutablePointer<UInt64>,
        _ places: [FilterConstant: Int]
    ) {
        guard let first = regions.first, !term.formula.holds(.region(first), places) else { return }
        for region in regions { clear(query, masks + wordCount * region) }
    }

    private func set(_ query: Int, _ mask: UnsafeMutablePointer<UInt64>) {
        mask[query >> 6] |= 1 << UInt64(query & 63)
    }

    private func clear(_ query: Int, _ mask: UnsafeMutablePointer<UInt64>) {
        mask[query >> 6] &= ~(1 << UInt64(query & 63))
    }

    private func copy(_ values: [Double]) -> UnsafeMutablePointer<Double> {
        let made = UnsafeMutablePointer<Double>.allocate(capacity: max(values.count, 1))
        for (index, value) in values.enumerated() { (made + index).initialize(to: value) }
        numbers.append(made)
        return made
    }

    private func copy(_ texts: [[UInt8]]) -> UnsafeMutablePointer<UnsafeRawBufferPointer> {
        let made = UnsafeMutablePointer<UnsafeRawBufferPointer>.allocate(capacity: max(texts.count, 1))
        for (index, text) in texts.enumerated() {
            let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: max(text.count, 1), alignment: 8)
            bytes.copyBytes(from: text)
            textBytes.append(bytes)
            (made + index).initialize(to: UnsafeRawBufferPointer(rebasing: bytes[..<text.count]))
        }
        textLists.append(made)
        return made
    }
}

extension FilterTerm.Formula {
    /// Where a value stands beside the constants of a table.
    enum Place {
        case null
        /// No constant can be compared with it.
        case incomparable
        case region(Int)
    }

    /// Whether it is true for all values there.
    func holds(_ place: Place, _ places: [FilterConstant: Int]) -> Bool {
        switch self {
        case .compare(let orders, let constant):
            guard case .region(let region) = place, let at = places[constant] else { return false }
            let point = 2 * at + 1
            return orders & (region < point ? 1 : region == point ? 2 : 4) != 0
        case .like(let prefix, let isNegated):
            guard case .region(let region) = place, let from = places[.text(prefix)],
                let to = places[.text(FilterConstant.successor(of: prefix))]
            else { return false }
            return (region > 2 * from && region < 2 * to + 1) != isNegated
        case .isNull(let isNull):
            if case .null = place { return isNull }
            return !isNull
        case .all(let parts): return parts.allSatisfy { $0.holds(place, places) }
        case .any(let parts): return parts.contains { $0.holds(place, places) }
        }
    }
}
