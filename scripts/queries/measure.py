"""Runs a program under a time limit and says what it and its children took, as the kernel counts it."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass

TICK = os.sysconf("SC_CLK_TCK")
LOOK_SECONDS = 0.05


class Failure(Exception):
    """The comparison cannot go on; the text says why."""


@dataclass
class Cost:
    """What a run took: wall time, CPU of all its processes, the sum of their peaks of memory; how it ended."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    status: int
    over: bool


def run(command, limit_seconds, output, log, environment=None):
    """Runs `command` in a session of its own, and kills that when the time is over."""
    begin = time.monotonic()
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=log, env=environment, start_new_session=True
    )
    watched = {}
    over = False
    try:
        while True:
            _look(child.pid, watched)
            ended, status, usage = os.wait4(child.pid, os.WNOHANG)
            if ended:
                break
            if time.monotonic() - begin > limit_seconds:
                over = True
                os.killpg(child.pid, signal.SIGKILL)
                _, status, usage = os.wait4(child.pid, 0)
                break
            time.sleep(LOOK_SECONDS)
    except BaseException:
        os.killpg(child.pid, signal.SIGKILL)
        raise
    seconds = time.monotonic() - begin
    child.returncode = os.waitstatus_to_exitcode(status)
    # Exact for a program without children; of a virtual machine behind it only what was seen last is known.
    cpu = max(usage.ru_utime + usage.ru_stime, sum(cpu for cpu, _ in watched.values()))
    return Cost(seconds, cpu, sum(peak for _, peak in watched.values()), child.returncode, over)


def _look(session, watched):
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
            if int(fields[3]) != session or _is_its_parent_still(name, fields[1]):
                continue
            cpu = (int(fields[11]) + int(fields[12])) / TICK
            watched[name] = (cpu, max(peak_bytes(name), watched.get(name, (0, 0))[1]))
        except (OSError, ValueError):
            continue  # it has ended meanwhile


def _is_its_parent_still(pid, parent):
    """A child that has not begun its own program yet has the memory of its parent, which counts there."""
    return parent != str(os.getpid()) and _command_line(pid) == _command_line(parent)


def _command_line(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()


def peak_bytes(pid):
    """The most memory a process had, in its present program (VmHWM); 0 when it has none any more."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def thread_cpu_seconds(pid):
    """CPU of each thread of a process, by its name."""
    found = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        folder = f"/proc/{pid}/task/{task}"
        try:
            with open(folder + "/comm", encoding="utf-8") as file:
                name = file.read().strip()
            with open(folder + "/schedstat", encoding="utf-8") as file:
                seconds = int(file.read().split()[0]) / 1e9
        except OSError:
            continue
        found[name] = found.get(name, 0.0) + seconds
    return found


def process_cpu_seconds(pid):
    """CPU of a process, threads that have ended included."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
