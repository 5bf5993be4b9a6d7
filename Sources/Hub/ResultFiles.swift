package import Platform
package import Telemetry

/// Reads back what the file sink wrote: `<root>/date=YYYY-MM-DD/hour=HH/<output>-YYYYMMDDTHHMMSSZ.jsonl`.
package struct ResultFiles: Sendable {
    private let root: String
    private let files: any FileStore

    /// - Parameter root: one output's folder, `<data>/results/minute`.
    package init(root: String, files: any FileStore) {
        self.root = root
        self.files = files
    }

    /// The last window end that has a file: windows up to it are complete. nil when none has.
    package func newestWindowEnd() throws(FileError) -> EventTime? {
        for date in try files.list(root).reversed() where date.hasPrefix("date=") {
            for hour in try files.list(root + "/" + date).reversed() {
                let names = try files.list(root + "/" + date + "/" + hour)
                if let end = names.compactMap(Self.windowEnd(ofFile:)).max() { return end }
            }
        }
        return nil
    }

    /// `minute-20260301T001200Z.jsonl` → 2026-03-01T00:12:00Z; nil for any other name.
    package static func windowEnd(ofFile name: String) -> EventTime? {
        guard name.hasSuffix(".jsonl"), let dash = name.lastIndex(of: "-") else { return nil }
        let text = Array(name[name.index(after: dash)...].dropLast(6).utf8)
        guard text.count >= 16, text.last == 0x5A, text[8] == 0x54 else { return nil }
        func part(_ range: Range<Int>) -> String { String(decoding: text[range], as: UTF8.self) }
        let fraction = text.count > 16 ? part(15..<(text.count - 1)) : ""
        return EventTime.parse(
            "\(part(0..<4))-\(part(4..<6))-\(part(6..<8))T\(part(9..<11)):\(part(11..<13)):\(part(13..<15))\(fraction)Z"
        )
    }
}
