import CPCRE2

/// A regular expression, read as one line and without regard to case.
///
/// PCRE2 tries ways one after the other, and some patterns have more ways than a life is long (`(a+)+$`): one that
/// needs more than `Limits` allow gives up, so that a text that a device sends never holds up the query.
///
/// Raw pointers: this class owns what the library made, and frees it in deinit. Single-owner.
final class RegexPattern {
    private enum Limits {
        /// Steps of one search: some milliseconds.
        static let steps: UInt32 = 250_000
        /// Memory of one search, in KiB.
        static let heapKiB: UInt32 = 4_096
    }

    private let code: OpaquePointer
    private let match: OpaquePointer
    private let context: OpaquePointer

    /// nil: no regular expression.
    init?(_ pattern: UnsafeRawBufferPointer) {
        var reason: Int32 = 0
        var place = 0
        let options =
            PCRE2_CASELESS | PCRE2_DOTALL | PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF
            | UInt32(PCRE2_NEVER_BACKSLASH_C)
        let compiled = Self.withAddress(of: pattern) {
            pcre2_compile_8($0, pattern.count, options, &reason, &place, nil)
        }
        guard let code = compiled else { return nil }
        guard let match = pcre2_match_data_create_from_pattern_8(code, nil) else {
            pcre2_code_free_8(code)
            return nil
        }
        guard let context = pcre2_match_context_create_8(nil) else {
            pcre2_match_data_free_8(match)
            pcre2_code_free_8(code)
            return nil
        }
        pcre2_set_match_limit_8(context, Limits.steps)
        pcre2_set_heap_limit_8(context, Limits.heapKiB)
        self.code = code
        self.match = match
        self.context = context
    }

    deinit {
        pcre2_match_context_free_8(context)
        pcre2_match_data_free_8(match)
        pcre2_code_free_8(code)
    }

    /// The place of the first match in characters, from 1; 0 when there is none, nil when the search gave up.
    func firstPlace(in text: UnsafeRawBufferPointer) -> Int? {
        let found = Self.withAddress(of: text) {
            pcre2_match_8(code, $0, text.count, 0, 0, match, context)
        }
        if found == PCRE2_ERROR_NOMATCH { return 0 }
        guard found > 0, let places = pcre2_get_ovector_pointer_8(match) else { return nil }
        let before = UnsafeRawBufferPointer(rebasing: text[..<min(places[0], text.count)])
        // Bytes that begin a character.
        return before.reduce(1) { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) }
    }

    /// The library wants an address even of an empty text.
    private static func withAddress<Success>(
        of text: UnsafeRawBufferPointer, _ body: (UnsafePointer<UInt8>) -> Success
    ) -> Success {
        if let address = text.baseAddress, !text.isEmpty {
            return address.withMemoryRebound(to: UInt8.self, capacity: text.count, body)
        }
        return withUnsafePointer(to: 0, body)
    }
}
