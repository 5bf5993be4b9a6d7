/// The packet identifiers that QoS 2 clients have not released yet, per client number, ascending.
struct UnreleasedIdentifiers {
    private var byClient: [[UInt16]] = []

    func contains(client: UInt32, _ identifier: UInt16) -> Bool {
        guard Int(client) < byClient.count else { return false }
        let list = byClient[Int(client)]
        let at = Self.place(of: identifier, in: list)
        return at < list.count && list[at] == identifier
    }

    /// - Parameter client: below the limit of clients, which the caller checks.
    mutating func insert(client: UInt32, _ identifier: UInt16) {
        while byClient.count <= Int(client) { byClient.append([]) }
        let at = Self.place(of: identifier, in: byClient[Int(client)])
        if at < byClient[Int(client)].count, byClient[Int(client)][at] == identifier { return }
        byClient[Int(client)].insert(identifier, at: at)
    }

    mutating func remove(client: UInt32, _ identifier: UInt16) {
        guard Int(client) < byClient.count else { return }
        let at = Self.place(of: identifier, in: byClient[Int(client)])
        guard at < byClient[Int(client)].count, byClient[Int(client)][at] == identifier else { return }
        byClient[Int(client)].remove(at: at)
    }

    mutating func removeAll(client: UInt32) {
        if Int(client) < byClient.count { byClient[Int(client)] = [] }
    }

    /// The clients that hold any, ascending.
    var clients: [UInt32] {
        byClient.indices.filter { !byClient[$0].isEmpty }.map { UInt32($0) }
    }

    func identifiers(client: UInt32) -> [UInt16] {
        Int(client) < byClient.count ? byClient[Int(client)] : []
    }

    /// The first index whose identifier is not below; the usual case, a new highest one, is found at once.
    private static func place(of identifier: UInt16, in list: [UInt16]) -> Int {
        if let last = list.last, last < identifier { return list.count }
        var low = 0
        var high = list.count
        while low < high {
            let middle = (low + high) / 2
            if list[middle] < identifier { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
