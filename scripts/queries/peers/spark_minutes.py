"""Spark Structured Streaming: arguments FOLDER OUTPUT THREADS dedup|plain. FOLDER holds the lines in files, one
for each micro-batch; its last one only moves the watermark on, so that the last minutes come out."""

import json
import logging
import sys
import tempfile
import time

import pyspark
from pyspark.sql import SparkSession
from pyspark.sql import functions as f


def main(folder, output, threads, mode):
    logging.getLogger("py4j").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as checkpoints:
        session = (
            SparkSession.builder.master(f"local[{threads}]")
            .config("spark.sql.shuffle.partitions", threads)
            .config("spark.driver.memory", "4g")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.local.dir", checkpoints)
            .getOrCreate()
        )
        session.sparkContext.setLogLevel("ERROR")
        start = time.monotonic()
        lines = (
            session.readStream.schema("deviceId STRING, messageId STRING, ts TIMESTAMP, value DOUBLE")
            .option("maxFilesPerTrigger", 1)
            .json(folder)
            .withWatermark("ts", "30 seconds")
        )
        if mode == "dedup":
            lines = lines.dropDuplicatesWithinWatermark(["deviceId", "messageId"])
        value = f.col("value")
        minutes = (
            lines.groupBy("deviceId", f.window("ts", "1 minute"))
            .agg(f.count("*"), f.min(value), f.max(value), f.sum(value), f.avg(value))
            .withColumn("start", f.col("window.start").cast("long"))
        )
        columns = ["deviceId", "start", "count(1)", "min(value)", "max(value)", "sum(value)", "avg(value)"]
        (
            minutes.select(*[f.col(f"`{name}`") for name in columns])
            .writeStream.format("csv")
            .option("checkpointLocation", checkpoints + "/checkpoint")
            .trigger(availableNow=True)
            .start(output)
            .awaitTermination()
        )
        print(json.dumps({"seconds": time.monotonic() - start, "version": pyspark.__version__}))
        session.stop()


main(*sys.argv[1:])
