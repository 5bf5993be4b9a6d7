"""The minutes of every device: made one by one, read out of text without any engine, and compared."""

import csv
import json
import os
from calendar import timegm

MINUTE_MS = 60_000


class Minutes:
    """Two dictionaries from (device, start in epoch seconds) to [count, least, greatest, sum] in hundredths:
    `right` with the minutes (start, end], `left` with [start, end)."""

    def __init__(self):
        self.right = {}
        self.left = {}

    def __eq__(self, other):
        return self.right == other.right and self.left == other.left

    def add(self, device, ms, value):
        start = ms // MINUTE_MS * 60
        _count(self.left, (device, start), value)
        _count(self.right, (device, start if ms % MINUTE_MS else start - 60), value)


def _count(windows, key, value):
    window = windows.get(key)
    if window is None:
        windows[key] = [1, value, value, value]
        return
    window[0] += 1
    window[3] += value
    if value < window[1]:
        window[1] = value
    if value > window[2]:
        window[2] = value


def fold(path):
    """The minutes of a file, line by line: the first of (deviceId, messageId) counts. Also the number of lines,
    of redeliveries, and the greatest time in epoch milliseconds."""
    minutes = Minutes()
    seen = {}
    seconds = {}
    lines = repeated = greatest = 0
    with open(path, encoding="utf-8") as file:
        for line in file:
            lines += 1
            event = json.loads(line, parse_float=str)
            ids = seen.setdefault(event["deviceId"], set())
            if event["messageId"] in ids:
                repeated += 1
                continue
            ids.add(event["messageId"])
            ms = _milliseconds(event["ts"], seconds)
            greatest = max(greatest, ms)
            minutes.add(event["deviceId"], ms, _hundredths(event["value"]))
    return minutes, lines, repeated, greatest


def _hundredths(value):
    whole, _, decimals = str(value).partition(".")
    number = abs(int(whole)) * 100 + int((decimals + "00")[:2])
    return -number if whole.startswith("-") else number


def _milliseconds(text, seconds):
    """Of 2026-03-01T00:12:34.567Z; `seconds` remembers the text before the point."""
    known = seconds.get(text[:19])
    if known is None:
        parts = [int(part) for part in text[:19].replace("T", "-").replace(":", "-").split("-")]
        known = seconds[text[:19]] = timegm((*parts, 0, 0, 0)) * 1000
    return known + int((text[19:].strip(".Z") + "000")[:3])


def read_expected(path):
    """A CSV file with the columns device, window_start (ISO 8601), count, min, max, sum, and any more."""
    seconds = {}
    with open(path, newline="", encoding="utf-8") as file:
        return {
            (row["device"], _milliseconds(row["window_start"], seconds) // 1000): [
                int(row["count"]),
                _hundredths(row["min"]),
                _hundredths(row["max"]),
                _hundredths(row["sum"]),
            ]
            for row in csv.DictReader(file)
        }


def results(path):
    """Rows (device, start, count, least, greatest, sum, mean) of an engine: a CSV file without a header, or a
    folder of them; files with a name that begins with . or _ are not results."""
    if os.path.isdir(path):
        names = sorted(os.path.join(path, name) for name in os.listdir(path) if name[0] not in "._")
    else:
        names = [path]
    for name in names:
        with open(name, newline="", encoding="utf-8") as file:
            for row in csv.reader(file):
                yield row[0], int(float(row[1])), int(row[2]), *(float(value) for value in row[3:7])


def headend_results(paths):
    """The same of rows that headend wrote as JSON lines."""
    seconds = {}
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                start = _milliseconds(row["windowEnd"], seconds) // 1000 - 60
                yield row["device"], start, row["n"], row["least"], row["greatest"], row["total"], row["mean"]


def _agree(window, least, greatest, total, mean):
    exact = [round(least * 100), round(greatest * 100), round(total * 100)] == window[1:]
    return exact and abs(mean * 100 - window[3] / window[0]) <= 1e-4


class Verdict:
    """What is wrong with the rows of an engine. A window counts once, under the first that is true of it."""

    REASONS = {
        "missing": "missing",
        "extra": "not expected",
        "twice": "given twice",
        "few": "too few readings",
        "many": "too many readings",
        "value": "values of a later delivery",
    }

    def __init__(self, expected, rows, but=()):
        self.expected = len(expected)
        self.wrong = dict.fromkeys(self.REASONS, 0)
        seen = set()
        for device, start, count, least, greatest, total, mean in rows:
            if device in but:
                continue
            window = expected.get((device, start))
            if window is None:
                self.wrong["extra"] += 1
            elif (device, start) in seen:
                self.wrong["twice"] += 1
            elif count != window[0]:
                self.wrong["few" if count < window[0] else "many"] += 1
            elif not _agree(window, least, greatest, total, mean):
                self.wrong["value"] += 1
            seen.add((device, start))
        self.wrong["missing"] = sum(key not in seen for key in expected)

    @property
    def count(self):
        return sum(self.wrong.values())

    def __str__(self):
        if not self.count:
            return f"0 of {self.expected:,}"
        reasons = ", ".join(f"{self.REASONS[name]} {count:,}" for name, count in self.wrong.items() if count)
        return f"{self.count:,} of {self.expected:,}: {reasons}"
