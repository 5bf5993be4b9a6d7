import PerpetualQuery
import Platform
import Telemetry

/// The files that the rows of a query go to.
///
/// Not thread-safe: one owner calls it.
final class RowOutputs {
    /// An output as it was named, and what goes there.
    struct Target {
        var path: String
        /// The plan's outputs, `_late` or `_errors`.
        var names: [String]
        /// nil: standard output.
        var file: String? { path == "-" ? nil : path }
    }

    /// By the plan's output, then `_late` and `_errors`.
    private var byName: [String: RowOutput] = [:]
    /// The same, by the plan's number of the output.
    private var byNumber: [RowOutput?] = []
    let all: [RowOutput]

    /// What goes where, before anything is opened.
    ///
    /// - Parameter arguments: `NAME=FILE`, `FILE` when there is one output; `-` is standard output; none: that too.
    /// - Throws: when an argument names no output, or not which.
    static func targets(_ arguments: [QueryReplay.NamedFile], _ plan: StreamPlan) throws(ReplayError)
        -> [Target]
    {
        let known = plan.outputs + [StreamPlan.lateOutput, StreamPlan.errorOutput]
        let arguments = arguments.isEmpty ? [QueryReplay.NamedFile(name: nil, path: "-")] : arguments
        var targets: [Target] = []
        for named in arguments {
            if named.path != "-", !named.path.hasPrefix("/dev/"),
                targets.contains(where: { $0.path == named.path })
            {
                throw ReplayError(
                    .input, "--output \(named.path) is given twice: each output needs a file of its own")
            }
            if let name = named.name {
                guard let found = known.first(where: { $0.lowercased() == name.lowercased() }) else {
                    let hint = Suggestion.nearest(to: name, in: known).map { "; did you mean \($0)?" } ?? ""
                    throw ReplayError(
                        .input,
                        "the query has no output \(name): it has \(plan.outputs.joined(separator: ", "))\(hint)"
                    )
                }
                targets.append(Target(path: named.path, names: [found]))
            } else if plan.outputs.count == 1 || arguments.count == 1 && named.path == "-" {
                targets.append(Target(path: named.path, names: plan.outputs))
            } else {
                throw ReplayError(
                    .input,
                    "--output \(named.path): the query has the outputs \(plan.outputs.joined(separator: ", ")); "
                        + "write --output NAME=\(named.path)")
            }
        }
        return targets
    }

    /// Opens the files.
    ///
    /// - Parameter ends: where each goes on; nil: all begin anew.
    init(
        _ targets: [Target], _ plan: StreamPlan, withIDs: Bool, ends: [RowOutput.End]? = nil,
        files: any FileStore, standardOutput: @escaping (UnsafeRawBufferPointer) -> Void
    ) throws(ReplayError) {
        var all: [RowOutput] = []
        for (index, target) in targets.enumerated() {
            let place: RowOutput.Target =
                target.file.map { .file($0) }
                ?? .stream { (bytes) throws(ReplayError) in standardOutput(bytes) }
            let output = try RowOutput(place, withIDs: withIDs, end: ends?[index], files: files)
            all.append(output)
            for name in target.names { byName[name] = output }
        }
        self.all = all
        byNumber = plan.outputs.map { byName[$0] }
    }

    func write(_ rows: RowBuffer) throws(ReplayError) {
        for row in 0..<rows.count { try byNumber[rows.output(of: row)]?.append(row, of: rows) }
        for row in rows.systemRows { try byName[row.output]?.append(row) }
    }

    func flush() throws(ReplayError) {
        for output in all { try output.flush() }
    }

    /// Where each file ends with the rows so far.
    func ends() throws(ReplayError) -> [RowOutput.End] {
        var ends: [RowOutput.End] = []
        for output in all { ends.append(try output.end()) }
        return ends
    }
}
