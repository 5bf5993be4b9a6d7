/// One thing that is wrong in a fleet folder, with its place.
///
/// The operator can act: the text says what, where (`file:line:column`) and, where it can, what to write.
package struct ConfigurationProblem: Equatable, Sendable, CustomStringConvertible {
    /// The file's path as it was opened, such as `devices/pump.yaml`.
    package var file: String
    /// From 1; nil when the whole file or folder is meant.
    package var line: Int?
    /// From 1, in Unicode scalars; nil when `line` is.
    package var column: Int?
    package var message: String

    package init(file: String, line: Int? = nil, column: Int? = nil, message: String) {
        self.file = file
        self.line = line
        self.column = column
        self.message = message
    }

    package var description: String {
        guard let line else { return "\(file): \(message)" }
        return "\(file):\(line):\(column ?? 1): \(message)"
    }
}

/// Everything that is wrong in a fleet folder, in the order of the files' names and then of their lines.
package struct FleetConfigurationErrors: Error, Equatable, Sendable, CustomStringConvertible {
    /// Never empty.
    package var problems: [ConfigurationProblem]

    package init(problems: [ConfigurationProblem]) {
        self.problems = problems
    }

    /// One line a problem, without a newline at the end.
    package var description: String {
        problems.map(\.description).joined(separator: "\n")
    }
}
