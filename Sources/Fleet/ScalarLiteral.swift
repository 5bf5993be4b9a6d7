import Telemetry

/// The meaning of a scalar by the core rules of YAML 1.2 (§10.3.2): only `true` and `false` are booleans.
enum ScalarLiteral {
    /// - Returns: nil for null, NaN and the infinities, which no sensor measures.
    static func value(of text: String, isPlain: Bool) -> Value? {
        guard isPlain else { return .text(text) }
        switch text {
        case "", "~", "null", "Null", "NULL": return nil
        case "true", "True", "TRUE": return .boolean(true)
        case "false", "False", "FALSE": return .boolean(false)
        case ".nan", ".NaN", ".NAN": return nil
        default: break
        }
        let unsigned = text.drop { $0 == "-" || $0 == "+" }.lowercased()
        if unsigned == ".inf" { return nil }
        if let whole = Int64(text) { return .bigint(whole) }
        if unsigned.hasPrefix("0x"), let whole = Int64(text.dropFirst(2), radix: 16) { return .bigint(whole) }
        if unsigned.hasPrefix("0o"), let whole = Int64(text.dropFirst(2), radix: 8) { return .bigint(whole) }
        do throws(QuantityError) {
            return .float(try Quantity.number(text))
        } catch {
            return .text(text)
        }
    }
}
