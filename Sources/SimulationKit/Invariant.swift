/// Where a world should come to now and then, or it proves little.
package enum Place: String, Sendable, CaseIterable {
    case powerCuts = "power cuts"
    case cutRecoveries = "recoveries cut by a crash"
    case kills
    case stops = "orderly stops"
    case fullDisk = "commits that waited for room"
    case failedStorage = "storages that failed"
    case givenUpQueries = "queries given up"
    case heldReads = "moments of sockets not read"
    case duplicates
    case forgotten = "looks at ids stored again past the horizon"
    case conflicts = "conflicting ids"
    case notJSON = "quarantined for not being JSON"
    case lateRows = "late rows"
    case takeovers
    case damages = "damaged bits detected"
    case harmlessDamages = "damaged bits without effect"
}

/// What must hold in every world.
package enum Invariant: String, Sendable, CaseIterable {
    case ackedIsStored = "every acknowledged QoS 1 or 2 message is in its queue"
    case storedOnce = "each (device, message id) is stored at most once"
    case exactlyOnceWithoutID = "a QoS 2 message without an id is stored at most once"
    case gapless = "sequences have no gap, and what was durable stays as it was"
    case firstAcceptOrder = "a device's records stand in the order of first acceptance"
    case nothingInvented = "everything stored was sent, with the same body"
    case forwardedIsStored = "subscribers get nothing that is not durable"
    case watermark = "the watermark never goes back"
    case checkpoint = "no checkpoint is ahead of its log, no sink ahead of its checkpoint"
    case windows = "each window is committed once, with the true value"
    case late = "late rows are counted exactly"
    case limits = "memory stays within its limits"
    case drains = "everything drains when the faults stop"
    case recovery = "a crash at any moment can be recovered from"
    case idempotence = "recovery cut by a crash ends like recovery that was not"
    case damage = "damaged bytes are detected, never served"
    case determinism = "the same seed gives the same trace"
}

/// An invariant that did not hold, and where.
package struct Violation: Error, Sendable, CustomStringConvertible {
    package var seed: UInt64
    package var step: Int
    package var nanoseconds: UInt64
    package var invariant: Invariant
    package var explanation: String

    package var description: String {
        "seed \(seed), step \(step), \(nanoseconds / 1_000_000) ms: broken: \(invariant.rawValue): \(explanation)"
    }
}
