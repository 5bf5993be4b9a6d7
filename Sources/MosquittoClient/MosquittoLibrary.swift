import CMosquitto
import Glibc

/// The library's global state.
package enum MosquittoLibrary {
    /// Runs once, at the first use; the library stays initialised until the process ends.
    private static let started: Int32 = mosquitto_lib_init()

    static func start() {
        precondition(started == MOSQ_ERR_SUCCESS.rawValue, "libmosquitto refused to start")
    }

    /// Raises the process's limit of open files to what the system allows it: each client holds a socket, and
    /// the usual soft limit of 1,024 ends a large fleet early.
    ///
    /// - Returns: the limit now in force.
    @discardableResult
    package static func raiseOpenFileLimit() -> UInt64 {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 0 }
        if limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max
            _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        }
        return UInt64(limit.rlim_cur)
    }
}
