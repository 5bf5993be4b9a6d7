import CSQLite
import Telemetry

/// Rows of an SQLite database, as one read transaction sees them. The file is opened for reading only.
///
/// Owns the connection and finalizes what it prepares; used by one thread.
final class SQLiteRows {
    private let path: String
    private let limits: ReferenceLimits
    private let isCancelled: () -> Bool
    private var database: OpaquePointer?

    /// - Parameter isCancelled: asked now and then while SQLite works; true ends it.
    init(
        path: String, limits: ReferenceLimits, isCancelled: @escaping () -> Bool
    ) throws(ReferenceError) {
        self.path = path
        self.limits = limits
        self.isCancelled = isCancelled
        let code = sqlite3_open_v2(path, &database, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nil)
        guard code == SQLITE_OK else { throw failure(code, path) }
        sqlite3_busy_timeout(database, limits.busyMilliseconds)
        sqlite3_progress_handler(
            database, 100_000,
            { context in
                guard let context else { return 0 }
                return Unmanaged<SQLiteRows>.fromOpaque(context).takeUnretainedValue().isCancelled() ? 1 : 0
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    deinit { sqlite3_close(database) }

    func read(_ selection: ReferenceSource.Selection, into rows: inout RowCollector) throws(ReferenceError) {
        let table: String
        switch selection {
        case .query(let text): return try read(text, place: "\(path)#query", into: &rows)
        case .table(let name): table = try known(name)
        case .onlyTable:
            let tables = try tables()
            guard tables.count == 1 else {
                let list = tables.isEmpty ? "none" : tables.joined(separator: ", ")
                throw ReferenceError(
                    .input, "\(path): there are \(tables.count) tables (\(list)); say which: \(path)#TABLE")
            }
            table = tables[0]
        }
        let quoted = table.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"")
        try read("SELECT * FROM \"\(quoted)\"", place: "\(path)#\(table)", into: &rows)
    }

    private func tables() throws(ReferenceError) -> [String] {
        let statement = try prepare(
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' "
                + "ESCAPE '\\' ORDER BY name", path)
        defer { sqlite3_finalize(statement) }
        var names: [String] = []
        while try step(statement, path) { names.append(text(statement, 0)) }
        return names
    }

    private func known(_ name: String) throws(ReferenceError) -> String {
        let tables = try tables()
        if let found = tables.first(where: { $0.lowercased() == name.lowercased() }) { return found }
        let hint = Suggestion.nearest(to: name, in: tables).map { "; did you mean \($0)?" } ?? ""
        throw ReferenceError(
            .input,
            "\(path): no table \(name); there are: \(tables.isEmpty ? "none" : tables.joined(separator: ", "))\(hint)"
        )
    }

    private func read(_ sql: String, place: String, into rows: inout RowCollector) throws(ReferenceError) {
        let statement = try prepare(sql, place)
        defer { sqlite3_finalize(statement) }
        let names = try columns(of: statement, place)
        var number = 0
        while try step(statement, place) {
            number += 1
            var mistake: String?
            let beyond = rows.append(line: 0) { bytes in
                bytes.append(0x7B)
                for (index, name) in names.enumerated() {
                    if index > 0 { bytes.append(0x2C) }
                    bytes.append(contentsOf: name.json)
                    bytes.append(0x3A)
                    if let found = append(statement, Int32(index), to: &bytes) {
                        mistake = "column \(name.text): \(found)"
                    }
                }
                bytes.append(0x7D)
            }
            if let text = mistake ?? beyond {
                throw ReferenceError(.input, "\(place): row \(number): \(text)")
            }
        }
    }

    private func columns(
        of statement: OpaquePointer?, _ place: String
    ) throws(ReferenceError) -> [(text: String, json: [UInt8])] {
        let count = Int(sqlite3_column_count(statement))
        guard count > 0, sqlite3_stmt_readonly(statement) != 0 else {
            throw ReferenceError(.input, "\(place): gives no rows: write a SELECT")
        }
        guard count <= limits.columnsMax else {
            throw ReferenceError(.input, "\(place): \(count) columns, and the limit is \(limits.columnsMax)")
        }
        var names: [(text: String, json: [UInt8])] = []
        for index in 0..<count {
            let text = sqlite3_column_name(statement, Int32(index)).map { String(cString: $0) } ?? ""
            if names.contains(where: { $0.text == text }) {
                throw ReferenceError(
                    .input, "\(place): two columns are called \(text); give one another name with AS")
            }
            var json: [UInt8] = []
            JSONText.append(text, to: &json)
            names.append((text, json))
        }
        return names
    }

    /// - Returns: why the value cannot be one of a row; nil when it can.
    private func append(_ statement: OpaquePointer?, _ column: Int32, to bytes: inout [UInt8]) -> String? {
        switch sqlite3_column_type(statement, column) {
        case SQLITE_NULL: bytes.append(contentsOf: "null".utf8)
        case SQLITE_INTEGER: bytes.append(contentsOf: String(sqlite3_column_int64(statement, column)).utf8)
        case SQLITE_FLOAT:
            let value = sqlite3_column_double(statement, column)
            guard value.isFinite else { return "an infinite number" }
            bytes.append(contentsOf: value.description.utf8)
        case SQLITE_TEXT:
            let start = sqlite3_column_text(statement, column)
            let text = UnsafeRawBufferPointer(
                start: start, count: Int(sqlite3_column_bytes(statement, column)))
            guard UTF8Check.firstNonUTF8(text) == nil else { return "a text that is no UTF-8" }
            RowCollector.appendText(text, to: &bytes)
        default: return "a BLOB; select hex(…) of it"
        }
        return nil
    }

    // MARK: Calls

    private func prepare(_ sql: String, _ place: String) throws(ReferenceError) -> OpaquePointer? {
        var statement: OpaquePointer?
        var isMore = false
        let code = sql.withCString { text in
            var rest: UnsafePointer<CChar>?
            let code = sqlite3_prepare_v2(database, text, -1, &statement, &rest)
            while let byte = rest?.pointee, byte != 0 {
                // What may follow the statement: nothing but blanks and a semicolon.
                if ![0x20, 0x09, 0x0A, 0x0D, 0x3B].contains(byte) { isMore = true }
                rest = rest?.successor()
            }
            return code
        }
        guard code == SQLITE_OK else { throw failure(code, place) }
        if isMore || statement == nil {
            sqlite3_finalize(statement)
            throw ReferenceError(.input, "\(place): is one SELECT, and nothing else")
        }
        return statement
    }

    private func step(_ statement: OpaquePointer?, _ place: String) throws(ReferenceError) -> Bool {
        switch sqlite3_step(statement) {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        case let code: throw failure(code, place)
        }
    }

    private func text(_ statement: OpaquePointer?, _ column: Int32) -> String {
        sqlite3_column_text(statement, column).map { String(cString: $0) } ?? ""
    }

    private func failure(_ code: Int32, _ place: String) -> ReferenceError {
        let message = sqlite3_errmsg(database).map { String(cString: $0) } ?? "out of memory"
        let kind: ReferenceError.Kind
        switch code & 0xFF {
        case SQLITE_BUSY, SQLITE_LOCKED, SQLITE_INTERRUPT: kind = .busy
        case SQLITE_ERROR, SQLITE_NOTADB, SQLITE_CORRUPT, SQLITE_AUTH, SQLITE_TOOBIG: kind = .input
        default: kind = .environment
        }
        let offset = sqlite3_error_offset(database)
        let column = kind == .input && offset >= 0 ? ":\(offset + 1)" : ""
        return ReferenceError(kind, "\(place)\(column): SQLite: \(message)")
    }
}
