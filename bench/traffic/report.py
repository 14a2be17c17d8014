"""What is said of a run: while it goes, the table, and the document."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from bench.traffic.histogram import Histogram
from bench.traffic.loop import Loop, Tally
from trackflowd.cli_text import Style, bar, fit, table

#: ns between two looks, on a terminal and where lines are kept.
_REDRAW, _LINE_EVERY = 200_000_000, 5_000_000_000
_BAR, _COLUMNS = 20, 110
#: Shares and their names in the document.
_PERCENTILES = ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"))
#: A generator that used more of its core than this may have been what limited the rate.
_BUSY = 0.9


@dataclass(frozen=True)
class Outcome:
    """What a run came to, beside its tally.

    Args:
        events, refused: good events, and requests to be refused, in what was sent.
        cpu_s: CPU seconds of the generator while it ran.
        stored: rows the store has more than before; None: not known.
        interrupted: it was ended early.
    """

    events: int
    refused: int
    cpu_s: float
    stored: int | None
    interrupted: bool


class Progress:
    """Shows how a run goes: a line that is redrawn on a terminal, else a line now and then.

    Args:
        loop: the run.
        seconds, units: when it ends; 0: not by this.
        out: where.
    """

    def __init__(self, loop: Loop, seconds: float, units: int, out: TextIO = sys.stderr) -> None:
        self._loop = loop
        self._seconds, self._units = seconds or math.inf, units or math.inf
        self._out = out
        self._live = Style.of(out).on
        self._every = _REDRAW if self._live else _LINE_EVERY
        self._seen = (0, 0, list(loop.tally.latency.counts))

    def tick(self, passed: int) -> None:
        """To be called often, with the ns that have passed."""
        then, answered, counts = self._seen
        if passed - then < self._every:
            return
        self._loop.fold()
        tally = self._loop.tally
        recent = tally.latency.since(counts)
        rate = (tally.answered - answered) / (passed - then) * 1e9
        self._seen = (passed, tally.answered, list(tally.latency.counts))
        share = max(
            passed / 1e9 / self._seconds if self._seconds else 0, tally.units / self._units if self._units else 0
        )
        done = f"[{bar(share, _BAR).ljust(_BAR)}] " if self._live else f"{min(share, 1):4.0%} "
        spans = (
            f"p50 {span(recent.percentile(0.5))}, p99 {span(recent.percentile(0.99))}, max {span(tally.latency.most)}"
        )
        bad = tally.answered - sum(n for status, n in tally.statuses.items() if status < 400)
        line = f"{done}{tally.answered:,} answers, {rate:,.0f}/s  {spans}" + (f"  {bad:,} refused" if bad else "")
        if self._live:
            print("\r\x1b[K" + fit(line, _COLUMNS), end="", file=self._out, flush=True)
        else:
            print(line, file=self._out, flush=True)

    def end(self) -> None:
        """Leave the line empty."""
        if self._live:
            print("\r\x1b[K", end="", file=self._out, flush=True)


def span(ns: float) -> str:
    """A latency for people: 84 µs, 1.25 ms, 2.1 s."""
    for unit, size in (("s", 1e9), ("ms", 1e6)):
        if ns >= size:
            value = ns / size
            return f"{value:.2f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{ns / 1e3:.0f} µs"


def document(parameters: Mapping[str, Any], tally: Tally, outcome: Outcome) -> dict[str, Any]:
    """A run as one JSON value; latencies in ms."""
    took = tally.took_s or 1e-9
    classes = {f"{digit}xx": sum(n for s, n in tally.statuses.items() if s // 100 == digit) for digit in (2, 3, 4, 5)}
    return {
        **parameters,
        "interrupted": outcome.interrupted,
        "took_s": round(tally.took_s, 3),
        "requests": tally.answered + tally.unanswered,
        "answers": {**classes, "by_status": {str(status): n for status, n in sorted(tally.statuses.items())}},
        "meant_to_be_refused": outcome.refused,
        "unanswered": tally.unanswered,
        "unsent": tally.unsent,
        "failed_connections": dict(tally.failed),
        "requests_s": round(tally.answered / took, 1),
        "events": {
            "sent": outcome.events,
            "acked": tally.accepted,
            "stored": outcome.stored,
            "unanswered": tally.unanswered_events,
        },
        "events_s": round(tally.accepted / took, 1),
        "latency_ms": _spans(tally.latency),
        "delay_ms": _spans(tally.delay),
        "generator": {
            "cpu_us_per_request": round(outcome.cpu_s / max(tally.answered, 1) * 1e6, 2),
            "core_share": round(outcome.cpu_s / took, 3),
        },
        "holds": holds(tally, outcome),
    }


def holds(tally: Tally, outcome: Outcome) -> bool | None:
    """Whether acked = stored, but for what got no answer; None: not known."""
    if outcome.stored is None:
        return None
    return tally.accepted <= outcome.stored <= tally.accepted + tally.unanswered_events


def _spans(histogram: Histogram) -> dict[str, float] | None:
    if not histogram.total:
        return None
    found = {name: histogram.percentile(share) / 1e6 for share, name in _PERCENTILES}
    return {name: round(value, 4) for name, value in {**found, "max": histogram.most / 1e6}.items()}


def lines(said: Mapping[str, Any], style: Style) -> list[str]:
    """The document for people."""
    answers, events = said["answers"], said["events"]
    failed = ", ".join(f"{count:,} × {why}" for why, count in said["failed_connections"].items())
    rows = [
        ("requests", f"{said['requests']:,}", f"{said['requests_s']:,.0f} a second, for {said['took_s']:.1f} s"),
        ("answers", f"{answers['2xx']:,}", f"2xx; {answers['4xx']:,} 4xx ({said['meant_to_be_refused']:,} were meant); "
                                           f"{answers['5xx']:,} 5xx"),
        ("events", f"{events['sent']:,}", f"good ones; {said['events_s']:,.0f} a second acked"),
        ("acked", f"{events['acked']:,}", "promised by a 2xx"),
    ]  # fmt: skip
    if events["stored"] is not None:
        note = "rows" + (f"; {events['unanswered']:,} events got no answer" if events["unanswered"] else "")
        rows.append(("stored", f"{events['stored']:,}", note))
    if said["unanswered"] or failed:
        rows.append(("no answer", f"{said['unanswered']:,}", f"requests; connections that failed: {failed or 'none'}"))
    if said["unsent"]:
        rows.append(("unsent", f"{said['unsent']:,}", "were due before the end, and no connection was free"))
    found = table([(name, value, style.dim(about)) for name, value, about in rows], right=[1])
    return [*found, "", *_latency_lines(said), "", *_notes(said, style)]


def _latency_lines(said: Mapping[str, Any]) -> list[str]:
    names = [name for _, name in _PERCENTILES] + ["max"]
    kinds = [("latency", said["latency_ms"]), ("of it before sending", said["delay_ms"])]
    rows = [(kind, *(span(spans[name] * 1e6) for name in names)) for kind, spans in kinds if spans]
    return table(rows, ("", *names), right=range(1, 6)) if rows else ["nothing was answered"]


def _notes(said: Mapping[str, Any], style: Style) -> list[str]:
    generator = said["generator"]
    how = f"rate {said['rate']:,.0f}/s" if said["rate"] else "as fast as it goes"
    notes = [style.dim(f"{said['shape']}, {how}, {said['connections']} connections, seed {said['seed']}, to "
                       f"{said['target']}; the generator took {generator['cpu_us_per_request']:.1f} µs of CPU a "
                       f"request, {generator['core_share']:.0%} of a core")]  # fmt: skip
    if generator["core_share"] > _BUSY:
        notes.append(style.odd("the generator itself was busy all the time: the server may be able to take more"))
    if said["holds"] is not None:
        notes.append(style.good("acked = stored") if said["holds"] else style.bad("acked and stored DIFFER"))
    if said["interrupted"]:
        notes.append(style.odd("interrupted"))
    return notes
