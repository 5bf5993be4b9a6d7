import CMosquitto
import Glibc

/// What libmosquitto refused, in its own code and words.
package struct MosquittoError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What was tried: `connect to 10.0.0.7:1883`, `publish` …
    package var operation: String
    /// A `MOSQ_ERR_` code, or from 128 upwards an MQTT 5 reason code of the peer.
    package var code: Int32
    /// The cause in words.
    package var message: String

    package init(operation: String, code: Int32, message: String) {
        self.operation = operation
        self.code = code
        self.message = message
    }

    /// - Parameter systemError: errno as it was when the call failed, for the codes that refer to it.
    init(_ operation: String, code: Int32, systemError: Int32 = 0) {
        let message: String
        if code >= 128 {
            message = String(cString: mosquitto_reason_string(code))
        } else if code == MOSQ_ERR_ERRNO.rawValue, systemError != 0 {
            message = String(cString: strerror(systemError))
        } else if code == MOSQ_ERR_EAI.rawValue, systemError != 0 {
            message = String(cString: gai_strerror(systemError))
        } else {
            message = String(cString: mosquitto_strerror(code))
        }
        self.init(operation: operation, code: code, message: message)
    }

    package var description: String { "cannot \(operation): \(message)" }

    /// Too many publishes wait for their acknowledgement; try again after the next `onPublished`.
    package var isQueueFull: Bool { code == Self.queueFull }

    static let queueFull = -1_000 as Int32
}
