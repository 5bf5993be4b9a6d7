package import PerpetualQuery
import Platform
import ReferenceFiles
import ResultSink
import Telemetry

// A run into files, which checkpoints may make durable.
extension QueryReplay {
    /// Runs the plan and writes its rows.
    ///
    /// With a checkpoint, a run that was cut off goes on when it is called again: the outputs are cut to where the
    /// checkpoint says, and are in the end what they would be without the cut. When a run ends well, the checkpoint is
    /// gone. When it cannot, for whatever reason, it stands; nothing is written when it does not belong.
    ///
    /// - Parameters:
    ///   - outputs: `NAME=FILE`, `FILE` when there is one output, `-` for standard output; none: that too.
    ///   - withIDs: rows end with `_rid`.
    ///   - standardOutput: takes bytes.
    ///   - resumed: is told how many events were done before.
    package func run(
        _ plan: StreamPlan, title: String, to outputs: [NamedFile], withIDs: Bool,
        checkpoint: CheckpointOptions?, standardOutput: @escaping (UnsafeRawBufferPointer) -> Void,
        resumed: (UInt64) -> Void = { _ in }
    ) throws(ReplayError) -> Summary {
        let targets = try RowOutputs.targets(outputs, plan)
        let tables = try referenceContents()
        let rows = RowBuffer(plan: plan)
        let engine = try engine(plan, tables.map(\.data), rows, title)
        var feeds = try open(plan, title)
        guard let checkpoint else {
            let outputs = try RowOutputs(
                targets, plan, withIDs: withIDs, files: files, standardOutput: standardOutput)
            return try run(&feeds, plan, engine, rows, title, outputs, nil)
        }
        let settings = settings(targets, tables, withIDs: withIDs)
        try Self.checkFiles(targets)
        var ends: [RowOutput.End]?
        if let stored = try load(checkpoint.path) {
            try resume(&feeds, engine, targets, settings, stored, checkpoint.path)
            ends = stored.outputs.map { RowOutput.End(byteCount: $0.mark.byteCount, columns: $0.columns) }
            resumed(engine.counters.events)
        }
        try probe(checkpoint.path)
        let outputs = try RowOutputs(
            targets, plan, withIDs: withIDs, ends: ends, files: files, standardOutput: standardOutput)
        let named = zip(targets, outputs.all).compactMap { target, output in
            output.file.map { ReplayCheckpoints.NamedFile(path: target.path, file: $0) }
        }
        try checkNotOutput(checkpoint.path, named)
        let checkpoints = ReplayCheckpoints(
            checkpoint, settings: settings,
            inputs: feeds.map { ReplayCheckpoints.NamedFile(path: $0.file.path, file: $0.file.file) },
            outputs: named, files: files)
        let summary = try run(&feeds, plan, engine, rows, title, outputs, checkpoints)
        try checkpoints.remove()
        return summary
    }

    private func run(
        _ feeds: inout [Feed], _ plan: StreamPlan, _ engine: StreamEngine, _ rows: RowBuffer, _ title: String,
        _ outputs: RowOutputs, _ checkpoints: ReplayCheckpoints?
    ) throws(ReplayError) -> Summary {
        let saving = checkpoints.map { checkpoints in
            Saving(checkpoints: checkpoints) { (snapshot) throws(ReplayError) in
                checkpoints.save(snapshot, ends: try outputs.ends())
            }
        }
        let writing = checkpoints.map { checkpoints in
            NamedThread("headend-saves") { checkpoints.run() }
        }
        let result = Result { () throws(ReplayError) in
            try run(&feeds, plan, engine, rows, title, saving: saving) { (rows) throws(ReplayError) in
                try outputs.write(rows)
            }
        }
        checkpoints?.end()
        writing?.join()
        // Rows before a failure are right.
        let flushed = Result { () throws(ReplayError) in try outputs.flush() }
        let summary = try result.get()
        try flushed.get()
        if let error = checkpoints?.error { throw error }
        return summary
    }

    // MARK: Going on

