import Hub
import Platform
import Telemetry

/// Compares the result files of a disk, and the rows that subscribers got, with the truth.
struct ResultCheck {
    private let truth: WindowOracle
    private let world: World
    private var resultIDs: Set<String> = []

    init(truth: WindowOracle, world: World) {
        self.truth = truth
        self.world = world
    }

    /// - Parameter isDrained: everything due must be there; else what is there must be right.
    mutating func check(disk: SimulatedDisk, forwarded rows: [[UInt8]], isDrained: Bool) {
        let expected = Dictionary(grouping: truth.windows.keys, by: \.end)
        var found: Set<Int64> = []
        for (path, _) in disk.contents
        where path.hasPrefix("data/results/minute/") && path.hasSuffix(".jsonl") {
            guard let name = path.split(separator: "/").last, let lines = lines(path, disk),
                let end = ResultFiles.windowEnd(ofFile: String(name))?.ticks
            else { continue }
            found.insert(end)
            let wanted = (expected[end] ?? []).map(truth.row).sorted()
            if lines.sorted() != wanted {
                world.fail(.windows, "\(path) has \(difference(lines, wanted))")
            }
        }
        let known = Set(truth.windows.keys.map(truth.row))
        for row in rows {
            let line = String(decoding: row, as: UTF8.self)
            if let text = withoutID(line, isNew: false), !known.contains(text) {
                world.fail(.windows, "a subscriber got \(line)")
            }
        }
        guard isDrained else { return }
        checkLate(disk)
        for end in expected.keys.sorted() where !found.contains(end) {
            world.fail(.windows, "no file for the window that ends at \(EventTime(ticks: end))")
        }
    }

    /// While it runs, bytes behind the committed end may be there, and rows that are due may not.
    private mutating func checkLate(_ disk: SimulatedDisk) {
        let path = "data/results/_late/_late.jsonl"
        guard let found = disk.exists(path) ? lines(path, disk) : [] else { return }
        if found != truth.late { world.fail(.late, "\(path) has \(difference(found, truth.late))") }
    }

    /// The lines of a file without their ids, each of which must be the only one of its kind.
    private mutating func lines(_ path: String, _ disk: SimulatedDisk) -> [String]? {
        guard let bytes = try? disk.contents(of: path) else {
            world.fail(.windows, "\(path) cannot be read")
            return nil
        }
        var lines: [String] = []
        for line in bytes.split(separator: 0x0A) {
            guard let text = withoutID(String(decoding: line, as: UTF8.self), isNew: true) else {
                world.fail(.windows, "\(path) has the line \(String(decoding: line, as: UTF8.self))")
                return nil
            }
            lines.append(text)
        }
        return lines
    }

    /// - Parameter isNew: the id must not have been seen before.
    private mutating func withoutID(_ line: String, isNew: Bool) -> String? {
        let mark = Array(",\"_rid\":\"".utf8)
        let bytes = Array(line.utf8)
        let tail = mark.count + 34
        guard bytes.count > tail, bytes[(bytes.count - tail)...].starts(with: mark), bytes.last == 0x7D else {
            return nil
        }
        let id = String(decoding: bytes[(bytes.count - 34)..<(bytes.count - 2)], as: UTF8.self)
        if isNew, !resultIDs.insert(id).inserted { world.fail(.windows, "two rows have the id \(id)") }
        return String(decoding: bytes[..<(bytes.count - tail)], as: UTF8.self)
    }

    private func difference(_ found: [String], _ wanted: [String]) -> String {
        let extra = found.first { !wanted.contains($0) }
        let missing = wanted.first { !found.contains($0) }
        switch (extra, missing) {
        case (let extra?, let missing?): return "\(extra), must be \(missing)"
        case (let extra?, nil): return "\(extra), which must not be"
        case (nil, let missing?): return "no \(missing)"
        case (nil, nil): return "rows twice or in another order"
        }
    }
}
