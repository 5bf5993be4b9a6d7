/// The open windows of all devices, their groups, and each device's timeline.
///
/// A device has its few open windows in a list by end; a heap over (end, device) gives a tick the windows
/// that close without looking at the others. A window's groups are cells of an open-addressed table indexed
/// by the field number, which is dense, so that a probe nearly always hits at once.
///
/// Raw pointers: this class owns all of them, hands them out only inside the engine's own calls, and frees
/// them in deinit. Tables of closed windows are kept and used again: no allocation in the steady state.
final class WindowStore {
    struct Device {
        /// Greatest accepted event time in ticks; `Int64.min` before the first.
        var greatest = Int64.min
        /// End of its first open window; `Int64.max` when there is none.
        var earliestEnd = Int64.max
        /// Its first open window, or −1.
        var first: Int32 = -1
    }

    struct Window {
        var end: Int64
        var cells: UnsafeMutablePointer<Accumulator>
        var device: UInt32
        /// The device's next open window, or −1.
        var next: Int32
        var heapIndex: Int32
        /// log2 of the cell count.
        var sizeClass: UInt8
        var used: UInt32
    }

    /// Two cells: many devices measure one thing.
    private static let smallestClass: UInt8 = 1

    private(set) var devices: UnsafeMutablePointer<Device>
    private(set) var deviceCapacity = 1_024
    private(set) var windows: UnsafeMutablePointer<Window>
    private var windowCapacity = 256
    /// Slots of `windows` up to here have been used.
    private var windowTop = 0
    private var freeWindows: [Int32] = []
    private var freeCells: [[UnsafeMutablePointer<Accumulator>]] = Array(repeating: [], count: 40)
    private var heap: [Int32] = []
    private(set) var openGroups = 0

    init() {
        devices = .allocate(capacity: deviceCapacity)
        devices.initialize(repeating: Device(), count: deviceCapacity)
        windows = .allocate(capacity: windowCapacity)
    }

    deinit {
        for slot in heap { windows[Int(slot)].cells.deallocate() }
        for tables in freeCells {
            for cells in tables { cells.deallocate() }
        }
        windows.deallocate()
        devices.deallocate()
    }

    var openWindows: Int { heap.count }

    /// Bytes in memory, tables kept for reuse included.
    var byteCount: Int {
        var cells = freeCells.enumerated().reduce(0) { $0 + $1.element.count << $1.offset }
        for slot in heap { cells += 1 << Int(windows[Int(slot)].sizeClass) }
        return deviceCapacity * MemoryLayout<Device>.stride + windowCapacity * MemoryLayout<Window>.stride
            + cells * MemoryLayout<Accumulator>.stride + (heap.capacity + freeWindows.capacity) * 4
    }

    /// The open window with the least (end, device); nil when none is open.
    var earliest: Int32? { heap.first }

    /// End of the earliest open window of all; `Int64.max` when none is open.
    var earliestEnd: Int64 { heap.first.map { windows[Int($0)].end } ?? Int64.max }

    /// The device's state; the caller has checked the number against the limits.
    @inline(__always)
    func device(_ number: UInt32) -> UnsafeMutablePointer<Device> {
        if Int(number) >= deviceCapacity { growDevices(past: Int(number)) }
        return devices + Int(number)
    }

    /// The device's open window with this end, opened when it is not; −1 when `openWindowsMax` refuses.
    @inline(__always)
    func window(of number: UInt32, end: Int64, limit: Int) -> Int32 {
        var before: Int32 = -1
        var at = devices[Int(number)].first
        while at >= 0, windows[Int(at)].end < end {
            before = at
            at = windows[Int(at)].next
        }
        if at >= 0, windows[Int(at)].end == end { return at }
        return open(number, end: end, before: before, at: at, limit: limit)
    }

    /// The group of a field in a window, made when it is not there; nil when `openGroupsMax` refuses.
    @inline(__always)
    func cell(in slot: Int32, field: UInt32, limit: Int) -> UnsafeMutablePointer<Accumulator>? {
        let window = windows + Int(slot)
        let mask = (1 << Int(window.pointee.sizeClass)) - 1
        var index = Int(field) & mask
        while true {
            let cell = window.pointee.cells + index
            if cell.pointee.field == field { return cell }
            if cell.pointee.field == Accumulator.emptyField { break }
            index = (index + 1) & mask
        }
        return makeCell(in: window, field: field, limit: limit)
    }

    /// Calls `body` for each group of a window, in no particular order.
    func forEachCell(of slot: Int32, _ body: (UnsafeMutablePointer<Accumulator>) -> Void) {
        let window = windows[Int(slot)]
        for index in 0..<(1 << Int(window.sizeClass))
        where window.cells[index].field != Accumulator.emptyField {
            body(window.cells + index)
        }
    }

    /// Takes a window, the first of its device's list, out of the open ones; its groups stay readable until
    /// `recycle`.
    func detach(_ slot: Int32) {
        let window = windows[Int(slot)]
        let device = devices + Int(window.device)
        precondition(device.pointee.first == slot, "windows of a device close in order")
        device.pointee.first = window.next
        device.pointee.earliestEnd = window.next >= 0 ? windows[Int(window.next)].end : Int64.max
        removeFromHeap(Int(window.heapIndex))
    }

