/// Why a checkpoint's query state cannot be used. An operator acts: delete the checkpoint, and everything is
/// computed again from the log, with the same result ids.
package enum CheckpointError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The bytes are not what was written; `at` is where reading stopped.
    case damaged(at: Int)
    /// Written by a newer format.
    case newerFormat(version: UInt16)
    /// Written for another query, another version of it, or other settings.
    case otherPlan

    package var description: String {
        switch self {
        case .damaged(let at):
            "the query state is damaged (at byte \(at)); "
                + "delete the checkpoint to compute it again from the log"
        case .newerFormat(let version):
            "the query state has format \(version), this program reads \(StreamEngine.checkpointVersion); "
                + "use the newer program, or delete the checkpoint to compute it again from the log"
        case .otherPlan:
            "the query state belongs to another query or version; delete the checkpoint to compute it again"
        }
    }
}
