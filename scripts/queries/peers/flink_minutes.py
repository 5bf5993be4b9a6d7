"""Flink SQL, streaming with a checkpoint every ten seconds: arguments FILE OUTPUT PARALLELISM."""

import json
import sys
import tempfile
import time
from importlib.metadata import version

from pyflink.common import Configuration
from pyflink.table import EnvironmentSettings, TableEnvironment


def main(path, output, parallelism):
    with tempfile.TemporaryDirectory() as checkpoints:
        settings = {
            "parallelism.default": parallelism,
            "table.local-time-zone": "UTC",
            "execution.checkpointing.interval": "10 s",
            "execution.checkpointing.dir": f"file://{checkpoints}",
            "state.backend.type": "hashmap",
            "taskmanager.memory.process.size": "4g",
        }
        configuration = Configuration()
        for name, value in settings.items():
            configuration.set_string(name, value)
        builder = EnvironmentSettings.new_instance().in_streaming_mode()
        tables = TableEnvironment.create(builder.with_configuration(configuration).build())
        tables.execute_sql(
            f"""CREATE TABLE telemetry (
                deviceId STRING, messageId STRING, ts TIMESTAMP_LTZ(3), `value` DOUBLE, arrival AS PROCTIME(),
                WATERMARK FOR ts AS ts - INTERVAL '30' SECOND
            ) WITH ('connector' = 'filesystem', 'path' = 'file://{path}', 'format' = 'json',
                'json.timestamp-format.standard' = 'ISO-8601')"""
        )
        tables.execute_sql(
            f"""CREATE TABLE minutes (
                device STRING, begins BIGINT, n BIGINT, least DOUBLE, greatest DOUBLE, total DOUBLE, mean DOUBLE
            ) WITH ('connector' = 'filesystem', 'path' = 'file://{output}', 'format' = 'csv')"""
        )
        start = time.monotonic()
        tables.execute_sql(
            """INSERT INTO minutes
            WITH readings AS (
                SELECT deviceId, ts, `value` FROM (
                    SELECT *, ROW_NUMBER() OVER (PARTITION BY deviceId, messageId ORDER BY arrival) AS place
                    FROM telemetry)
                WHERE place = 1)
            SELECT deviceId, UNIX_TIMESTAMP(CAST(window_start AS STRING)), COUNT(*), MIN(`value`), MAX(`value`),
                SUM(`value`), AVG(`value`)
            FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
            GROUP BY deviceId, window_start, window_end"""
        ).wait()
        print(json.dumps({"seconds": time.monotonic() - start, "version": version("apache-flink")}))


main(*sys.argv[1:])
