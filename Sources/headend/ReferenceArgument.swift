import QueryReplay
import ReferenceFiles

/// `--reference NAME=FILE`.
enum ReferenceArgument {
    /// - Throws: when a name is missing, is none, or comes twice.
    static func sources(_ arguments: [String]) throws -> [ReferenceSource] {
        var sources: [ReferenceSource] = []
        for argument in arguments {
            let named = QueryReplay.NamedFile(argument: argument)
            guard let name = named.name else {
                throw Failure.input("--reference \(named.path): write NAME=\(named.path)")
            }
            guard ReferenceSource.isName(name), name.lowercased() != "telemetry" else {
                throw Failure.input(
                    "--reference \(argument): \"\(name)\" is no name: letters, digits, - and _, a letter first, "
                        + "and not telemetry")
            }
            guard !sources.contains(where: { $0.name.lowercased() == name.lowercased() }) else {
                throw Failure.input("--reference \(argument): two references are called \(name)")
            }
            sources.append(ReferenceSource(name: name, location: named.path))
        }
        return sources
    }
}
