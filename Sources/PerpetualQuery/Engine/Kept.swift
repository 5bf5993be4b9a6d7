/// A reference to an object that its user keeps alive by another one: loading and calling it counts no references.
///
/// Guard: whoever has one has the object in a constant beside it.
struct Kept<Object: AnyObject> {
    private let reference: Unmanaged<Object>

    init(_ object: Object) { reference = .passUnretained(object) }

    @inline(__always)
    func use<Result>(_ body: (Object) -> Result) -> Result {
        reference._withUnsafeGuaranteedRef { body($0) }
    }
}
