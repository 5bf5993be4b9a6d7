import QueryLanguage

/// The pieces as statements for Flink's SQL client, over files of JSON lines.
struct FlinkScript {
    let pieces: ExportPieces
    let name: String
    private let engine = ExportEngine.flink

    private func columns(_ columns: [(name: String, type: String)]) -> String {
        columns.map { "  \(engine.quoted($0.name)) \($0.type)" }.joined(separator: ",\n")
    }

    private func files(_ name: String, _ folder: String) -> String {
        """
        WITH (
          'connector' = 'filesystem', 'path' = '\(folder)/\(name.replacing("'", with: "''"))', 'format' = 'json',
          'json.timestamp-format.standard' = 'ISO-8601'
        )
        """
    }

    var text: String {
        var parts = [
            "-- \(ExportHead.title(name, "Flink SQL"))\n--\n"
                + ExportHead.limits.split(separator: "\n").map { "-- \($0)" }.joined(separator: "\n")
                + "\n-- Times have milliseconds. An event of another type than declared stops the job."
                + "\n--\n-- Run: sql-client.sh -f SCRIPT. Inputs are read from files in inputs/NAME, outputs go"
                + "\n-- to outputs/NAME: change the connectors for others, such as Kafka.",
            "SET 'table.local-time-zone' = 'UTC';", "SET 'execution.checkpointing.interval' = '10s';",
        ]
        for source in pieces.sources {
            let declared = source.columns.map { ($0.name.text, engine.name(of: $0.type) ?? "STRING") }
            parts.append(
                """
                CREATE TABLE \(engine.quoted(source.table)) (
                \(columns(declared)),
                  `_at` AS \(source.time) - \(engine.interval(10_000)),
                  WATERMARK FOR `_at` AS `_at` - \(engine.interval(pieces.tolerance + 10_000))
                ) \(files(source.input, "inputs"));
                """)
        }
        for view in pieces.views {
            parts.append("CREATE TEMPORARY VIEW \(engine.quoted(view.name)) AS\n\(view.query);")
        }
        for output in pieces.outputs {
            let declared = output.columns.map { ($0.name, engine.name(of: $0.type) ?? "STRING") }
            parts.append(
                """
                CREATE TABLE \(engine.quoted(outputTable(output))) (
                \(columns(declared))
                ) \(files(output.name, "outputs"));
                """)
        }
        let inserts = pieces.outputs.map { "INSERT INTO \(engine.quoted(outputTable($0)))\n\($0.query);" }
        parts.append("EXECUTE STATEMENT SET BEGIN\n\(inserts.joined(separator: "\n"))\nEND;")
        return parts.joined(separator: "\n\n") + "\n"
    }

    /// An output may be called like an input.
    private func outputTable(_ output: ExportOutput) -> String {
        let taken = pieces.sources.map(\.table) + pieces.views.map(\.name)
        return taken.contains { $0.lowercased() == output.name.lowercased() }
            ? output.name + "_out" : output.name
    }
}
