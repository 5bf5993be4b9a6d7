package import Platform
package import Telemetry

/// The rows of one output of a query, as they stand in its files: whether the query runs, is paused or has failed.
///
/// Rows of windows that have a file each are read by window end, those of a growing file by place. Both can be read
/// on from the `_rid` of a row.
package struct ResultHistory: Sendable {
    /// Where a page begins: behind it.
    package enum Since: Sendable, Equatable {
        /// Windows that end later.
        case time(EventTime)
        /// The row of that `_rid`.
        case row(String)
        /// Bytes of the growing file.
        case place(UInt64)

        /// Reads an ISO 8601 time, the 32 digits of a `_rid`, or a place; nil for anything else.
        package init?(_ text: String) {
            let isHexadecimal = text.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x61...0x66).contains($0)
            }
            if text.utf8.count == 32, isHexadecimal {
                self = .row(text)
            } else if let place = UInt64(text) {
                self = .place(place)
            } else if let time = EventTime.parse(text) {
                self = .time(time)
            } else {
                return nil
            }
        }
    }

    package enum Order: String, Sendable { case oldest, newest }

    package struct Page: Sendable {
        package var rows: [[UInt8]] = []
        /// What `since` has to be for the rows behind these; nil when there is none yet.
        package var next: String?
    }

    /// How much is read for one answer.
    package struct Limits: Sendable {
        /// Bytes of a growing file that one page has at most, about. Default 16 MiB: a hundred thousand rows of 160.
        package var pageBytesMax = 16 << 20
        /// Bytes that are looked through for a `_rid`, from the newest back. Default 64 MiB: a moment's reading.
        package var searchBytesMax = 64 << 20
        /// Bytes of one read. Default 1 MiB.
        package var chunkBytes = 1 << 20

        package init() {}
    }

    private let folder: String
    private let output: String
    private let isWindowed: Bool
    private let files: any FileStore
    private let limits: Limits

    /// - Parameters:
    ///   - results: the query's folder of results.
    ///   - isWindowed: each window has a file of its own.
    package init(
        results: String, output: String, isWindowed: Bool, files: any FileStore, limits: Limits = Limits()
    ) {
        folder = results + "/" + output
        self.output = output
        self.isWindowed = isWindowed
        self.files = files
        self.limits = limits
    }

    /// - Parameters:
    ///   - since: nil for the first row that there is.
    ///   - limit: rows; of windows no further one is begun once so many are there.
    /// - Throws: `QueryRequestError` for a place that is none here.
    package func page(since: Since?, order: Order, limit: Int) throws -> Page {
        isWindowed
            ? try windows(since: since, order: order, limit: limit)
            : try growing(since: since, order: order, limit: limit)
    }

    private func refuse(_ text: String) -> QueryRequestError {
        QueryRequestError(.invalid, "since: \(text)")
    }

    // MARK: A file for each window

    private func windows(since: Since?, order: Order, limit: Int) throws -> Page {
        var page = Page()
        var after: EventTime?
        /// Rows behind that of `since`, in its own window.
        var rest: [[UInt8]] = []
        switch since {
        case nil: break
        case .time(let time): after = time
        case .place(let place):
            throw refuse(
                "\(place) is a place in a growing file; \(output) has a file for each window: give the window end "
                    + "(ISO 8601) or the _rid of the last row")
        case .row(let rid):
            let found = try window(with: rid)
            after = found.end
            if order == .oldest { page.rows = found.rest } else { rest = found.rest }
        }
        page.next = after?.description
        let sinceDate = after.map { "date=" + $0.description.prefix(10) } ?? ""
        let isNewest = order == .newest
        for date in inOrder(try files.list(folder), isNewest)
        where date.hasPrefix("date=") && date >= sinceDate {
            for hour in inOrder(try files.list(folder + "/" + date), isNewest) where hour.hasPrefix("hour=") {
                let path = folder + "/" + date + "/" + hour
                let ends = try files.list(path).compactMap { name in
                    ResultFiles.windowEnd(ofFile: name).map { (end: $0, name: name) }
                }.filter { window in after.map { $0 < window.end } ?? true }
                for window in inOrder(ends.sorted { $0.end < $1.end }, isNewest) {
                    if page.rows.count >= limit { return page }
                    page.rows += Self.lines(try files.contents(of: path + "/" + window.name))
                    if !isNewest || page.next == after?.description { page.next = window.end.description }
                }
            }
        }
        page.rows += rest
        return page
    }

    private func inOrder<Element>(_ items: [Element], _ isNewest: Bool) -> [Element] {
        isNewest ? items.reversed() : items
    }

    /// The window that has a row, and the rows behind it there.
    private func window(with rid: String) throws -> (end: EventTime, rest: [[UInt8]]) {
        let mark = Self.mark(rid)
        var searched = 0
        for date in try files.list(folder).reversed() where date.hasPrefix("date=") {
            for hour in try files.list(folder + "/" + date).reversed() {
                let path = folder + "/" + date + "/" + hour
                for name in try files.list(path).reversed() {
                    guard let end = ResultFiles.windowEnd(ofFile: name) else { continue }
                    let bytes = try files.contents(of: path + "/" + name)
                    if let at = Self.find(mark, in: bytes) {
                        return (end, Self.lines(Array(bytes[(at + mark.count)...])))
                    }
                    searched += bytes.count
                    if searched > limits.searchBytesMax { throw missing(rid) }
                }
            }
        }
        throw missing(rid)
    }

    private func missing(_ rid: String) -> QueryRequestError {
        refuse("no row of \(output) has the _rid \(rid), in the newest \(limits.searchBytesMax >> 20) MiB")
    }

    // MARK: One file that grows

    private func growing(since: Since?, order: Order, limit: Int) throws -> Page {
        let path = folder + "/" + output + ".jsonl"
        guard files.exists(path) else {
            if case .row(let rid) = since { throw missing(rid) }
            return Page(next: Self.place(since))
        }
        let file = try files.open(path, writable: false)
        defer { file.close() }
        let size = try file.byteCount()
        var start: UInt64 = 0
        switch since {
        case nil: break
        case .place(let place):
            // Behind the end: what a crash took is being written again.
            if place >= size { return Page(next: String(place)) }
            if place > 0, try read(file, place - 1, 1) != [0x0A] {
                throw refuse("\(place) is not where a row of \(output) begins")
            }
            start = place
        case .row(let rid): start = try end(of: rid, in: file, size)
        case .time(let time):
            throw refuse(
                "\(time): the rows of \(output) stand in one file in the order they came, and are not found by "
                    + "time; give the _rid of the last row, or what the header Headend-Next said")
        }
        return order == .oldest
            ? try forward(file, from: start, to: size, limit: limit)
            : try backward(file, from: start, to: size, limit: limit)
    }

    private static func place(_ since: Since?) -> String? {
        if case .place(let place) = since { return String(place) }
        return nil
    }

    private func forward(
        _ file: any StoredFile, from start: UInt64, to size: UInt64, limit: Int
    ) throws -> Page {
        var page = Page(next: String(start))
        var at = start
        var step = limits.chunkBytes
        var budget = limits.pageBytesMax
        while page.rows.count < limit, at < size, budget > 0 {
            let bytes = try read(file, at, min(step, Int(min(size - at, UInt64(Int.max)))))
            var used = 0
            while page.rows.count < limit, let newline = bytes[used...].firstIndex(of: 0x0A) {
                page.rows.append(Array(bytes[used..<newline]))
                used = newline + 1
            }
            at += UInt64(used)
            budget -= used
            page.next = String(at)
            if used > 0 { continue }
            // A row that is longer than the read, or half of one that is being written.
            if bytes.count < step { break }
            step *= 2
        }
        return page
    }

    /// The newest row first.
    private func backward(
        _ file: any StoredFile, from start: UInt64, to size: UInt64, limit: Int
    ) throws -> Page {
        var page = Page()
        /// What is read and not given out: the end of a row whose begin is not read yet.
        var rest: [UInt8] = []
        var at = size
        var budget = limits.pageBytesMax
        while page.rows.count < limit, budget > 0 {
            if at > start {
                let count = min(UInt64(limits.chunkBytes), at - start)
                at -= count
                budget -= Int(count)
                rest = try read(file, at, Int(count)) + rest
            }
            if page.next == nil {
                guard let last = rest.lastIndex(of: 0x0A) else {
                    if at > start { continue }
                    return Page(next: String(start))
                }
                page.next = String(at + UInt64(last) + 1)
                rest = Array(rest[..<last])
            }
            while page.rows.count < limit, let newline = rest.lastIndex(of: 0x0A) {
                page.rows.append(Array(rest[(newline + 1)...]))
                rest = Array(rest[..<newline])
            }
            if at == start {
                if page.rows.count < limit { page.rows.append(rest) }
                break
            }
        }
        return page
    }

    /// Where the row of a `_rid` ends, looked for from the newest back.
    private func end(of rid: String, in file: any StoredFile, _ size: UInt64) throws -> UInt64 {
        let mark = Self.mark(rid)
        var end = size
        while end > 0, size - end < UInt64(limits.searchBytesMax) {
            let start = end > UInt64(limits.chunkBytes) ? end - UInt64(limits.chunkBytes) : 0
            let bytes = try read(file, start, Int(end - start))
            if let at = Self.find(mark, in: bytes) { return start + UInt64(at + mark.count) }
            if start == 0 { break }
            // A mark may stand across two reads.
            end = start + UInt64(mark.count)
        }
        throw missing(rid)
    }

    // MARK: Bytes

    private func read(_ file: any StoredFile, _ at: UInt64, _ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let got = try bytes.withUnsafeMutableBytes { try file.read(into: $0, at: at) }
        return Array(bytes[..<got])
    }

    /// How the line of a row ends.
    private static func mark(_ rid: String) -> [UInt8] { Array("\"_rid\":\"\(rid)\"}\n".utf8) }

    private static func find(_ mark: [UInt8], in bytes: [UInt8]) -> Int? {
        guard bytes.count >= mark.count else { return nil }
        // Lines end seldom, so that only their ends are compared.
        var at = mark.count - 1
        while at < bytes.count {
            guard let newline = bytes[at...].firstIndex(of: 0x0A) else { return nil }
            let start = newline + 1 - mark.count
            if bytes[start...newline].elementsEqual(mark) { return start }
            at = newline + 1
        }
        return nil
    }

    private static func lines(_ bytes: [UInt8]) -> [[UInt8]] {
        bytes.split(separator: 0x0A).map(Array.init)
    }
}
