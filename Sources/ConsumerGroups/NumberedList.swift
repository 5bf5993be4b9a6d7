/// A first-in, first-out list whose elements keep the number they were appended under.
struct NumberedList<Element> {
    private var elements: [Element] = []
    private var head = 0
    /// The number of the oldest element; that of the next one while the list is empty.
    private(set) var first: UInt64

    init(first: UInt64 = 0) { self.first = first }

    var count: Int { elements.count - head }
    var isEmpty: Bool { head == elements.count }
    /// The number that the next element gets.
    var end: UInt64 { first + UInt64(count) }
    var oldest: Element? { isEmpty ? nil : elements[head] }

    func contains(_ number: UInt64) -> Bool { number >= first && number < end }

    subscript(number: UInt64) -> Element {
        get { elements[head + Int(number - first)] }
        set { elements[head + Int(number - first)] = newValue }
    }

    mutating func append(_ element: Element) { elements.append(element) }

    mutating func removeOldest() {
        precondition(!isEmpty)
        head += 1
        first += 1
        // Moves each element once on average.
        if head >= 64, head * 2 >= elements.count {
            elements.removeFirst(head)
            head = 0
        }
    }

    /// Empties the list; numbers go on.
    mutating func removeAll() {
        first = end
        elements.removeAll(keepingCapacity: true)
        head = 0
    }
}
