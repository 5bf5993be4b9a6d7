"""The peers, each in one or two ways of doing the same job."""

import os
import shutil
import subprocess
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = {
    "duckdb": ("duckdb", "duckdb"),
    "polars": ("polars", "polars"),
    "spark": ("pyspark", "pyspark"),
    "flink": ("pyflink", "apache-flink"),
}
JAVA = ("spark", "flink")


@dataclass
class Engine:
    """A peer in one of its ways: its name (`duckdb-first`), what the table calls it, what its script gets after
    the file and the output."""

    name: str
    title: str
    arguments: list
    version: str = ""

    @property
    def family(self):
        return self.name.partition("-")[0]

    @property
    def is_slow(self):
        return self.family in JAVA

    @property
    def takes_folder(self):
        return self.family == "spark"

    @property
    def script(self):
        return os.path.join(HERE, "peers", self.family + "_minutes.py")

    def what_is_missing(self, python):
        """What must be installed before it runs; nothing when all is there."""
        module, package = PROGRAMS[self.family]
        found = subprocess.run(
            [python, "-c", f"import {module}"], capture_output=True, timeout=120, check=False
        )
        if found.returncode:
            return f"{package} (pip install {package}; --python names the interpreter)"
        if self.family in JAVA and shutil.which("java") is None:
            return "Java 17 (apt-get install openjdk-17-jre-headless)"
        return ""


def all_engines():
    """In the order of the table."""
    return [
        Engine("duckdb-first", "DuckDB, batch, the first delivery counts, 2 threads", ["2", "first"]),
        Engine("duckdb-any", "DuckDB, batch, any delivery counts, 2 threads", ["2", "any"]),
        Engine("polars-memory", "Polars, batch, the first delivery counts, 2 threads", ["2", "in-memory"]),
        Engine("polars-streaming", "Polars, the same in its streaming engine", ["2", "streaming"]),
        Engine(
            "spark-dedup",
            "Spark Structured Streaming, local[2], dropDuplicatesWithinWatermark",
            ["2", "dedup"],
        ),
        Engine("spark-plain", "Spark Structured Streaming, local[2], no dedup", ["2", "plain"]),
        Engine("flink-1", "Flink SQL, streaming, the first delivery counts, parallelism 1", ["1"]),
        Engine("flink-2", "Flink SQL, the same, parallelism 2", ["2"]),
    ]


def chosen(names):
    """The engines of these names; a family's name means all its ways, `none` no peer, no name all of them."""
    if not names:
        return all_engines()
    unknown = [
        name for name in names if name != "none" and not any(_is(engine, name) for engine in all_engines())
    ]
    if unknown:
        known = [*PROGRAMS, *(engine.name for engine in all_engines())]
        raise ValueError(f"unknown peer {unknown[0]}; there are: none, {', '.join(known)}")
    return [engine for engine in all_engines() if any(_is(engine, name) for name in names)]


def _is(engine, name):
    return name in (engine.name, engine.family)
