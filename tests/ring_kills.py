"""Kills a ring's writer at random moments and looks at what it leaves. Run by test_ring_writer.py.

``python ring_kills.py FILE WRITER KILLS SEED`` prints one line of JSON: kills done, records seen, laps
gone round, and the first thing that was wrong ("" when nothing was). Each writer is forked, maps the ring
for itself, and tells its head through a pipe after every few publishes; this process reads along, moves
the tail, and sends SIGKILL after a random number of such reports. All waiting is for the pipe.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.rings import WRITERS, as_row, row
from trackflowd.errors import RingDamaged, RingFull
from trackflowd.ring.reader import Reader

REPORT_EVERY = 8
#: Looks at the head for each report: a head that is wrong for an instant is to be seen.
LOOKS = 50


class Wrong(Exception):
    """A promise of the ring was broken."""


def write(path: str, kind: str, number: int, seed: int, pipe: int) -> None:
    """The writer: rows number, number + 1, … for ever."""
    with open(path, "r+b") as file:
        writer = WRITERS[kind](mmap.mmap(file.fileno(), 0))
    dice = random.Random(seed)
    while True:
        for _ in range(REPORT_EVERY):
            rows = [row(number + i, dice.randrange(8, 900)) for i in range(dice.choice((1, 1, 1, 4)))]
            while True:
                try:
                    writer.append(rows)
                    break
                except RingFull:  # the pipe has an end too: that is how the writer waits
                    os.write(pipe, writer.head.to_bytes(8, "little"))
            writer.publish()
            number += len(rows)
        os.write(pipe, writer.head.to_bytes(8, "little"))


class Judge:
    """Reads along; every row must be the next one and be what ``row`` makes of its number."""

    def __init__(self, path: str) -> None:
        with open(path, "r+b") as file:
            self.reader = Reader(mmap.mmap(file.fileno(), 0))
        self.position = 0
        self.number = 1

    def read(self) -> None:
        """Read up to the head, prove it, and give most of it back."""
        head = self.reader.head
        records, stopped = self.reader.records(self.position, head, 10_000, 2**30)
        for record in records:
            if as_row(record) != row(self.number, len(record[6])):
                raise Wrong(f"row {self.number} is not what was written")
            self.number += 1
        if records:
            self.position = records[-1][1]
        if stopped or self.position != head:
            raise Wrong(f"bytes below the head {head} prove to be nothing at {self.position}")
        self.reader.store_tail(self.position)

    def after_kill(self, reported: int) -> None:
        """What a dead writer left: all it reported, and nothing half done."""
        if self.reader.head < reported:
            raise Wrong(f"head {self.reader.head} after {reported} was reported")
        self.read()


def one_kill(path: str, kind: str, judge: Judge, dice: random.Random) -> None:
    """Start a writer, read along for a while, kill it, look."""
    from_writer, to_judge = os.pipe()
    seed = dice.randrange(2**32)
    pid = os.fork()
    if not pid:
        os.close(from_writer)
        try:
            write(path, kind, judge.number, seed, to_judge)
        finally:
            os._exit(1)
    os.close(to_judge)
    reported = 0
    try:
        for _ in range(dice.randrange(1, 12)):
            reported = int.from_bytes(os.read(from_writer, 8), "little")
            for _ in range(LOOKS):
                _ = judge.reader.head  # raises RingDamaged when it is not one
            judge.read()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        while report := os.read(from_writer, 8):
            reported = int.from_bytes(report, "little")
        os.close(from_writer)
    judge.after_kill(reported)


def main(path: str, kind: str, kills: int, seed: int) -> dict[str, object]:
    """Kill that many writers, or until something is wrong."""
    dice = random.Random(seed)
    judge = Judge(path)
    done, wrong = 0, ""
    try:
        while done < kills:
            one_kill(path, kind, judge, dice)
            done += 1
    except (Wrong, RingDamaged) as error:
        wrong = str(error)
    laps = judge.position // judge.reader.capacity
    return {"kills": done, "records": judge.number - 1, "laps": laps, "wrong": wrong}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