    /// Forgets a detached window and its groups.
    func recycle(_ slot: Int32) {
        let window = windows[Int(slot)]
        openGroups -= Int(window.used)
        freeCells[Int(window.sizeClass)].append(window.cells)
        freeWindows.append(slot)
    }

    /// The greatest end of the open windows; nil when none is open. Looks at all of them.
    var latestEnd: Int64? { heap.lazy.map { self.windows[Int($0)].end }.max() }

    private func growDevices(past number: Int) {
        var capacity = deviceCapacity
        while capacity <= number { capacity *= 2 }
        let larger = UnsafeMutablePointer<Device>.allocate(capacity: capacity)
        larger.moveInitialize(from: devices, count: deviceCapacity)
        (larger + deviceCapacity).initialize(repeating: Device(), count: capacity - deviceCapacity)
        devices.deallocate()
        devices = larger
        deviceCapacity = capacity
    }

    private func open(_ number: UInt32, end: Int64, before: Int32, at: Int32, limit: Int) -> Int32 {
        guard heap.count < limit else { return -1 }
        let slot: Int32
        if let free = freeWindows.popLast() {
            slot = free
        } else {
            if windowTop == windowCapacity { growWindows() }
            slot = Int32(windowTop)
            windowTop += 1
        }
        (windows + Int(slot)).initialize(
            to: Window(
                end: end, cells: takeCells(Self.smallestClass), device: number, next: at, heapIndex: -1,
                sizeClass: Self.smallestClass, used: 0))
        if before >= 0 {
            windows[Int(before)].next = slot
        } else {
            devices[Int(number)].first = slot
            devices[Int(number)].earliestEnd = end
        }
        heap.append(slot)
        siftUp(heap.count - 1)
        return slot
    }

    private func growWindows() {
        let larger = UnsafeMutablePointer<Window>.allocate(capacity: windowCapacity * 2)
        larger.moveInitialize(from: windows, count: windowCapacity)
        windows.deallocate()
        windows = larger
        windowCapacity *= 2
    }

    private func takeCells(_ sizeClass: UInt8) -> UnsafeMutablePointer<Accumulator> {
        let count = 1 << Int(sizeClass)
        let cells = freeCells[Int(sizeClass)].popLast() ?? .allocate(capacity: count)
        cells.initialize(repeating: Accumulator(), count: count)
        return cells
    }

    private func makeCell(
        in window: UnsafeMutablePointer<Window>, field: UInt32, limit: Int
    ) -> UnsafeMutablePointer<Accumulator>? {
        guard openGroups < limit else { return nil }
        let count = 1 << Int(window.pointee.sizeClass)
        if (Int(window.pointee.used) + 1) * 4 > count * 3 {
            let old = window.pointee.cells
            let oldClass = window.pointee.sizeClass
            window.pointee.sizeClass += 1
            window.pointee.cells = takeCells(oldClass + 1)
            for index in 0..<count where old[index].field != Accumulator.emptyField {
                freeCell(in: window, field: old[index].field).pointee = old[index]
            }
            freeCells[Int(oldClass)].append(old)
        }
        let cell = freeCell(in: window, field: field)
        cell.pointee.field = field
        window.pointee.used += 1
        openGroups += 1
        return cell
    }

    private func freeCell(
        in window: UnsafeMutablePointer<Window>, field: UInt32
    ) -> UnsafeMutablePointer<Accumulator> {
        let mask = (1 << Int(window.pointee.sizeClass)) - 1
        var index = Int(field) & mask
        while window.pointee.cells[index].field != Accumulator.emptyField { index = (index + 1) & mask }
        return window.pointee.cells + index
    }
}

// The heap of open windows by (end, device).
extension WindowStore {
    private func precedes(_ left: Int32, _ right: Int32) -> Bool {
        let a = windows + Int(left)
        let b = windows + Int(right)
        return a.pointee.end != b.pointee.end
            ? a.pointee.end < b.pointee.end : a.pointee.device < b.pointee.device
    }

    private func put(_ slot: Int32, at index: Int) {
        heap[index] = slot
        windows[Int(slot)].heapIndex = Int32(index)
    }

    private func siftUp(_ start: Int) {
        var index = start
        let slot = heap[index]
        while index > 0 {
            let parent = (index - 1) / 2
            guard precedes(slot, heap[parent]) else { break }
            put(heap[parent], at: index)
            index = parent
        }
        put(slot, at: index)
    }

    private func siftDown(_ start: Int) {
        var index = start
        let slot = heap[index]
        while true {
            var child = index * 2 + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, precedes(heap[child + 1], heap[child]) { child += 1 }
            guard precedes(heap[child], slot) else { break }
            put(heap[child], at: index)
            index = child
        }
        put(slot, at: index)
    }

    private func removeFromHeap(_ index: Int) {
        let last = heap.removeLast()
        guard index < heap.count else { return }
        put(last, at: index)
        siftUp(index)
        siftDown(Int(windows[Int(last)].heapIndex))
    }
}
