/// Why a load run could not be made.
package enum LoadError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The plan is outside its limits; who wrote it can act.
    case invalidPlan(String)
    /// No connection, or not all of them; the operator can act, and a retry may help.
    case cannotConnect(address: String, explanation: String)
    /// This machine refuses what the run needs.
    case environment(String)

    package var description: String {
        switch self {
        case .invalidPlan(let explanation): explanation
        case .cannotConnect(let address, let explanation):
            "cannot connect to mqtt://\(address): \(explanation)"
        case .environment(let explanation): explanation
        }
    }
}
