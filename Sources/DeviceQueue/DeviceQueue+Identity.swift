extension DeviceQueue {
    /// A number that belongs to this log for good: two hubs' logs differ.
    package var identity: UInt64 { catalog.logID }
}
