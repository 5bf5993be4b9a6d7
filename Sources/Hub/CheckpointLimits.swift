/// When a query's state is saved whole, and how.
package struct CheckpointLimits: Sendable, Equatable {
    /// Bytes that the log grows by before the state is saved whole again, when the state is smaller. Default 1 MiB: a
    /// restart takes them again in some hundredths of a second.
    package var logBytesMin: UInt64 = 1 << 20
    /// Time after which a small state is saved whole again, however little came. Default 10 s: retention keeps the
    /// log from there on.
    package var ageNanoseconds: UInt64 = 10_000_000_000
    /// For each so many bytes of the state that time once more. Default 1 MiB: at most so much is written in that
    /// time while little comes.
    package var bytesPerAge = 1 << 20
    /// A state is written in parts of about this size, one a turn. Default 4 MiB: some milliseconds.
    package var partBytes = 4 << 20
    /// Time between two saves while there are new rows. Default 250 ms: sinks get rows that are saved.
    package var pauseNanoseconds: UInt64 = 250_000_000
    /// The same while there are none. Default 10 s.
    package var idlePauseNanoseconds: UInt64 = 10_000_000_000

    package init() {}
}
