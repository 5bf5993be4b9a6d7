/// "Did you mean": the known word nearest to a mistyped one.
package enum Suggestion {
    /// - Returns: the word with the smallest edit distance, when that is at most a third of the longer word
    ///   (at least 1); the first of equals. Nil when nothing is near.
    package static func nearest(to text: String, in words: [String]) -> String? {
        var best: (word: String, distance: Int)?
        for word in words {
            let distance = editDistance(text.lowercased(), word.lowercased())
            guard distance <= max(1, max(text.count, word.count) / 3) else { continue }
            if let found = best, found.distance <= distance { continue }
            best = (word, distance)
        }
        return best?.word
    }

    /// Insertions, deletions, replacements and swaps of neighbours that turn one text into the other
    /// (optimal string alignment). Texts over 64 characters are cut: no key is that long.
    static func editDistance(_ left: String, _ right: String) -> Int {
        let a = Array(left.unicodeScalars.prefix(64))
        let b = Array(right.unicodeScalars.prefix(64))
        if a.isEmpty || b.isEmpty { return max(a.count, b.count) }
        var beforeLast = [Int](repeating: 0, count: b.count + 1)
        var last = Array(0...b.count)
        for i in 1...a.count {
            var current = [i] + [Int](repeating: 0, count: b.count)
            for j in 1...b.count {
                let replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)
                current[j] = min(replaced, min(last[j], current[j - 1]) + 1)
                if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
                    current[j] = min(current[j], beforeLast[j - 2] + 1)
                }
            }
            beforeLast = last
            last = current
        }
        return last[b.count]
    }
}
