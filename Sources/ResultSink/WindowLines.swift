/// The lines of some windows before they are written: one buffer for all, sorted by their bytes window by window.
struct WindowLines {
    fileprivate struct Line {
        var offset: Int
        /// The newline included.
        var byteCount: Int
        /// The first bytes behind those that all lines of the window begin with, as a number that sorts alike.
        var key: UInt64 = 0
    }

    private var bytes: [UInt8] = []
    private var lines: [[Line]]

    init(windows count: Int) { lines = Array(repeating: [], count: count) }

    var byteCount: Int { bytes.count }
    var isEmpty: Bool { bytes.isEmpty }

    mutating func append(_ json: UnsafeRawBufferPointer, window: Int) {
        lines[window].append(Line(offset: bytes.count, byteCount: json.count + 1))
        bytes.appendLine(json)
    }

    mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        for window in lines.indices { lines[window].removeAll(keepingCapacity: true) }
    }

    /// The lines of a window, in the order of their bytes.
    func sorted(window: Int) -> [UInt8] {
        var sorted = lines[window]
        guard let first = sorted.first else { return [] }
        return bytes.withUnsafeBytes { bytes in
            let common = sorted.dropFirst().reduce(first.byteCount) { common, line in
                Self.commonCount(first, line, in: bytes, at: common)
            }
            for index in sorted.indices { sorted[index].key = Self.key(of: sorted[index], common, in: bytes) }
            sorted.sort {
                $0.key == $1.key ? Self.precedes($0, $1, in: bytes, from: common) : $0.key < $1.key
            }
            let count = sorted.reduce(0) { $0 + $1.byteCount }
            return [UInt8](unsafeUninitializedCapacity: count) { target, used in
                let target = UnsafeMutableRawBufferPointer(target)
                for line in sorted {
                    UnsafeMutableRawBufferPointer(rebasing: target[used...])
                        .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[line.range]))
                    used += line.byteCount
                }
            }
        }
    }

    /// How many bytes both lines begin with, at most those that were the same so far.
    private static func commonCount(
        _ left: Line, _ right: Line, in bytes: UnsafeRawBufferPointer, at former: Int
    ) -> Int {
        let count = min(former, right.byteCount)
        var at = 0
        while at < count, bytes[left.offset + at] == bytes[right.offset + at] { at += 1 }
        return at
    }

    private static func key(of line: Line, _ common: Int, in bytes: UnsafeRawBufferPointer) -> UInt64 {
        var key: UInt64 = 0
        for index in common..<(common + 8) {
            key = key << 8 | (index < line.byteCount ? UInt64(bytes[line.offset + index]) : 0)
        }
        return key
    }

    private static func precedes(
        _ left: Line, _ right: Line, in bytes: UnsafeRawBufferPointer, from start: Int
    ) -> Bool {
        for index in start..<max(start, min(left.byteCount, right.byteCount)) {
            let (one, other) = (bytes[left.offset + index], bytes[right.offset + index])
            if one != other { return one < other }
        }
        return left.byteCount < right.byteCount
    }
}

extension WindowLines.Line {
    fileprivate var range: Range<Int> { offset..<(offset + byteCount) }
}

extension [UInt8] {
    /// Appends a row and a newline.
    mutating func appendLine(_ json: UnsafeRawBufferPointer) {
        append(contentsOf: json)
        append(UInt8(ascii: "\n"))
    }
}
