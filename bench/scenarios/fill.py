"""Fills a store through the product's own sink. A process of its own: an engine has one.

``python -m bench.scenarios.fill DATA_DIR ROWS [URL]`` fills the store of a url, or makes ``DATA_DIR/store`` as
``store.url = "chdb:"`` has it, and prints a line of JSON now and then: ``{"rows": so far, "cpu_us": CPU µs a row since
the line before}``; of ClickHouse's engine one more at the end, once merges have come to rest.

The rows are those of the traffic model, made by the worker's own code and put into columns by the flusher's. A
batch's worth is made once; each batch has event ids and visitors of its own, and its times: the rows are
spread evenly over the ``DAYS`` before now, in order, as in service.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from bench.traffic.model import Model, Options
from bench.traffic.wire import Format, Pool
from trackflowd import proc
from trackflowd.batch import Columns, new_batch_id, partition_of
from trackflowd.enrich.finish import Finisher, Row
from trackflowd.enrich.geo import Geo
from trackflowd.enrich.visitor import Salt, of_day
from trackflowd.proto import http, native
from trackflowd.proto.dialects import Limits
from trackflowd.ring.layout import Record
from trackflowd.sink.base import Batch, QueryLimits, Sink, SinkOptions, open_sink, sql_of

#: Days before now that the rows are spread over; rows of a batch; lines printed in all.
DAYS, BATCH, LINES = 30, 50_000, 20
#: Seconds merges may take to come to rest.
_REST_WITHIN = 120.0
_MERGES = "SELECT count() AS n FROM system.merges"


def main(argv: Sequence[str] | None = None) -> int:
    """See the module's text."""
    words = sys.argv[1:] if argv is None else argv
    if not 2 <= len(words) <= 3 or not words[1].isdigit():
        print("usage: python -m bench.scenarios.fill DATA_DIR ROWS [URL]", file=sys.stderr)
        return 2
    directory, rows, url = [*words, "chdb:"][:3]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the bench, which kills this
    proc.keep_freed_memory()  # as the flusher does
    sink = open_sink(url, SinkOptions(Path(directory)))
    sink.open()
    try:
        fill(sink, int(rows), time.time_ns() // 1_000_000)
        if sql_of(url) == "clickhouse":
            rest(sink, int(rows))
    finally:
        sink.close()
    return 0


def fill(sink: Sink, rows: int, now_ms: int) -> None:
    """Insert so many rows, print how it goes."""
    made = columns(min(BATCH, rows))
    step = max(rows // LINES, 1)
    before, said, done = time.process_time(), 0, 0
    for one in batches(made, rows, now_ms):
        sink.insert(one)
        done += one.rows
        if done - said >= step or done == rows:
            now = time.process_time()
            _say(done, (now - before) / (done - said))
            before, said = now, done


def rest(sink: Sink, rows: int) -> None:
    """Wait until merges rest, and print what they took."""
    before, until = time.process_time(), time.monotonic() + _REST_WITHIN
    while b"0" != sink.query(_MERGES, "csv", QueryLimits()).split()[1] and time.monotonic() < until:
        time.sleep(0.2)
    _say(rows, (time.process_time() - before) / rows)


def _say(rows: int, cpu_s: float) -> None:
    print(json.dumps({"rows": rows, "cpu_us": cpu_s * 1e6}), flush=True)


def columns(rows: int) -> dict[str, Sequence[Any]]:
    """Columns of so many rows of the traffic model, received at 0 ms."""
    records: list[Record] = [
        Record(0, 0, event_id, site, received, flags, payload)
        for event_id, site, received, flags, payload in islice(_rows(rows), rows)
    ]
    return Columns().build(records)


def _rows(count: int) -> Iterator[Row]:
    """Finished rows, received at 0 ms."""
    form = Format("single")
    pool = Pool.of(Model(Options(bad=0.0)).hits(), form, 1, count)
    finisher = Finisher(Geo(os.devnull), [Salt("all", -(2**62), 2**62, secrets.token_bytes(32))])
    connection = http.Connection(http.Limits())
    for raw in pool.ready(1, secrets.randbelow(2**31)):
        for request in connection.receive(raw):
            headers = request.headers
            address = headers.get(b"x-forwarded-for", b"").decode()
            events, _ = native.read(request, Limits(1))
            for event in events:
                yield finisher.row(event, headers.get(b"user-agent", b""), address, "", "", 0)


def batches(made: Mapping[str, Sequence[Any]], rows: int, now_ms: int) -> Iterator[Batch]:
    """The rows over and over, as batches of their own, so many in all; the times end at now_ms."""
    each = len(made["received"])
    begin, length = now_ms - DAYS * 86_400_000, DAYS * 86_400_000
    for done in range(0, rows, each):
        count = min(each, rows - done)
        first = begin + length * done // rows
        yield _batch(made, count, first, begin + length * (done + count) // rows)


def _batch(made: Mapping[str, Sequence[Any]], count: int, first: int, end: int) -> Batch:
    """One batch, received from first to end (ms), all in the month it begins in."""
    partition = partition_of(first)
    received = [first + (end - first) * n // count for n in range(count)]
    if partition_of(received[-1]) != partition:
        received = [first] * count
    ids, other = os.urandom(16 * count), secrets.randbits(64)
    batch_id = new_batch_id(received[-1])
    times = [at + late for at, late in zip(received, made["time"][:count], strict=True)]
    fresh: dict[str, Sequence[Any]] = {
        "event_id": [ids[n : n + 16] for n in range(0, 16 * count, 16)],
        "received": received,
        "time": times,
        "visitor": [of_day(number ^ other, at) for number, at in zip(made["visitor"][:count], times, strict=True)],
        "_batch": (batch_id,) * count,
    }
    rest = {name: column if len(column) == count else column[:count] for name, column in made.items()}
    return Batch(batch_id, 1, partition, count, {**rest, **fresh})


if __name__ == "__main__":
    sys.exit(main())
