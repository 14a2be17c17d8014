"""What is said of a run: while it runs, the verdict, the table and the document."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from bench.faults.result import Result, Times, broken, seconds
from bench.faults.run import Progress
from trackflowd.cli_text import Style, bar, fit, table
from trackflowd.sink.base import masked

#: Seconds between two looks, on a terminal and where lines are kept.
_REDRAW, _LINE_EVERY = 0.25, 10.0
_BAR, _COLUMNS = 20, 118


def document(result: Result, kept: Path | None) -> dict[str, Any]:
    """The result as one JSON value.

    Args:
        kept: where log, acks and data are; None: removed.
    """
    options, found = result.options, result.findings
    wrong = broken(result)
    return {
        "promise": "broken" if wrong else "kept",
        "broken": wrong,
        "seed": options.seed,
        "seconds": options.seconds,
        "took_s": round(result.took_s, 1),
        "store": masked(options.store),
        "connections": options.connections,
        "rate": options.rate,
        **{name: value for name, value in asdict(found).items() if name != "examples"},
        "examples": found.examples,
        "fresh_stored_s": _rounded(result.fresh_s),
        "answers": {
            "2xx": result.tally.requests - result.tally.full - result.tally.policy - sum(result.tally.other.values()),
            "503": result.tally.full,
            "policy": result.tally.policy,
            "other": result.tally.other,
            "unanswered": result.tally.unanswered,
            "hung_up": result.tally.hung_up,
            "refused_connections": result.tally.refused_connections,
        },
        "sent_again": result.tally.again,
        "given_up": result.tally.given_up,
        "account": {**asdict(result.account), "holds": result.account.holds},
        "daemon": {
            "lives": result.lives,
            "unexpected": result.unexpected,
            "peak_rss": result.peak_rss,
            "peak_fds": result.peak_fds,
            **result.totals,
        },
        "faults": [
            {
                "kind": kind,
                "planned": result.planned[kind],
                "injected": result.injected[kind],
                **{name: _rounded(value) for name, value in asdict(result.recovery.get(kind, Times())).items()},
            }
            for kind in options.kinds
            if kind not in result.skipped
        ],
        "skipped": result.skipped,
        "recoveries_overtaken": result.overtaken,
        "spoilt_requests": dict(result.spoilt),
        "directory": str(kept) if kept else None,
        "failures": str(kept / "failures.txt") if kept and found.examples else None,
    }


def lines(said: Mapping[str, Any], style: Style) -> list[str]:
    """The document for people."""
    found = [(name, f"{said[name]:,}", about) for name, about in _COUNTS]
    rows = [(name, style.bad(value) if name in _BAD and value != "0" else value, style.dim(about))
            for name, value, about in found]  # fmt: skip
    answers, daemon, account = said["answers"], said["daemon"], said["account"]
    rows += [
        ("fresh event", seconds(said["fresh_stored_s"]), style.dim("from the last fault's end until stored (I5)")),
        ("answers", f"{answers['2xx']:,}", style.dim(
            f"2xx; {answers['503']:,} 503; {answers['policy']:,} refused by policy; "
            f"{sum(answers['other'].values()):,} others (I6)")),
        ("no answer", f"{answers['unanswered']:,}", style.dim(
            f"{answers['hung_up']:,} not waited for; {answers['refused_connections']:,} without a connection; "
            f"{said['sent_again']:,} sent again")),
        ("accounts", "hold" if account["holds"] else style.bad("differ"), style.dim(
            "{received:,} received = {stored:,} stored + {duplicates:,} repeats + {pending:,} pending + "
            "{spooled:,} spooled + {quarantined:,} quarantined (I8, last life)".format(**account))),
        ("daemon", f"{daemon['lives']:,}", style.dim(
            f"lives, {daemon['restarts']:,} children replaced; {daemon['batches_confirmed']:,} batches, "
            f"{daemon['batches_doubted']:,} in doubt; {daemon['duplicates']:,} repeats left out")),
        ("memory", f"{max(daemon['peak_rss'].values(), default=0) / 2**20:,.0f} MiB", style.dim(
            "most of one process: " + ", ".join(
                f"{role} {size / 2**20:,.0f} MiB and {daemon['peak_fds'][role]} descriptors"
                for role, size in daemon["peak_rss"].items()))),
    ]  # fmt: skip
    return [*table(rows, right=[1]), "", *_fault_lines(said, style), "", *_verdict_lines(said, style)]


_COUNTS = (
    ("sent", "events, each a pure function of seed and number"),
    ("acked", "answered 2xx"),
    ("stored", "rows in the store"),
    ("lost", "answered and not stored (I1)"),
    ("doubled", "stored more than once (I2)"),
    ("altered", "stored otherwise than sent (I3)"),
    ("unknown", "stored and never sent (I4)"),
    ("open_stored", "never answered, and stored: allowed"),
    ("open_not", "never answered, and not stored: allowed"),
)
_BAD = ("lost", "doubled", "altered", "unknown")


def _fault_lines(said: Mapping[str, Any], style: Style) -> list[str]:
    rows = [
        (one["kind"], f"{one['injected']}", seconds(one["answered"], ""), seconds(one["stored"], ""))
        for one in said["faults"]
    ]
    found = table(rows, ("fault", "times", "answered after", "stored after"), right=[1, 2, 3])
    left_out = sum(one["planned"] - one["injected"] for one in said["faults"])
    notes = [f"longest recovery of each kind; {said['recoveries_overtaken']} were overtaken by the next fault"]
    if left_out:
        notes.append(f"{left_out} planned faults did not fit into the run any more")
    reasons: dict[str, list[str]] = {}
    for kind, why in said["skipped"].items():
        reasons.setdefault(why, []).append(kind)
    notes += [f"skipped, because {why}: {', '.join(kinds)}" for why, kinds in reasons.items()]
    return found + [style.dim(note) for note in notes]


def _verdict_lines(said: Mapping[str, Any], style: Style) -> list[str]:
    head = f"seed {said['seed']}, {said['seconds']:g} s against {said['store']}"
    if said["promise"] == "kept":
        lines = [style.good("kept") + f"  {head}"]
    else:
        lines = [style.bad("BROKEN") + f"  {head}"] + [f"  {text}" for text in said["broken"]]
    if said["failures"]:
        lines.append(f"  which: {said['failures']}")
    if said["directory"]:
        lines.append(f"  log, acks and data: {said['directory']}")
    return lines


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


class Screen(threading.Thread):
    """Shows how a run goes: a line that is redrawn on a terminal, else a line now and then.

    Args:
        out: where.
    """

    def __init__(self, out: TextIO = sys.stderr) -> None:
        super().__init__(name="screen", daemon=True)
        self._out = out
        self._live = Style.of(out).on
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._seen = (time.monotonic(), 0)
        self._rate = 0.0
        self.progress = Progress(self.say)

    def say(self, text: str) -> None:
        """A line that stays."""
        with self._lock:
            print(("\r\x1b[K" if self._live else "") + text, file=self._out, flush=True)

    def run(self) -> None:
        """Show until ended."""
        while not self._ended.wait(_REDRAW if self._live else _LINE_EVERY):
            if self._live:
                with self._lock:
                    print("\r\x1b[K" + fit(self._line(), _COLUMNS), end="", file=self._out, flush=True)
            else:
                self.say(self._line())

    def _line(self) -> str:
        progress = self.progress
        tally = progress.client.tally if progress.client is not None else None
        now, acked = time.monotonic(), tally.acked if tally else 0
        if now - self._seen[0] >= 1:
            self._rate = (acked - self._seen[1]) / (now - self._seen[0])
            self._seen = (now, acked)
        done = f"[{bar(progress.share, _BAR).ljust(_BAR)}] " if self._live else f"{progress.share:4.0%} "
        return f"{done}{acked:,} acked, {max(self._rate, 0):,.0f}/s  {progress.phase}"

    def end(self) -> None:
        """Stop, and leave the line empty."""
        self._ended.set()
        if self.is_alive():
            self.join()
        if self._live:
            print("\r\x1b[K", end="", file=self._out, flush=True)
