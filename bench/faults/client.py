"""The runner's end of the traffic process."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import asdict, fields
from pathlib import Path

from bench.faults.traffic import SAY_EVERY, Plan, Tally

#: Seconds it may take to end.
_END_WITHIN = 15.0
_NAMES = frozenset(field.name for field in fields(Tally))


class TrafficFailed(Exception):
    """The traffic process has ended or is silent; the text says how."""


class Client:
    """A running traffic process.

    Args:
        plan: what it is to send.
        log: file for what it says when it fails.

    Attributes:
        tally: its latest.
        probes: number → when it was answered, on the monotonic clock.
    """

    def __init__(self, plan: Plan, log: Path) -> None:
        command = [sys.executable, "-m", "bench.faults.traffic", json.dumps(asdict(plan))]
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command, cwd=Path(__file__).parent.parent.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=errors, start_new_session=True,
            )  # fmt: skip
        self.tally = Tally()
        self.probes: dict[int, float] = {}
        self._said = 0
        self._reader = threading.Thread(target=self._read, name="traffic", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = {name: value for name, value in json.loads(line).items() if name in _NAMES}
            self.tally = Tally(**said)
            if self.tally.probe is not None:
                self.probes[self.tally.probe[0]] = self.tally.probe[1]
            self._said += 1

    def order(self, text: str) -> None:
        """Give an order. Raises TrafficFailed."""
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(text.encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise TrafficFailed(f"the traffic process is gone; its words are in {self._log}") from error

    def await_idle(self, within: float) -> bool:
        """Wait until nothing is on its way or due, as said after now; False: there still is after within seconds."""
        until, seen = time.monotonic() + within, self._said
        while time.monotonic() < until:
            self.check()
            if self._said > seen + 1 and self.tally.idle:
                return True
            time.sleep(SAY_EVERY / 4)
        return False

    def check(self) -> None:
        """Raises TrafficFailed if it has ended."""
        if self._process.poll() is not None:
            raise TrafficFailed(f"the traffic process ended with code {self._process.returncode}; see {self._log}")

    def end(self) -> None:
        """Have it end; all its acks are on the disk then. Raises TrafficFailed."""
        self.order("end")
        try:
            code = self._process.wait(_END_WITHIN)
        except subprocess.TimeoutExpired:
            code = None
        self._reader.join(_END_WITHIN)
        if code != 0:
            self.kill()
            raise TrafficFailed(f"the traffic process did not end well (code {code}); see {self._log}")

    def kill(self) -> None:
        """Make sure that it does not run any more."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
