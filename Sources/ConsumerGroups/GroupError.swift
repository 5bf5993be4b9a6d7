/// Why a group does not do what was asked. Each case says what the caller can do.
package enum GroupError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A field of the request is wrong. (Caller.)
    case invalid(field: String, explanation: String)
    /// There is no such group. (Caller.)
    case unknownGroup(String)
    /// The group exists, and differs in this field. (Caller.)
    case differs(group: String, field: String, explanation: String)
    /// At the limit of groups, or of members of a group. (Caller, operator.)
    case limit(String)
    /// The member has delivered records that nobody committed, as many as it may have. (Caller: commit.)
    case memberFull(member: String, records: Int, bytes: Int)
    /// The member is not in the group: it never came, left, or was silent for too long. (Caller: fetch again.)
    case unknownMember(group: String, member: String)
    /// The member began again since: with a request without session, after a restart of the hub, or after it had
    /// been silent for too long. What it had not committed is delivered again. (Caller: fetch again.)
    case stale(member: String)
    /// The commit is behind what the member has committed already. (Caller.)
    case behind(member: String)
    /// The commit is ahead of what was delivered to the member. (Caller.)
    case ahead(member: String)
    /// The member asked again while its request waited; only the newest is answered. (Caller.)
    case superseded(member: String)
    /// The group was deleted or moved to another place meanwhile. (Caller: fetch again.)
    case interrupted(group: String, cause: String)
    /// The group cannot be used: its file is damaged, or the log does not fit it. (Operator.)
    case failed(group: String, cause: String)
    /// The disk refused; nothing is lost, the same request may be sent again. (Operator.)
    case storage(String)
    /// The hub is stopping. (Retry.)
    case stopping

    package var description: String {
        switch self {
        case .invalid(let field, let explanation): "\(field): \(explanation)"
        case .unknownGroup(let name): "no group \"\(name)\"; make it with PUT /api/v1/groups/\(name)"
        case .differs(let group, let field, let explanation):
            "\(field): group \"\(group)\" exists, and \(explanation)"
        case .limit(let text): text
        case .memberFull(let member, let records, let bytes):
            "member \"\(member)\" has \(records) records (\(bytes) bytes) that are not committed, which is the "
                + "limit: commit before fetching more"
        case .unknownMember(let group, let member):
            "member \"\(member)\" is not in group \"\(group)\" (any more); what it had not committed is delivered "
                + "again: fetch"
        case .stale(let member):
            "member \"\(member)\" has begun again since; what was not committed is delivered again: fetch, and "
                + "give every consumer a member name of its own"
        case .behind(let member): "commit: behind what member \"\(member)\" has committed already"
        case .ahead(let member): "commit: ahead of what was delivered to member \"\(member)\""
        case .superseded(let member):
            "another request of member \"\(member)\" came; give every consumer a member name of its own"
        case .interrupted(let group, let cause): "group \"\(group)\" \(cause) meanwhile: fetch again"
        case .failed(let group, let cause): "group \"\(group)\" cannot be used: \(cause)"
        case .storage(let text): "\(text); nothing is lost: try again"
        case .stopping: "the hub is stopping: try again"
        }
    }
}
