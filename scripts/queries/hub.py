"""Recorded history: the lines go into a hub over MQTT, then a query that begins at the earliest record reads them
all out of its log, with checkpoints, into files. Only the query's part is measured."""

import glob
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import measure
from measure import Failure

CONFIGURATION = """\
ingest:
  - topic: telemetry
    device: { json: deviceId }
    id: { json: messageId }
    time: { json: ts }
minute_query: off
"""
CHUNK_MESSAGES = 2_000


def run(headend, data, query, work, limit_seconds):
    """Returns a dictionary with `records`, `stored`, `ingestSeconds`, `seconds`, `cpuSeconds` (the queries'
    thread), `allCpuSeconds`, `peakBytes`, `stateBytes`, `counters`; and the files with the rows."""
    configuration = os.path.join(work, "hub.yaml")
    with open(configuration, "w", encoding="utf-8") as file:
        file.write(CONFIGURATION)
    log_path = os.path.join(work, "hub.log")
    arguments = ["serve", "--config", configuration, "--data", os.path.join(work, "hub")]
    with open(log_path, "w", encoding="utf-8") as log:
        child = subprocess.Popen(
            [headend, *arguments, "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"], stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + limit_seconds
        mqtt, http = _ports(log_path, child, deadline)
        url = f"http://127.0.0.1:{http}/api/v1"
        begin = time.monotonic()
        records = _feed(mqtt, data.path, data.last_line, deadline)
        found = {"records": records, "ingestSeconds": time.monotonic() - begin}
        status = _get(url + "/status")
        found["stored"] = status["stored"]
        if status["received"] != records:
            raise Failure(f"the hub received {status['received']} of {records} messages")
        found |= _replay(url, headend, query, child.pid, status["stored"], deadline)
        found["peakBytes"] = measure.peak_bytes(child.pid)
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    return found, sorted(glob.glob(os.path.join(work, "hub/results/minutes/**/*.jsonl"), recursive=True))


def _ports(log_path, child, deadline):
    while time.monotonic() < deadline and child.poll() is None:
        with open(log_path, encoding="utf-8") as file:
            text = file.read()
        if re.search("^ready$", text, re.MULTILINE):
            return [
                int(re.search(rf"^listening {name} .*:(\d+)$", text, re.MULTILINE)[1])
                for name in ("mqtt", "http")
            ]
        time.sleep(0.02)
    with open(log_path, encoding="utf-8") as file:
        raise Failure("the hub did not start: " + file.read()[-500:])


def _get(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def _shown(url):
    """The query's state; nothing while the list of queries is that of the turn before."""
    try:
        return _get(url + "/queries/minutes")
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        return None


def _feed(port, path, last_line, deadline):
    """Publishes every line at QoS 1 over one connection, so that the hub gets them in their order; returns how
    many were acknowledged."""
    line = socket.create_connection(("127.0.0.1", port), timeout=60)
    connect = b"\0\4MQTT\4\2\0\0" + b"\0\5bench"
    line.sendall(b"\x10" + bytes([len(connect)]) + connect)
    _receive(line, 4)
    count = 0
    with line, open(path, "rb") as file:
        chunk = []
        for text in file:
            chunk.append(text.rstrip(b"\n"))
            if len(chunk) == CHUNK_MESSAGES:
                count += _publish(line, chunk)
                chunk = []
                if time.monotonic() > deadline:
                    raise Failure(f"the time was over after {count} messages")
        count += _publish(line, [*chunk, last_line.encode()])
        line.sendall(b"\xe0\0")
    return count


def _publish(line, payloads):
    packets = bytearray()
    for identifier, payload in enumerate(payloads, 1):
        length = 13 + len(payload)  # topic with its length, identifier, payload
        packets.append(0x32)
        while length > 127:
            packets.append(length & 127 | 128)
            length >>= 7
        packets.append(length)
        packets += b"\0\x09telemetry" + identifier.to_bytes(2, "big")
        packets += payload
    line.sendall(packets)
    answers = _receive(line, 4 * len(payloads))
    if answers[0::4].strip(b"\x40"):
        raise Failure("something else than a PUBACK came")
    return len(payloads)


def _receive(line, count):
    received = bytearray()
    while len(received) < count:
        part = line.recv(count - len(received))
        if not part:
            raise Failure("the hub closed the connection")
        received += part
    return received


def _replay(url, headend, query, pid, stored, deadline):
    before = measure.thread_cpu_seconds(pid)
    all_before = measure.process_cpu_seconds(pid)
    begin = time.monotonic()
    options = [
        "--start-at",
        "earliest",
        "--late",
        "unlimited",
        "--out-of-order",
        "30s",
        "--topic",
        "minutes=",
    ]
    subprocess.run(
        [
            headend,
            "query",
            "add",
            query,
            "--name",
            "minutes",
            "--http",
            url.removesuffix("/api/v1"),
            *options,
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=60,
    )
    while True:
        shown = _shown(url)
        files = next((sink for sink in shown["sinks"] if sink["name"] == "files"), None) if shown else None
        if files is None:
            time.sleep(0.02)
            continue
        counters = shown["counters"]
        if (
            counters["events"] >= stored
            and files["delivered"] >= counters["rowsEmitted"]
            and not files["outbox"]
        ):
            break
        if shown["failure"] or time.monotonic() > deadline:
            raise Failure(f"the query did not come to its end: {json.dumps(shown)[:3000]}")
        time.sleep(0.02)
    seconds = time.monotonic() - begin
    after = measure.thread_cpu_seconds(pid)
    taken = {name: after[name] - before.get(name, 0.0) for name in after}
    return {
        "seconds": seconds,
        "cpuSeconds": sum(value for name, value in taken.items() if name.startswith("headend-query")),
        "allCpuSeconds": measure.process_cpu_seconds(pid) - all_before,
        "stateBytes": shown["stateBytes"],
        "counters": counters,
    }
