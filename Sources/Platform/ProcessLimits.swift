import CPlatform

/// What the system allows this process.
package enum ProcessLimits {
    /// Files and sockets that may be open at once.
    package static var openFilesMax: Int { Int(clamping: headend_open_files_max()) }

    /// Raises it as far as the process may without privileges: from the soft limit to the hard one.
    ///
    /// - Returns: what it is then.
    @discardableResult package static func raiseOpenFilesMax() -> Int {
        Int(clamping: headend_raise_open_files_max())
    }
}