    /// What must be the same for a checkpoint to belong.
    private func settings(
        _ targets: [RowOutputs.Target], _ tables: [ReferenceContents], withIDs: Bool
    ) -> [ReplayCheckpoint.Setting] {
        let policy = settings.timePolicy
        let minimum = settings.minimumWatermark
        var list: [(String, String)] = [
            (Self.textName, "\(FileMark.sum(Array(text.utf8)))"), ("the query's name", name),
            ("--input", inputs.map { $0.name ?? "" }.joined(separator: ", ")),
            (
                "--output",
                targets.map { "\($0.names.joined(separator: ","))=\($0.path)" }.joined(separator: ", ")
            ),
            ("--ids", withIDs ? "yes" : "no"), ("--dedup", deduplication.joined(separator: ",")),
            ("--dedup-for", settings.deduplicationHorizonTicks.map(Self.duration) ?? ""),
            ("--arrival", arrivalField ?? ""), ("--late", Self.duration(policy.lateToleranceTicks)),
            ("--out-of-order", Self.duration(policy.outOfOrderToleranceTicks)),
            ("--early", Self.duration(policy.earlyToleranceTicks)), ("--policy", "\(policy.lateAction)"),
            ("--watermark-over", minimum?.text ?? ""),
            ("--idle-after", minimum.map { Self.duration($0.idleTicks) } ?? ""),
            ("--errors", "\(settings.errorPolicy)"),
        ]
        for (source, table) in zip(references, tables) {
            list.append((Self.rowsName + source.name, table.hash.description))
        }
        return list.map { ReplayCheckpoint.Setting(name: $0.0, value: $0.1) }
    }

    private static let textName = "the text of the query"
    private static let rowsName = "the rows of --reference "

    private static func duration(_ ticks: Int64) -> String {
        if ticks == TimePolicy.unlimited { return "unlimited" }
        if ticks % EventTime.ticksPerSecond == 0 { return "\(ticks / EventTime.ticksPerSecond)s" }
        return "\(ticks / 10_000)ms"
    }

    /// Rows behind a checkpoint are cut off where a run goes on.
    private static func checkFiles(_ targets: [RowOutputs.Target]) throws(ReplayError) {
        for target in targets {
            guard let file = target.file else {
                throw ReplayError(
                    .input,
                    "--checkpoint goes with --output FILE: standard output cannot be cut where a run goes on")
            }
            if file.hasPrefix("/dev/") {
                throw ReplayError(
                    .input, "--checkpoint goes with outputs that are files: \(file) cannot be cut")
            }
        }
    }

    /// Finds out before the work begins whether a checkpoint can be written.
    private func probe(_ path: String) throws(ReplayError) {
        let temporary = path + ".tmp"
        try ReplayCheckpoints.onDisk { () throws(FileError) in
            try files.open(temporary, writable: true).close()
            try files.remove(temporary)
        }
    }

    private func load(_ path: String) throws(ReplayError) -> ReplayCheckpoint? {
        guard files.exists(path) else { return nil }
        let isOurs = try ReplayCheckpoints.onDisk { () throws(FileError) -> Bool? in
            let file = try files.open(path, writable: false)
            defer { file.close() }
            // As `mktemp` makes them.
            if try file.byteCount() == 0 { return nil }
            var start = [UInt8](repeating: 0, count: ReplayCheckpoint.magic.utf8CodeUnitCount)
            let count = start.withUnsafeMutableBytes { buffer in
                Result { () throws(FileError) in try file.read(into: buffer, at: 0) }
            }
            let magic = ReplayCheckpoint.magic
            return try count.get() == start.count
                && start.elementsEqual(
                    UnsafeBufferPointer(start: magic.utf8Start, count: magic.utf8CodeUnitCount))
        }
        guard let isOurs else { return nil }
        guard isOurs else {
            throw ReplayError(
                .input, "\(path): is no checkpoint of query run: give --checkpoint a file of its own")
        }
        let sealed = ReplayCheckpoints.sealed(path, files)
        do throws(SealedFileError) {
            guard let body = try sealed.load() else { return nil }
            guard let checkpoint = ReplayCheckpoint(body) else {
                throw .damaged(path: path, advice: "delete it to begin anew")
            }
            return checkpoint
        } catch {
            if case .file(let error) = error { throw ReplayError(.environment, error.description) }
            throw ReplayError(.input, error.description)
        }
    }

