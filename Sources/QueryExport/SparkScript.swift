import QueryLanguage

/// The pieces as a PySpark script that reads JSON lines and writes JSON lines.
struct SparkScript {
    let pieces: ExportPieces
    let name: String
    private let engine = ExportEngine.spark

    /// A text in a script: a Python string in triple quotes.
    private func block(_ text: String) -> String {
        "r\"\"\"\n" + text.replacing("\"\"\"", with: "\\\"\\\"\\\"") + "\n\"\"\""
    }

    private func literal(_ text: String) -> String {
        "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }

    private func schema(_ source: ExportSource) -> String {
        source.columns.map { "\(engine.quoted($0.name.text)) \(engine.name(of: $0.type) ?? "STRING")" }
            .joined(separator: ", ")
    }

    var text: String {
        var lines = [
            "#!/usr/bin/env python3",
            "\"\"\"\(ExportHead.title(name, "Spark Structured Streaming"))", "", ExportHead.limits, "",
            "Run: spark-submit SCRIPT --input NAME=FOLDER --output NAME=FOLDER --checkpoint FOLDER",
            "  --batch reads the folders once, to their end, and closes the windows that are open then.",
            "Inputs: \(Set(pieces.sources.map(\.input)).sorted().joined(separator: ", ")); "
                + "outputs: \(pieces.outputs.map(\.name).joined(separator: ", ")).",
            "To read another source, such as Kafka, change read().", "\"\"\"", "import argparse", "",
            "from pyspark.sql import SparkSession", "", "",
            "def read(spark, options, name, schema):",
            "    reader = spark.read if options.batch else spark.readStream",
            "    return reader.schema(schema).option(\"mode\", \"DROPMALFORMED\").json(options.input[name.lower()])",
            "", "", "def write(rows, options, name):", "    path = options.output[name.lower()]",
            "    if options.batch:", "        rows.write.mode(\"append\").json(path)", "        return None",
            "    place = options.checkpoint + \"/\" + name",
            "    writer = rows.writeStream.outputMode(\"append\").format(\"json\")",
            "    return writer.option(\"checkpointLocation\", place).start(path)", "", "",
            "def pairs(values):",
            "    return {k.lower(): v for k, v in (pair.split(\"=\", 1) for pair in values)}",
            "", "", "parser = argparse.ArgumentParser()",
            "parser.add_argument(\"--input\", action=\"append\", required=True, metavar=\"NAME=FOLDER\")",
            "parser.add_argument(\"--output\", action=\"append\", required=True, metavar=\"NAME=FOLDER\")",
            "parser.add_argument(\"--checkpoint\", default=\"checkpoint\", metavar=\"FOLDER\")",
            "parser.add_argument(\"--batch\", action=\"store_true\")", "options = parser.parse_args()",
            "options.input, options.output = pairs(options.input), pairs(options.output)",
            "spark = (", "    SparkSession.builder.appName(\(literal(name)))",
            "    .config(\"spark.sql.session.timeZone\", \"UTC\")",
            "    .config(\"spark.sql.ansi.enabled\", \"true\")",
            "    .config(\"spark.sql.caseSensitive\", \"true\")", "    .getOrCreate()", ")", "",
        ]
        for (number, source) in pieces.sources.enumerated() {
            let columns = source.columns.map { engine.quoted($0.name.text) }.joined(separator: ", ")
            let view =
                "SELECT \(columns),\n  \(source.time) - INTERVAL 1 MICROSECOND AS `_at`\n"
                + "FROM `_raw\(number)`\nWHERE \(source.time) IS NOT NULL"
            lines += [
                "read(spark, options, \(literal(source.input)), \(literal(schema(source))))"
                    + ".createOrReplaceTempView(\"_raw\(number)\")",
                "spark.sql(\(block(view))).withWatermark(\"_at\", \"\(engine.interval(pieces.tolerance))\")"
                    + ".createOrReplaceTempView(\(literal(source.table)))",
            ]
        }
        for view in pieces.views {
            lines.append("spark.sql(\(block(view.query))).createOrReplaceTempView(\(literal(view.name)))")
        }
        lines += ["", "queries = ["]
        for output in pieces.outputs {
            lines.append("    write(spark.sql(\(block(output.query))), options, \(literal(output.name))),")
        }
        lines += ["]", "for query in queries:", "    if query:", "        query.awaitTermination()", ""]
        return lines.joined(separator: "\n")
    }
}

/// What stands at the head of every script.
enum ExportHead {
    static func title(_ name: String, _ engine: String) -> String {
        "\(name): written by `headend query export` for \(engine)."
    }

    static let limits = """
        The rows are those of Headend for events that are out of order by no more than the tolerance. Later events
        have another fate here, duplicates are counted, and there are no policies for early and late events.
        """
}
