"""Makes a file of telemetry, and at once the minutes that a right engine must find in it.

The same arguments give the same bytes. A line is

    {"deviceId":"pump-00042","messageId":"1f-7","ts":"2026-03-01T00:12:34.567Z","value":-3.07,"site":"north",…}

Lines are in the order of arrival. What makes it hard:

* late: 1 % of the readings arrive up to 30 s after their time, so times go back and forth;
* redeliveries: 10 % of the lines repeat an earlier one of the same device and messageId, most within two
  seconds, some up to 15 minutes later, in another order than the first deliveries. One in ten has another value:
  only the first delivery counts;
* a messageId is unique in its device only, and arrives out of order;
* values are hundredths, so that sums can be exact; some are negative.

The minutes are counted while the readings are made, from the plan and not from the text, and kept both ways:
(start, end] as Azure Stream Analytics has it, and [start, end) as most others have it.
"""

import heapq
import random
import time

from windows import Minutes

BASE_SECONDS = 1_772_323_200  # 2026-03-01T00:00:00Z
LATE_MS_MAX = 30_000
SITES = ("north", "south", "harbour", "quarry", "depot")


def write(path, records, devices, minutes, duplicates=0.1, late=0.01, seed=7):
    """Writes the file; returns the minutes that are in it, and the number of redeliveries."""
    draw = random.Random(seed)
    repeated = round(records * duplicates)
    distinct = records - repeated
    share = repeated / max(distinct, 1)
    span_ms = minutes * 60_000
    seconds = [
        time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(BASE_SECONDS + at)) for at in range(minutes * 60)
    ]
    names = [f"pump-{device:05d}" for device in range(devices)]
    heads, tails = _texts(names, draw)
    counters = [0] * devices
    expected = Minutes()
    waiting = []  # (arrival, tie, line): at most what is late or comes again
    ties = 0
    left = repeated
    with open(path, "w", encoding="utf-8", buffering=1 << 20) as file:
        for index in range(distinct):
            at_ms = index * span_ms // distinct
            while waiting and waiting[0][0] <= at_ms:
                file.write(heapq.heappop(waiting)[2])
            device = int(draw.random() * devices)
            counters[device] += 1
            value = int(draw.random() * 9_000) - 1_500
            arrival = at_ms
            if draw.random() < late:
                arrival += 1 + int(draw.random() * LATE_MS_MAX)
            stamp = f"{seconds[at_ms // 1000]}.{at_ms % 1000:03d}Z"
            start = f'{heads[device]}{counters[device]:x}-{device & 7}","ts":"{stamp}","value":'
            ties += 1
            heapq.heappush(waiting, (arrival, ties, f"{start}{_decimal(value)}{tails[device]}"))
            expected.add(names[device], BASE_SECONDS * 1000 + at_ms, value)
            if left and (draw.random() < share or left >= distinct - index):
                left -= 1
                ties += 1
                again = value + 100 + int(draw.random() * 300) if draw.random() < 0.1 else value
                heapq.heappush(
                    waiting, (arrival + _delay(draw), ties, f"{start}{_decimal(again)}{tails[device]}")
                )
        while waiting:
            file.write(heapq.heappop(waiting)[2])
    return expected, repeated


def text_of(second):
    """ISO 8601 of epoch seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))


def _texts(names, draw):
    """What each device's lines begin and end with."""
    heads = [f'{{"deviceId":"{name}","messageId":"' for name in names]
    tails = [
        f',"site":"{draw.choice(SITES)}","unit":"mm","firmware":"{draw.randrange(1, 4)}.{draw.randrange(9)}",'
        f'"battery":{draw.randrange(20, 100)}}}\n'
        for _ in names
    ]
    return heads, tails


def _decimal(hundredths):
    whole = abs(hundredths)
    return f"{'-' if hundredths < 0 else ''}{whole // 100}.{whole % 100:02d}"


def _delay(draw):
    """Milliseconds until a reading comes again."""
    kind = draw.random()
    return 1 + int(draw.random() * (2_000 if kind < 0.8 else 90_000 if kind < 0.98 else 900_000))
