"""DuckDB, batch: arguments FILE OUTPUT THREADS first|any. `first` keeps the first line of an id, which needs
the line's place; `any` keeps one, which may be a later delivery."""

import json
import sys
import time

import duckdb

KEEP = {
    "first": """
        SELECT deviceId, arg_min(ts, place) AS ts, arg_min(value, place) AS value
        FROM (SELECT *, row_number() OVER () AS place FROM lines) GROUP BY deviceId, messageId""",
    "any": "SELECT deviceId, any_value(ts) AS ts, any_value(value) AS value FROM lines GROUP BY deviceId, messageId",
}


def main(path, output, threads, keep):
    connection = duckdb.connect(config={"threads": int(threads)})
    start = time.monotonic()
    connection.execute(
        f"""COPY (
            WITH lines AS (
                SELECT * FROM read_json('{path}', format = 'newline_delimited', columns = {{
                    deviceId: 'VARCHAR', messageId: 'VARCHAR', ts: 'TIMESTAMP', value: 'DOUBLE'}})),
            readings AS ({KEEP[keep]})
            SELECT deviceId, epoch(time_bucket(INTERVAL '1 minute', ts)) AS start, count(*), min(value), max(value),
                sum(value), avg(value)
            FROM readings GROUP BY deviceId, start
        ) TO '{output}' (FORMAT csv, HEADER false)"""
    )
    print(json.dumps({"seconds": time.monotonic() - start, "version": duckdb.__version__}))


main(*sys.argv[1:])
