import CPlatform

/// What the system allows this process.
package enum ProcessLimits {
    /// Files and sockets that may be open at once.
    package static var openFilesMax: Int { Int(clamping: headend_open_files_max()) }
}
