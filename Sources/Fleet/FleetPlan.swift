package import Platform
package import Telemetry

/// A fleet as its folder describes it: the types, every device of them, and the settings of `fleet.yaml`.
package struct FleetPlan: Equatable, Sendable {
    /// What a folder may hold.
    package struct Limits: Sendable {
        /// Devices in all; default 100,000: a device costs about 10 KB with its connection.
        package var devicesMax = 100_000
        /// Device types; default 1,000: a folder with more is a mistake.
        package var typesMax = 1_000
        /// Sensors of one type; default 256: a payload of that many fields is below 8 KiB.
        package var sensorsMax = 256
        /// Bytes of one YAML file; default 1 MiB: these files are written by hand.
        package var fileBytesMax: UInt64 = 1 << 20

        package init() {}
    }

    /// What `fleet.yaml` expects of the run; nil fields are not expected.
    package struct Expectation: Equatable, Sendable {
        package var lost: Int?
        package var countedTwice: Int?
        package var windowsWrong: Int?
        package var ingestMillisecondsP99: Int?

        package init() {}
    }

    /// Default 1.
    package var seed: UInt64 = 1
    /// Where `fleet.yaml` wants the answer key; nil: nowhere.
    package var answerKeyPath: String?
    /// nil: 1x.
    package var speed: FleetSpeed?
    /// The fleet's own time at the start; nil: now.
    package var start: EventTime?
    package var expectation = Expectation()
    /// Sorted by name.
    package var types: [DeviceType] = []
    /// Every device, type by type, in the order of their index.
    package var devices: [DeviceIdentity] = []

    package init() {}

    /// Reads every `*.yaml` of a folder: `fleet.yaml` the settings, each other file one device type.
    /// Subfolders are not read.
    ///
    /// - Throws: everything that is wrong in all files, with the places.
    package static func load(
        directory: String, files: any FileStore = PosixFileStore(), limits: Limits = Limits()
    ) throws(FleetConfigurationErrors) -> FleetPlan {
        var loader = FleetPlanLoader(directory: directory, files: files, limits: limits)
        return try loader.load()
    }

    /// The number in every message id of a run: fixed by seed and start, so that a run with another start has
    /// other ids. 1 to 4,294,967,295.
    package static func boot(seed: UInt64, start: EventTime) -> UInt32 {
        var state = seed ^ (UInt64(bitPattern: start.ticks) &* 0x9E37_79B9_7F4A_7C15)
        return max(1, UInt32(truncatingIfNeeded: RandomStream.splitMix(&state) >> 32))
    }

    /// The script of one device: everything it will do from `start` on.
    ///
    /// - Parameter device: an index of `devices`.
    package func script(device: Int, seed: UInt64, start: EventTime) -> DeviceScript {
        let identity = devices[device]
        return DeviceScript(identity: identity, type: types[identity.typeIndex], seed: seed, start: start)
    }
}

/// How fast the fleet's own time runs.
package enum FleetSpeed: Equatable, Sendable, CustomStringConvertible {
    /// So many fleet seconds a second, above 0.
    case times(Double)
    /// As fast as the broker acknowledges.
    case unpaced

    /// Reads `1x`, `60x`, `0.5x` or `max`.
    package init(parsing text: String) throws(QuantityError) {
        if text == "max" {
            self = .unpaced
            return
        }
        guard text.hasSuffix("x"), let factor = try? Quantity.number(String(text.dropLast())),
            factor > 0, factor <= 1_000_000
        else {
            throw QuantityError(message: "\"\(text)\" is not a speed (write 1x, 60x or max)")
        }
        self = .times(factor)
    }

    package var description: String {
        switch self {
        case .times(let factor):
            factor == factor.rounded() ? "\(Int64(factor))x" : "\(factor)x"
        case .unpaced: "max"
        }
    }
}
