import Foundation

/// A script of bytes that clients send and packets that they must get; `Vectors/README.md` has the notation.
package struct Vector: Sendable {
    package enum Step: Sendable, Equatable {
        case send(String, [Token])
        case expect(String, [Token])
        case connect(String, Start, [Token])
        case quiet(String)
        case closed(String)
        case bye(String)
        case drop(String)
        case wait(Double)
    }

    package enum Start: String, Sendable {
        case clean, keep, resume
    }

    package struct Line: Sendable {
        package var number: Int
        package var step: Step
    }

    package var name: String
    package var file: String
    /// `3:1.5.3-1` and the like.
    package var clauses: [String] = []
    /// 3 and 5.
    package var versions = [3, 5]
    package var isInMemoryOnly = false
    package var lines: [Line] = []

    /// A mistake in a vector file, with its place.
    package struct Mistake: Error, CustomStringConvertible {
        package var description: String
    }

    /// All vectors of the kit, by file name and place.
    package static func all() throws -> [Vector] { try parsed.get() }

    private static let parsed = Result { try read() }

    private static func read() throws -> [Vector] {
        guard let folder = Bundle.module.url(forResource: "Vectors", withExtension: nil) else {
            throw Mistake(description: "the vectors are not in the bundle")
        }
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
            .filter { $0.pathExtension == "txt" }.sorted { $0.path < $1.path }
        return try files.flatMap { file in
            try parse(String(contentsOf: file, encoding: .utf8), file: file.lastPathComponent)
        }
    }

    package static func parse(_ text: String, file: String) throws -> [Vector] {
        var vectors: [Vector] = []
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated() {
            let line = line.trimmingCharacters(in: .whitespaces)
            if line.isEmpty || line.hasPrefix("#") { continue }
            if line.hasPrefix("= ") {
                vectors.append(Vector(name: String(line.dropFirst(2)), file: file))
                continue
            }
            guard !vectors.isEmpty else {
                throw Mistake(description: "\(file):\(index + 1): a line before the first vector")
            }
            do {
                try vectors[vectors.count - 1].take(line, number: index + 1)
            } catch let mistake as Mistake {
                throw Mistake(description: "\(file):\(index + 1): \(mistake): \(line)")
            }
        }
        return vectors
    }

    private mutating func take(_ line: String, number: Int) throws {
        var words = line.split(separator: " ").map(String.init)
        let first = words.removeFirst()
        switch first {
        case "@": clauses += words
        case "on":
            versions = try words.map { word in
                guard let version = Int(word), [3, 5].contains(version) else {
                    throw Mistake(description: "a version is 3 or 5")
                }
                return version
            }
        case "memory": isInMemoryOnly = true
        case "wait":
            guard let seconds = words.first.flatMap(Double.init), isInMemoryOnly else {
                throw Mistake(description: "wait has seconds, in a vector that is run in memory only")
            }
            lines.append(Line(number: number, step: .wait(seconds)))
        default: lines.append(Line(number: number, step: try Self.step(first, line, words)))
        }
    }

    private static func step(_ first: String, _ line: String, _ words: [String]) throws -> Step {
        let rest = line.dropFirst(first.count)
        let name = String(first.prefix(1))
        if first.hasSuffix(">") { return .send(name, try Token.parse(rest)) }
        if first.hasSuffix("<") { return .expect(name, try Token.parse(rest)) }
        switch words.first {
        case "quiet": return .quiet(first)
        case "closed": return .closed(first)
        case "bye": return .bye(first)
        case "drop": return .drop(first)
        case "connect":
            let start = words.dropFirst().first.flatMap(Start.init) ?? .clean
            let at = rest.firstIndex(of: "{") ?? rest.endIndex
            return .connect(first, start, try Token.parse(rest[at...]))
        default: throw Mistake(description: "not a step")
        }
    }
}
