"""Polars, batch: arguments FILE OUTPUT THREADS in-memory|streaming. The first line of an id is kept."""

import json
import os
import sys
import time

os.environ["POLARS_MAX_THREADS"] = sys.argv[3]
import polars  # the number of threads is read when it is loaded


def main(path, output, _threads, engine):
    start = time.monotonic()
    time_of_line = polars.col("ts").str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ", time_unit="ms")
    schema = {
        "deviceId": polars.String,
        "messageId": polars.String,
        "ts": polars.String,
        "value": polars.Float64,
    }
    value = polars.col("value")
    minutes = (
        polars.scan_ndjson(path, schema=schema)
        .unique(["deviceId", "messageId"], keep="first")
        .group_by("deviceId", (time_of_line.dt.epoch("ms") // 60_000 * 60).alias("start"))
        .agg(
            polars.len(),
            value.min().alias("least"),
            value.max().alias("greatest"),
            value.sum().alias("total"),
            value.mean().alias("mean"),
        )
        .collect(engine=engine)
    )
    minutes.write_csv(output, include_header=False)
    print(json.dumps({"seconds": time.monotonic() - start, "version": polars.__version__}))


main(*sys.argv[1:])
