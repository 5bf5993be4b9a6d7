"""What scripts/bench-queries runs once it has read its options: makes or takes the input, runs headend and each
peer in turn, compares every window with what must be there, prints the table."""

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

import engines
import hub
import measure
import windows
from data import LAST_DEVICE, Data

QUERY = """\
SELECT deviceId AS device, System.Timestamp() AS windowEnd, COUNT(*) AS n, MIN(value) AS least,
    MAX(value) AS greatest, SUM(value) AS total, AVG(value) AS mean
INTO minutes FROM telemetry TIMESTAMP BY ts GROUP BY deviceId, TumblingWindow(minute, 1)
"""


def read_options():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("headend", "python", "work"):
        parser.add_argument("--" + name, required=True)
    for name in ("records", "devices", "minutes", "pairs", "slow-pairs", "limit"):
        parser.add_argument("--" + name, type=int, required=True)
    for name in ("input", "expected", "json"):
        parser.add_argument("--" + name)
    parser.add_argument("--peer", action="append", default=[])
    parser.add_argument("--hub", action="store_true")
    return parser.parse_args()


class Comparison:
    """Runs, in pairs, and their verdicts."""

    def __init__(self, options, data, work):
        self.options = options
        self.data = data
        self.work = work
        self.log = open(os.path.join(work, "log"), "w+", encoding="utf-8")
        self.query = os.path.join(work, "minutes.sql")
        with open(self.query, "w", encoding="utf-8") as file:
            file.write(QUERY)
        self.headend_runs = []
        self.unsaved_runs = []
        self.pairs = {}
        self.is_wrong = False

    def headend(self, saves=True):
        """One run of `headend query run`, which saves how far it has come each second, or not."""
        output = os.path.join(self.work, "headend.jsonl")
        command = [
            self.options.headend,
            "query",
            "run",
            self.query,
            "--input",
            self.data.path,
            "--output",
            output,
        ]
        command += ["--dedup", "deviceId,messageId", "--dedup-for", "20m", "--out-of-order", "30s", "--quiet"]
        checkpoint = os.path.join(self.work, "checkpoint")
        if saves:
            command += ["--checkpoint", checkpoint, "--checkpoint-every", "1s"]
        cost = measure.run(command, self.options.limit, self.log, self.log)
        if cost.status:
            self._failed("headend", cost)
        if os.path.exists(checkpoint):
            raise measure.Failure("headend left its checkpoint")
        verdict = windows.Verdict(self.data.minutes.right, windows.headend_results([output]))
        os.unlink(output)
        self.is_wrong = self.is_wrong or verdict.count > 0
        run = self._keep("headend" if saves else "headend-unsaved", cost, cost.seconds, verdict)
        (self.headend_runs if saves else self.unsaved_runs).append(run)
        return run

    def pair(self, engine):
        """headend, then the peer."""
        mine = self.headend()
        output = os.path.join(self.work, engine.name)
        result = os.path.join(self.work, "result.json")
        given = self.data.folder() if engine.takes_folder else self.data.path
        command = [self.options.python, engine.script, given, output, *engine.arguments]
        environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", TMPDIR=self.work)
        with open(result, "w+", encoding="utf-8") as answer:
            cost = measure.run(command, self.options.limit, answer, self.log, environment)
            answer.seek(0)
            last = answer.read().strip().rpartition("\n")[2]
        runs = self.pairs.setdefault(engine.name, [])
        if cost.over:
            runs.append((mine, self._keep(engine.name, cost, None, None)))
        elif cost.status:
            self._failed(engine.name, cost)
        else:
            said = json.loads(last)
            engine.version = said["version"]
            verdict = windows.Verdict(self.data.minutes.left, windows.results(output), but=(LAST_DEVICE,))
            runs.append((mine, self._keep(engine.name, cost, said["seconds"], verdict)))
        if os.path.isdir(output):
            shutil.rmtree(output)
        elif os.path.exists(output):
            os.unlink(output)

    def _keep(self, name, cost, seconds, verdict):
        run = {
            "engine": name,
            "records": self.data.records,
            "seconds": seconds,
            "recordsPerSecond": self.data.records / seconds if seconds else None,
            "cpuSeconds": cost.cpu_seconds,
            "peakBytes": cost.peak_bytes,
            "windows": verdict.expected if verdict else None,
            "windowsWrong": verdict.count if verdict else None,
            "wrong": str(verdict) if verdict else None,
        }
        self.write(run)
        return run

    def write(self, run):
        if self.options.json:
            with open(self.options.json, "a", encoding="utf-8") as file:
                file.write(json.dumps(run) + "\n")

    def _failed(self, name, cost):
        self.log.flush()
        self.log.seek(0)
        reason = "took too long" if cost.over else f"ended with status {cost.status}"
        raise measure.Failure(f"{name} {reason}: {self.log.read().strip()[-2000:]}")

    def table(self, present, missing):
        """Medians; ratios are those within a pair."""
        print("| engine | records/s | CPU s | peak memory | windows wrong | rate | CPU |")
        print("|---|---|---|---|---|---|---|")
        title = "headend query run, streaming, the first delivery counts"
        print(f"| {title}, checkpoint each second | {columns(self.headend_runs)} | | |")
        print(f"| {title}, no checkpoints | {columns(self.unsaved_runs)} | | |")
        for engine in present:
            pairs = self.pairs[engine.name]
            title = f"{engine.title} ({engine.version})" if engine.version else engine.title
            done = [(mine, its) for mine, its in pairs if its["seconds"]]
            if not done:
                print(f"| {title} | not done in {self.options.limit} s | | | | | |")
                continue
            rate = statistics.median(mine["recordsPerSecond"] / its["recordsPerSecond"] for mine, its in done)
            cpu = statistics.median(its["cpuSeconds"] / mine["cpuSeconds"] for mine, its in done)
            print(f"| {title} | {columns([its for _, its in done])} | {rate:.2f} × | {cpu:.2f} × |")
        print("rate: headend's ÷ its; CPU: its ÷ headend's; within a pair, medians")
        for engine, what in missing:
            print(f"skipped: {engine.title}: needs {what}")

    def recorded(self):
        """The replay of history in a hub."""
        found, files = hub.run(self.options.headend, self.data, self.query, self.work, self.options.limit)
        verdict = windows.Verdict(self.data.minutes.right, windows.headend_results(files), but=(LAST_DEVICE,))
        self.is_wrong = self.is_wrong or verdict.count > 0
        found["recordsPerSecond"] = found["stored"] / found["seconds"]
        self.write({"engine": "hub", "wrong": str(verdict), "windowsWrong": verdict.count, **found})
        print()
        print("| a hub's query over recorded history, with checkpoints | |")
        print("|---|---|")
        print(f"| messages published, stored | {found['records']:,}, {found['stored']:,} |")
        print(f"| records/s of the replay | {rate_text(found['recordsPerSecond'])} |")
        print(
            f"| CPU s: the queries' thread, the whole hub with what reads the log ahead | {found['cpuSeconds']:.2f}, {found['allCpuSeconds']:.2f} |"
        )
        print(f"| peak memory of the hub | {memory_text(found['peakBytes'])} |")
        print(f"| windows wrong | {verdict} |")


