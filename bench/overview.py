"""What ``stats overview`` costs on a filled store: read whole, added up for the first time, and asked again.

The store is one that ``bench.scenarios.fill`` made; it is only read. CPU is that of this process, all threads.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trackflowd import stats
from trackflowd.cli_text import table
from trackflowd.stats.pieces import Piece, Sum

_ABOUT = """\
Asks a filled embedded store for the overview of 1, 7 and 30 days, of its largest site and of all sites: with all events
read; for the first time, its days added up and kept; the same period again; the same as if an event had come in since;
and a period that ends a minute earlier, as one until now is another one with each minute. All answers of a period are
compared. Ctrl-C ends it.
"""
_EXAMPLES = """\
examples:
  python -m bench.scenarios.fill /srv/filled 20000000
  python -m bench overview /srv/filled
  python -m bench overview /srv/filled --threads 2 --days 7 --json
"""
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Cost:
    """One answer, the least of several.

    Args:
        cpu_ms, ms: what it took.
        questions: what the store was asked for it.
    """

    cpu_ms: float
    ms: float
    questions: int


@dataclass(frozen=True, slots=True)
class Line:
    """One period of one site ("": all).

    Args:
        events: in it, and in the period before.
        whole, first, again, busy, moved: see the program's text.
    """

    days: int
    site: str
    events: int
    whole: Cost
    first: Cost
    again: Cost
    busy: Cost
    moved: Cost


class _Busy(stats.Sums):
    """Sums of which the last part of a period is never known: an event has come in since. Args: end_ms: its end."""

    def __init__(self, end_ms: int) -> None:
        super().__init__()
        self.end_ms = end_ms

    def get(self, file: str, piece: Piece) -> tuple[Sum | None] | None:
        """As its base has it."""
        return None if piece.scope.end_ms == self.end_ms else super().get(file, piece)


class Bench:
    """The store. Args: path: of the engine's files; threads: of a query; repeat: runs of which the least counts."""

    def __init__(self, path: Path, threads: int, repeat: int) -> None:
        import clickhouse_connect

        settings = {"max_threads": threads}
        self._client: Any = clickhouse_connect.get_client(interface="chdb", path=str(path), settings=settings)
        self._repeat = repeat
        self._questions = 0
        self.end = int(self._one("SELECT toUnixTimestamp64Milli(max(time)) + 1 FROM events"))
        self.largest = self._one("SELECT site FROM events GROUP BY site ORDER BY count() DESC LIMIT 1")

    def _one(self, sql: str) -> str:
        answer: bytes = self._client.raw_query(f"{sql} FORMAT TabSeparatedRaw")
        return answer.decode().removesuffix("\n")

    def line(self, days: int, site: str) -> Line:
        """Ask in all ways.

        Raises:
            AssertionError: two answers of one period differ.
        """
        asked = {"site": site, "from": self.end - days * _DAY_MS, "to": self.end}
        moved = {"site": site, "from": self.end - days * _DAY_MS - 60_000, "to": self.end - 60_000}
        begin = self.end - 2 * days * _DAY_MS
        where = f"time >= fromUnixTimestamp64Milli({begin})" + (f" AND site = '{site}'" if site else "")
        events = int(self._one(f"SELECT count() FROM events WHERE {where}"))
        (answer, whole), (answer_moved, _) = self._least(asked, None), self._least(moved, None)
        sums = _Busy(0)
        first, again = self._ask(asked, sums), self._least(asked, sums)
        sums.end_ms = self.end
        busy, later = self._least(asked, sums), self._ask(moved, sums)
        assert answer == first[0] == again[0] == busy[0] and later[0] == answer_moved, (days, site)
        return Line(days, site, events, whole, first[1], again[1], busy[1], later[1])

    def _least(self, args: Mapping[str, Any], sums: stats.Sums | None) -> tuple[Any, Cost]:
        return min((self._ask(args, sums) for _ in range(self._repeat)), key=lambda found: found[1].cpu_ms)

    def _ask(self, args: Mapping[str, Any], sums: stats.Sums | None) -> tuple[Any, Cost]:
        self._questions = 0
        cpu, wall = time.process_time(), time.perf_counter()
        answer = stats.answer(self._run, "overview", args, sums=sums)
        took = (time.process_time() - cpu) * 1000, (time.perf_counter() - wall) * 1000
        return answer, Cost(round(took[0], 1), round(took[1], 1), self._questions)

    def _run(self, sql: str, params: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        self._questions += 1
        raw = self._client.raw_query(f"{sql}\nFORMAT JSONEachRow", parameters=dict(params))
        return [json.loads(line) for line in raw.splitlines()]


def lines(found: Sequence[Line]) -> list[str]:
    """The table for people."""
    rows = [
        (str(line.days), line.site or "all sites", str(line.events), *(
            f"{cost.cpu_ms:.0f} / {cost.ms:.0f} ({cost.questions})"
            for cost in (line.whole, line.first, line.again, line.busy, line.moved)))
        for line in found
    ]  # fmt: skip
    return table(rows, ("days", "site", "events", "whole CPU/ms (questions)", "first", "again", "after an event",
                        "a minute earlier"))  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of ``python -m bench overview``."""
    parser = argparse.ArgumentParser(
        prog="python -m bench overview", description=_ABOUT, epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    half = max(1, (os.cpu_count() or 1) // 2)
    parser.add_argument("data_dir", type=Path, metavar="DATA_DIR", help="its store/ was filled, and nobody uses it")
    parser.add_argument("--days", default="1,7,30", metavar="N,N", help="lengths of the periods (default 1,7,30)")
    parser.add_argument("--threads", type=int, default=half, metavar="N",
                        help=f"of a query (default {half}: half of the cores, as a daemon has it)")  # fmt: skip
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="runs of which the least counts (default 3)")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    args = parser.parse_args(argv)
    days = [int(word) for word in args.days.split(",") if word.isdigit() and int(word)]
    path = args.data_dir / "store"
    if not path.is_dir() or not days:
        print(f"bench overview: {path} is no store: make one with python -m bench.scenarios.fill" if days
              else f"bench overview: --days {args.days}: numbers of days, as in 7,30", file=sys.stderr)  # fmt: skip
        return 2
    bench = Bench(path, max(args.threads, 1), max(args.repeat, 1))
    found = []
    for number in days:
        for site in (bench.largest, ""):
            print(f"{number} days of {site or 'all sites'} …", file=sys.stderr)
            found.append(bench.line(number, site))
    print(json.dumps([asdict(line) for line in found]) if args.json else "\n".join(lines(found)))
    return 0
