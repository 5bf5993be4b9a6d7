import Telemetry

/// Where the rows of an input of reference data come from.
package struct ReferenceSource: Hashable, Sendable {
    package enum Format: String, Hashable, Sendable, CaseIterable {
        /// A header line, then values that are all texts (RFC 4180).
        case csv
        /// An array of objects, or one object after the other.
        case json
        /// A table, a view, or what a SELECT gives.
        case sqlite

        /// By the end of a file's name; JSON when it says nothing.
        package init(path: String) {
            switch path.split(separator: ".").last?.lowercased() {
            case "csv", "tsv": self = .csv
            case "sqlite", "sqlite3", "db", "db3": self = .sqlite
            default: self = .json
            }
        }
    }

    /// What is read of an SQLite database.
    package enum Selection: Hashable, Sendable {
        /// The only table there is.
        case onlyTable
        case table(String)
        /// A statement that reads.
        case query(String)
    }

    /// As queries call it, without regard to case.
    package var name: String
    package var path: String
    package var format: Format
    package var selection = Selection.onlyTable
    /// Between the values of CSV.
    package var delimiter: UInt8
    /// Nanoseconds between two looks at the file; nil: only when somebody asks. Default 10 s.
    package var refreshNanoseconds: UInt64? = 10_000_000_000

    /// - Parameter location: `FILE`; of an SQLite database also `FILE#TABLE` or `FILE#SELECT …`.
    package init(name: String, location: String) {
        self.name = name
        path = location
        if let hash = location.firstIndex(of: "#"), Format(path: String(location[..<hash])) == .sqlite {
            path = String(location[..<hash])
            let rest = String(location[location.index(after: hash)...])
            let isStatement = ["select ", "with ", "select\n", "with\n"].contains {
                rest.lowercased().hasPrefix($0)
            }
            selection = rest.isEmpty ? .onlyTable : isStatement ? .query(rest) : .table(rest)
        }
        format = Format(path: path)
        delimiter = path.lowercased().hasSuffix(".tsv") ? 0x09 : 0x2C
    }

    /// `FILE`, and what is read of it.
    package var location: String {
        switch selection {
        case .onlyTable: path
        case .table(let name): path + "#" + name
        case .query(let text): path + "#" + text
        }
    }

    /// Whether it can be the name of an input: letters, digits, `_` and `-`, a letter first, at most 64.
    package static func isName(_ name: String) -> Bool {
        let isPlain = name.utf8.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x5F: true
            default: false
            }
        }
        return isPlain && !name.isEmpty && name.utf8.count <= 64 && name.first?.isLetter == true
    }
}
