/// Reference data as it was read: one JSON object a row, in one piece of memory that all queries share.
///
/// `@unchecked Sendable`: nothing is written after init, whatever thread reads. Raw pointer: the object owns the
/// bytes, which the tables made of it point to, and frees them in deinit.
package final class ReferenceData: @unchecked Sendable {
    package let name: String
    /// What errors call the place of the rows: a file.
    package let place: String
    /// All values are texts, as those of CSV are: CREATE TABLE reads them.
    package let isText: Bool
    /// All rows, one behind the other.
    package let bytes: UnsafeRawBufferPointer
    /// Where each row ends.
    private let ends: [Int]
    /// By row the line of the file; empty when nobody knows.
    private let lines: [Int32]

    /// - Parameters:
    ///   - bytes: JSON objects, with nothing but blanks and line ends between.
    ///   - ends: by row where it ends; the next begins there.
    ///   - lines: by row the line of `place`; empty when nobody knows.
    package init(
        name: String, place: String, isText: Bool, bytes: [UInt8], ends: [Int], lines: [Int32] = []
    ) {
        precondition(ends.last ?? 0 <= bytes.count, "a row ends behind the bytes")
        precondition(lines.isEmpty || lines.count == ends.count, "a line for each row, or none")
        self.name = name
        self.place = place
        self.isText = isText
        self.ends = ends
        self.lines = lines
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(bytes.count, 1), alignment: 16)
        copy.copyBytes(from: bytes)
        self.bytes = UnsafeRawBufferPointer(rebasing: copy[..<bytes.count])
    }

    /// Rows of their own, each a JSON object.
    package convenience init(name: String, rows: [[UInt8]]) {
        var bytes: [UInt8] = []
        var ends: [Int] = []
        for row in rows {
            bytes += row
            ends.append(bytes.count)
        }
        self.init(name: name, place: name, isText: false, bytes: bytes, ends: ends)
    }

    deinit { UnsafeMutableRawBufferPointer(mutating: bytes).deallocate() }

    package var rowCount: Int { ends.count }

    /// The bytes of a row; valid as long as the object.
    package func row(_ number: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: bytes[(number == 0 ? 0 : ends[number - 1])..<ends[number]])
    }

    /// `FILE:LINE`, or the number of the row.
    package func place(of row: Int) -> String {
        lines.isEmpty ? "\(place): row \(row + 1)" : "\(place):\(lines[row])"
    }
}
