"""The input of a comparison, and the minutes that are in it."""

import itertools
import os

import telemetry
import windows
from measure import Failure

LAST_DEVICE = "~end"
LAST_LINE = '{"deviceId":"' + LAST_DEVICE + '","messageId":"1","ts":"%s","value":0}'
PARTS = 20


class Data:
    """The input, and the minutes that are in it."""

    def __init__(self, options, work):
        self.work = work
        if options.input:
            self.path = os.path.abspath(options.input)
            self.minutes, self.records, self.repeated, greatest = windows.fold(self.path)
            self.source = os.path.basename(self.path)
        else:
            self.path = os.path.join(work, "telemetry.jsonl")
            self.records = options.records
            self.minutes, self.repeated = telemetry.write(
                self.path, options.records, options.devices, options.minutes
            )
            greatest = (telemetry.BASE_SECONDS + options.minutes * 60) * 1000
            self.source = "a generated file"
            # Two computations that share only the addition; the one over the text takes memory for each id.
            if options.records <= 1_000_000 and windows.fold(self.path)[0] != self.minutes:
                raise Failure("the generator's account of the minutes is not what its file says")
        if options.expected:
            if windows.read_expected(options.expected) != self.minutes.right:
                raise Failure(f"{options.expected} is not what stands in {self.path}")
            self.source += f", which agrees with {os.path.basename(options.expected)}"
        self.last_line = LAST_LINE % telemetry.text_of(greatest // 1000 + 3_600)
        self._folder = None

    def folder(self):
        """The lines in some files, and one after them that moves the watermark past the last minute."""
        if self._folder is None:
            self._folder = os.path.join(self.work, "parts")
            os.mkdir(self._folder)
            share = -(-self.records // PARTS)
            with open(self.path, "rb") as file:
                for part in range(PARTS):
                    with open(os.path.join(self._folder, f"part-{part:02d}.jsonl"), "wb") as target:
                        target.writelines(itertools.islice(file, share))
            with open(os.path.join(self._folder, "part-99.jsonl"), "w", encoding="utf-8") as target:
                target.write(self.last_line + "\n")
            for place, name in enumerate(sorted(os.listdir(self._folder))):
                # Spark takes files by the time they were written.
                os.utime(os.path.join(self._folder, name), (telemetry.BASE_SECONDS + place,) * 2)
        return self._folder