    /// Puts all in the state of the checkpoint, if it belongs; writes nothing.
    private func resume(
        _ feeds: inout [Feed], _ engine: StreamEngine, _ targets: [RowOutputs.Target],
        _ settings: [ReplayCheckpoint.Setting], _ stored: ReplayCheckpoint, _ path: String
    ) throws(ReplayError) {
        if let difference = Self.difference(stored.settings, settings) {
            throw ReplayError(
                .input, "\(path): \(difference); run it as before, or delete \(path) to begin anew")
        }
        guard stored.inputs.count == feeds.count, stored.outputs.count == targets.count else {
            throw ReplayError(.input, "\(path): damaged; delete it to begin anew")
        }
        for (feed, input) in zip(feeds, stored.inputs) {
            try check(feed.file.file, input.mark, feed.file.path, "were taken of it", path)
        }
        for (target, output) in zip(targets, stored.outputs) {
            guard files.exists(target.path) else {
                throw ReplayError(
                    .input,
                    "\(target.path): is gone, and \(path) goes on behind \(output.mark.byteCount) bytes of it; "
                        + "delete \(path) to begin anew")
            }
            let file = try ReplayCheckpoints.onDisk { () throws(FileError) in
                try files.open(target.path, writable: false)
            }
            defer { file.close() }
            try check(file, output.mark, target.path, "were written to it", path)
        }
        do throws(CheckpointError) { try engine.restore(stored.engineState) } catch {
            throw ReplayError(.input, "\(path): \(error.description)")
        }
        for index in feeds.indices {
            do throws(ReplayError) { try feeds[index].resume(at: stored.inputs[index].place) } catch {
                throw ReplayError(error.kind, "\(error.message); delete \(path) to begin anew")
            }
        }
    }

    private func check(
        _ file: any StoredFile, _ mark: FileMark, _ name: String, _ what: String, _ path: String
    ) throws(ReplayError) {
        let (size, found) = try ReplayCheckpoints.onDisk { () throws(FileError) in
            (try file.byteCount(), try FileMark(of: file, upTo: mark.byteCount))
        }
        if found == mark { return }
        let difference =
            size < mark.byteCount
            ? "has \(size) bytes, and when \(path) was made, \(mark.byteCount) \(what)"
            : "its first \(mark.byteCount) bytes are not those that \(what) when \(path) was made"
        throw ReplayError(.input, "\(name): \(difference); delete \(path) to begin anew")
    }

    /// What is not as it was.
    private static func difference(
        _ stored: [ReplayCheckpoint.Setting], _ settings: [ReplayCheckpoint.Setting]
    ) -> String? {
        for setting in stored {
            guard let now = settings.first(where: { $0.name == setting.name }) else {
                return "was made with other settings: \(setting.name) are missing now"
            }
            if now.value == setting.value { continue }
            guard setting.name.hasPrefix("--") else { return "\(setting.name) is not what it was made with" }
            func text(_ value: String) -> String { value.isEmpty ? "nothing" : value }
            return "was made with \(setting.name) \(text(setting.value)), and now it is \(text(now.value))"
        }
        return settings.count == stored.count ? nil : "was made with other settings: fewer --reference"
    }

    /// An output that was not there, or empty, when the checkpoint was looked for.
    private func checkNotOutput(
        _ path: String, _ outputs: [ReplayCheckpoints.NamedFile]
    ) throws(ReplayError) {
        for output in outputs {
            let isSame = try ReplayCheckpoints.onDisk { () throws(FileError) in
                if output.path == path { return true }
                guard files.exists(path), let mark = try files.fingerprint(path) else { return false }
                return try files.fingerprint(output.path) == mark
            }
            if isSame {
                throw ReplayError(
                    .input, "\(path): is an --output: give --checkpoint a file of its own")
            }
        }
    }
}
