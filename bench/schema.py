"""Choices of the ClickHouse schema, tried one by one on the same events: bytes an event, cost of each statistic.

Every variant is a table of its own, filled from ``events`` of a store that ``bench.scenarios.fill`` made, merged into
one part a month, and put in the place of ``events`` while the statistics run. CPU is that of this process, all threads.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trackflowd import stats
from trackflowd.cli_text import table

_ABOUT = """\
Tries choices of the ClickHouse schema on a filled embedded store: bytes an event, CPU of filling, CPU and time of each
statistic, the schema as it is first. The store is left as it was. Ctrl-C ends it; what was measured is printed.
"""
_EXAMPLES = """\
examples:
  python -m bench.scenarios.fill /srv/filled 20000000
  python -m bench schema /srv/filled
  python -m bench schema /srv/filled --variants schema,day,zstd --json
"""

Edit = Callable[[str], str]

#: Columns of free text.
_TEXTS = ("url", "path", "query", "title", "referrer", "user_id", "session")
_KEY = "ORDER BY (site, toStartOfHour(time), visitor, time)"


@dataclass(frozen=True, slots=True)
class Variant:
    """One choice.

    Args:
        about: what is different.
        edit: makes its CREATE TABLE from that of the schema.
    """

    about: str
    edit: Edit


def _swap(old: str, new: str) -> Edit:
    def edit(ddl: str) -> str:
        assert old in ddl, f"{old!r} is not in the schema"
        return ddl.replace(old, new)

    return edit


def _codec(codec: str, *columns: str) -> Edit:
    """A codec for these columns; none named: for all that have none."""

    def edit(ddl: str) -> str:
        lines = []
        for line in ddl.split("\n"):
            match = re.match(r"    `(\w+)` (.*?)( CODEC\(.*\))?(,?)$", line)
            if match and (match[1] in columns if columns else not match[3]):
                line = f"    `{match[1]}` {match[2]} CODEC({codec}){match[4]}"
            lines.append(line)
        return "\n".join(lines)

    return edit


def _type(kind: str, *columns: str) -> Edit:
    def edit(ddl: str) -> str:
        for column in columns:
            ddl = re.sub(rf"(    `{column}`) .*?(,?)\n", rf"\1 {kind}\2\n", ddl, count=1)
        return ddl

    return edit


def _all(*edits: Edit) -> Edit:
    def edit(ddl: str) -> str:
        for one in edits:
            ddl = one(ddl)
        return ddl

    return edit


VARIANTS: Mapping[str, Variant] = {
    "schema": Variant("as it is", lambda ddl: ddl),
    "day": Variant("ordered by day, not hour", _swap("toStartOfHour(time)", "toDate(time)")),
    "time": Variant("ordered by (site, time)", _swap(_KEY, "ORDER BY (site, time)")),
    "name": Variant("the event's name before the hour", _swap("(site, toStartOfHour", "(site, name, toStartOfHour")),
    "visitor": Variant("ordered by (site, visitor, time)", _swap(_KEY, "ORDER BY (site, visitor, time)")),
    "lz4": Variant("LZ4 for the texts", _codec("LZ4", *_TEXTS)),
    "zstd": Variant("ZSTD(1) for every column", _codec("ZSTD(1)")),
    "zstd3": Variant("ZSTD(3) for the texts", _codec("ZSTD(3)", *_TEXTS)),
    "delta": Variant("Delta and ZSTD(1) for the two times", _codec("Delta, ZSTD(1)", "time", "received")),
    "numbers": Variant("ZSTD(1) for times, numbers, _batch", _codec(
        "ZSTD(1)", "time", "received", "engaged_ms", "scroll", "revenue", "asn", "_batch")),
    "lowcard": Variant("LowCardinality for path and title", _type("LowCardinality(String)", "path", "title")),
    "string": Variant("String, ZSTD(1) for hostname and city", _type("String CODEC(ZSTD(1))", "hostname", "city")),
    "json": Variant("JSON for the properties", _type("JSON", "props")),
    "fine": Variant("granules of 4096 rows", _swap("index_granularity = 8192", "index_granularity = 4096")),
    "coarse": Variant("granules of 16384 rows", _swap("index_granularity = 8192", "index_granularity = 16384")),
}  # fmt: skip


@dataclass(slots=True)
class Figures:
    """What one variant came to.

    Args:
        bytes_event: on disk.
        fill_us: CPU µs an event of ``INSERT … SELECT``: reading included, the same for all.
        cpu_ms, ms: of each statistic, the least of the repetitions.
    """

    about: str
    bytes_event: float = 0.0
    fill_us: float = 0.0
    cpu_ms: dict[str, float] = field(default_factory=dict)
    ms: dict[str, float] = field(default_factory=dict)
    columns: dict[str, float] = field(default_factory=dict)


class Bench:
    """The store, and what is done with it.

    Args:
        path: of the engine's files.
        repeat: how often each statistic runs.
        days: length of their period, to the newest event.
    """

    def __init__(self, path: Path, repeat: int, days: int) -> None:
        import clickhouse_connect

        self._client: Any = clickhouse_connect.get_client(interface="chdb", path=str(path))
        self._repeat = repeat
        self.rows = int(self._one("SELECT count() FROM events"))
        self._ddl = self._one("SHOW CREATE TABLE events")
        end = int(self._one("SELECT toUnixTimestamp64Milli(max(time)) + 1 FROM events"))
        site = self._one("SELECT site FROM events GROUP BY site ORDER BY count() DESC LIMIT 1")
        self._args = {"site": site, "from": end - days * 86_400_000, "to": end}

    def _one(self, sql: str) -> str:
        answer: bytes = self._client.raw_query(f"{sql} FORMAT TabSeparatedRaw")
        return answer.decode().removesuffix("\n")

    def measure(self, variant: Variant, names: Sequence[str]) -> Figures:
        """Fill a table, merge it, ask it."""
        figures = Figures(variant.about)
        ddl = variant.edit(self._ddl)
        if ddl == self._ddl:
            self._ask(figures, "events", names)
            return figures
        self._client.command("DROP TABLE IF EXISTS tried SYNC")
        self._client.command(re.sub(r"CREATE TABLE \S+", "CREATE TABLE tried", ddl, count=1))
        try:
            before = time.process_time()
            self._client.command(f"INSERT INTO tried SELECT {self._columns(ddl)} FROM events")
            figures.fill_us = (time.process_time() - before) / self.rows * 1e6
            self._client.command("OPTIMIZE TABLE tried FINAL")
            self._client.command("EXCHANGE TABLES events AND tried")
            try:
                self._ask(figures, "events", names)
            finally:
                self._client.command("EXCHANGE TABLES events AND tried")
        finally:
            self._client.command("DROP TABLE tried SYNC")
        return figures

    def merge(self) -> None:
        """One part a month of the table as it is, as of the others."""
        self._client.command("OPTIMIZE TABLE events FINAL")

    @staticmethod
    def _columns(ddl: str) -> str:
        names = re.findall(r"^    `(\w+)` (\w+)", ddl, flags=re.M)
        return ", ".join("toJSONString(props)" if (n, kind) == ("props", "JSON") else n for n, kind in names)

    def _ask(self, figures: Figures, name: str, names: Sequence[str]) -> None:
        where = f"database = currentDatabase() AND table = '{name}' AND active"
        size = f"SELECT sum(bytes_on_disk) FROM system.parts WHERE {where}"
        figures.bytes_event = int(self._one(size)) / self.rows
        columns = f"SELECT column, sum(column_bytes_on_disk) FROM system.parts_columns WHERE {where} GROUP BY column"
        sizes = (line.split("\t") for line in self._one(columns).splitlines())
        figures.columns = {column: round(int(taken) / self.rows, 2) for column, taken in sizes}
        for statistic in names:
            runs = [self._time(statistic) for _ in range(self._repeat)]
            figures.cpu_ms[statistic] = min(cpu for cpu, _ in runs)
            figures.ms[statistic] = min(wall for _, wall in runs)

    def _time(self, statistic: str) -> tuple[float, float]:
        cpu, wall = time.process_time(), time.perf_counter()
        stats.answer(self._run, statistic, self._args)
        return (time.process_time() - cpu) * 1000, (time.perf_counter() - wall) * 1000

    def _run(self, sql: str, params: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        raw = self._client.raw_query(f"{sql}\nFORMAT JSONEachRow", parameters=dict(params))
        return [json.loads(line) for line in raw.splitlines()]


def lines(found: Mapping[str, Figures], names: Sequence[str]) -> list[str]:
    """The table for people."""
    rows = [
        (name, figures.about, f"{figures.bytes_event:.1f}", f"{figures.fill_us:.2f}",
         *(f"{figures.cpu_ms.get(one, 0):.0f} / {figures.ms.get(one, 0):.0f}" for one in names))
        for name, figures in found.items()
    ]  # fmt: skip
    return table(rows, ("variant", "what", "bytes", "fill µs", *(f"{one} CPU/ms" for one in names)))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of ``python -m bench schema``."""
    parser = argparse.ArgumentParser(
        prog="python -m bench schema", description=_ABOUT, epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("data_dir", type=Path, metavar="DATA_DIR", help="its store/ was filled, and nobody uses it")
    parser.add_argument("--variants", default=",".join(VARIANTS), metavar="A,B", help=f"of {', '.join(VARIANTS)}")
    parser.add_argument("--statistics", default="overview", metavar="A,B", help='which (default "overview")')
    parser.add_argument("--repeat", type=int, default=3, help="runs of each statistic; the least counts (default 3)")
    parser.add_argument("--days", type=int, default=30, help="their period (default 30)")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    args = parser.parse_args(argv)
    chosen, names = args.variants.split(","), args.statistics.split(",")
    if strange := [name for name in chosen if name not in VARIANTS]:
        parser.error(f"--variants: there is no {strange[0]!r}: {', '.join(VARIANTS)}")
    if not (args.data_dir / "store").is_dir():
        parser.error(
            f"{args.data_dir} has no store/: fill one with python -m bench.scenarios.fill {args.data_dir} ROWS"
        )
    bench, found = Bench(args.data_dir / "store", args.repeat, args.days), {}
    try:
        bench.merge()
        for name in chosen:
            found[name] = bench.measure(VARIANTS[name], names)
            print(f"{name}: {found[name].bytes_event:.1f} bytes an event", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    if args.json:
        print(json.dumps({"rows": bench.rows, "days": args.days, "variants": {k: asdict(v) for k, v in found.items()}}))
    else:
        print("\n".join(lines(found, names)))
    return 0 if len(found) == len(chosen) else 130


if __name__ == "__main__":
    sys.exit(main())
