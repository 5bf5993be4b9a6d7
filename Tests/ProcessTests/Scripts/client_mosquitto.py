"""mosquitto_pub, mosquitto_sub and mosquitto_rr in the client matrix; see client_harness.py."""

import contextlib
import os
import subprocess
import time

from client_harness import (
    BACKLOG, LARGE, PREFIX, SECONDS, SHARED, TLS, URL, V5, NotThere, equal, reading, run,
)

COMMON = ["-h", URL.hostname, "-p", str(URL.port), "-V", "mqttv5" if V5 else "mqttv311"]
if TLS:
    COMMON += ["--cafile", os.environ["HEADEND_CA"]]
    if "HEADEND_CERTIFICATE" in os.environ:
        COMMON += ["--cert", os.environ["HEADEND_CERTIFICATE"], "--key", os.environ["HEADEND_KEY"]]
READY = f"{PREFIX}/ready"
# Debian's mosquitto_sub 2.0.11 now and then stalls as an MQTT 5 subscriber at QoS 2, with mosquitto as its broker too.
QOS_MAX = 1 if V5 else 2


def publish(topic, text=None, *options, qos=1, lines=None):
    words = ["mosquitto_pub", *COMMON, "-t", topic, "-q", str(qos), *options]
    if text is not None:
        words += ["-m", text]
    if lines is not None:
        words += ["-l"]
    done = subprocess.run(
        words, input="".join(f"{line}\n" for line in lines) if lines is not None else None, text=True,
        capture_output=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    equal((done.returncode, done.stderr), (0, ""), "mosquitto_pub")


def start(*options):
    """A mosquitto_sub whose lines come as they are printed."""
    words = ["stdbuf", "-oL", "mosquitto_sub", *COMMON, *options]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@contextlib.contextmanager
def subscriber(*options):
    """One that has its subscriptions: the retained message behind them has come."""
    process = start(*options, "-t", READY)
    try:
        equal(process.stdout.readline().decode().strip().endswith("ready"), True, "its subscriptions")
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def lines(process, count):
    found = []
    for _ in range(count):
        line = process.stdout.readline()
        if not line:
            raise AssertionError(f"mosquitto_sub ended after {found}")
        found.append(line.decode().rstrip("\n"))
    return found


def qos():
    with subscriber("-t", f"{PREFIX}/qos/#", "-q", str(QOS_MAX), "-F", "%t %q %r %p") as receiver:
        for given in range(3):
            publish(f"{PREFIX}/qos/{given}", f"text {given}", qos=given)
            equal(
                lines(receiver, 1), [f"{PREFIX}/qos/{given} {min(given, QOS_MAX)} 0 text {given}"], "message"
            )


def retained():
    publish(f"{PREFIX}/retained/a", "a", "-r")
    publish(f"{PREFIX}/retained/b", "b", "-r")
    publish(f"{PREFIX}/retained/a", None, "-r", "-n")
    # In the order of its subscriptions.
    receiver = start("-t", f"{PREFIX}/retained/#", "-F", "%r %p", "-C", "1", "-q", "1", "-W", str(SECONDS))
    equal(receiver.communicate(timeout=SECONDS)[0].decode().split("\n")[0], "1 b", "retained message")
    publish(f"{PREFIX}/retained/b", None, "-r", "-n")


def will():
    with subscriber("-t", f"{PREFIX}/will", "-q", "1") as watcher:
        for text, is_polite in (("polite", True), ("cut", False)):
            with subscriber(
                "-t", f"{PREFIX}/other", "--will-topic", f"{PREFIX}/will", "--will-payload", text,
                "--will-qos", "1",
            ) as lost:  # fmt: skip
                if is_polite:
                    lost.terminate()
                    lost.wait()
        # The MQTT 5 one says goodbye with reason 4, "with will message".
        equal(lines(watcher, 2 if V5 else 1), ["polite", "cut"] if V5 else ["cut"], "will")


def resume():
    session = ["-i", f"{PREFIX}-resumed", "-c", "-q", "1", "-t", f"{PREFIX}/resume"]
    if V5:
        session += ["-x", "300"]
    equal(start(*session, "-E").wait(timeout=SECONDS), 0, "mosquitto_sub -E")
    texts = [f"{number}" for number in range(BACKLOG)]
    publish(f"{PREFIX}/resume", lines=texts)
    receiver = start(*session, "-C", str(BACKLOG), "-W", str(SECONDS))
    equal(receiver.communicate(timeout=SECONDS)[0].decode().split(), texts, "backlog")
    # Without -c: the session ends.
    publish(f"{PREFIX}/end", "", "-i", f"{PREFIX}-resumed")


def large():
    process = subprocess.Popen(
        ["mosquitto_sub", *COMMON, "-N", "-q", "1", "-C", "1", "-W", str(SECONDS), "-t", f"{PREFIX}/large"],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    # Retained, so that it does not matter which of the two comes first.
    words = ["mosquitto_pub", *COMMON, "-t", f"{PREFIX}/large", "-q", "1", "-r", "-s"]
    subprocess.run(words, input=LARGE, timeout=SECONDS, check=True)
    equal(process.communicate(timeout=SECONDS)[0] == LARGE, True, "1 MiB came back the same")
    publish(f"{PREFIX}/large", None, "-r", "-n")


def shared():
    options = ["-t", f"$share/g/{PREFIX}/shared", "-q", "1"]
    with subscriber(*options) as first, subscriber(*options) as second:
        texts = [f"{number}" for number in range(SHARED)]
        publish(f"{PREFIX}/shared", lines=texts)
        found = ([], [])
        deadline = time.monotonic() + SECONDS
        for process in (first, second):
            os.set_blocking(process.stdout.fileno(), False)
        rest = ["", ""]
        while len(found[0]) + len(found[1]) < SHARED and time.monotonic() < deadline:
            for index, process in enumerate((first, second)):
                rest[index] += (process.stdout.read() or b"").decode()
                *whole, rest[index] = rest[index].split("\n")
                # The second one's start repeats the retained message to nobody; a retained one is no news.
                found[index].extend(line for line in whole if line != "ready")
            time.sleep(0.005)
        equal(sorted(found[0] + found[1]), sorted(texts), "each message once")
        equal(bool(found[0]) and bool(found[1]), True, "both members had some")


def request():
    asked, answer = f"{PREFIX}/request", f"{PREFIX}/answer"
    options = ["-D", "publish", "correlation-data", "c-17"] if V5 else []
    with subscriber("-t", asked, "-q", "1", "-F", "%p\n%R\n%D" if V5 else "%p") as answerer:
        if V5:
            lines(answerer, 2)  # What of "ready" is left: it has no properties.
        asker = subprocess.Popen(
            ["mosquitto_rr", *COMMON, "-q", "1", "-t", asked, "-e", answer, "-m", "ask", "-W", str(SECONDS)]
            + options,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        got = lines(answerer, 3 if V5 else 1)
        equal(got, ["ask", answer, "c-17"] if V5 else ["ask"], "request")
        publish(answer, "ask!", *options)
        equal(asker.communicate(timeout=SECONDS)[0].decode().strip(), "ask!", "answer")


def telemetry():
    for qos in range(3):
        for _ in range(2):
            publish(f"devices/{PREFIX}/telemetry", qos=qos, lines=[reading(qos * 2), reading(qos * 2 + 1)])


if URL.scheme in ("ws", "wss"):
    raise NotThere("Debian's mosquitto clients have no WebSocket")
publish(READY, "ready", "-r")
run(
    {
        "qos": qos, "retained": retained, "will": will, "resume": resume, "large": large, "shared": shared,
        "request": request, "telemetry": telemetry,
    }
)  # fmt: skip