def columns(runs):
    rates = [run["recordsPerSecond"] for run in runs]
    cpu = statistics.median(run["cpuSeconds"] for run in runs)
    peak = statistics.median(run["peakBytes"] for run in runs)
    worst = max(runs, key=lambda run: run["windowsWrong"])
    return f"{spread(rates)} | {cpu:.1f} | {memory_text(peak)} | {worst['wrong']}"


def spread(rates):
    text = rate_text(statistics.median(rates))
    low, high = rate_text(min(rates)), rate_text(max(rates))
    return text if low == high else f"{text} ({low} – {high})"


def rate_text(value):
    return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value / 1e3:.0f} k"


def memory_text(value):
    return f"{value / 2**30:.1f} GiB" if value >= 2**30 else f"{value / 2**20:.0f} MiB"


def describe(options, data):
    """Without these lines a table says nothing."""
    version = subprocess.run(
        [options.headend, "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()
    print(f"{version}, Python {platform.python_version()}, Java {java()}")
    print(
        f"{os.cpu_count()} × {processor()}, {memory_text(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'))},"
        f" Linux {platform.release()}, load {os.getloadavg()[0]:.1f} before"
    )
    print(
        f"{data.records:,} lines ({os.path.getsize(data.path) / 1e6:.0f} MB), {data.repeated:,} of them redeliveries,"
        f" {len(data.minutes.right):,} windows; {data.source}"
    )
    print(
        f"{options.pairs} pair(s), Spark and Flink {options.slow_pairs}; rates of peers without the start of their"
        " interpreter or virtual machine, CPU with it",
        flush=True,
    )
    print()


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        return next(
            (line.partition(":")[2].strip() for line in file if line.startswith("model name")), "processor"
        )


def java():
    if shutil.which("java") is None:
        return "none"
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    return said.split('"')[1] if '"' in said else "?"


def main():
    options = read_options()
    # Whatever runs is ended, and what was written removed, as at any other end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        wanted = engines.chosen(options.peer)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        return compare(options, wanted)
    except measure.Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 3


def compare(options, wanted):
    """Everything; returns the exit status."""
    absent = [(engine, engine.what_is_missing(options.python)) for engine in wanted]
    missing = [(engine, what) for engine, what in absent if what]
    present = [engine for engine, what in absent if not what]
    with tempfile.TemporaryDirectory(prefix="run.", dir=options.work) as work:
        data = Data(options, work)
        describe(options, data)
        comparison = Comparison(options, data, work)
        for engine in present:
            for _ in range(options.slow_pairs if engine.is_slow else options.pairs):
                comparison.pair(engine)
        for _ in range(options.pairs):
            comparison.headend(saves=False)
            if not present:
                comparison.headend()
        comparison.table(present, missing)
        if options.hub:
            comparison.recorded()
    return 1 if comparison.is_wrong else 0


sys.exit(main())
