"""The tab Pipeline: the way of an event drawn, with what flows and what waits at each place.

::

    ┌─ workers ───┐        ┌─ rings ─────┐        ┌─ flusher ───┐        ┌─ store ─────┐
    │             │ ─────▶ │             │ ─────▶ │             │ ─────▶ │             │
    └─────────────┘        └─────────────┘        └──────┬──────┘        └─────────────┘
                                                  ┌─ spool ─────┐
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from trackflowd.cli_text import count, duration, size
from trackflowd.console import plots
from trackflowd.console.charts import gauge, level, short, spark
from trackflowd.console.history import fill_of
from trackflowd.console.knowledge import Knowledge, dig
from trackflowd.console.lines import Line, Segment, beside, clip, columns_of, fill, framed, pad, table, title, wrap

Process = Mapping[str, Any]

#: Columns of an arrow between two boxes, and of the widest box.
_ARROW, _WIDEST = 6, 34
#: Rows inside a box.
_INSIDE = 5
#: Seconds to full buffers below which that is alarming, or worth a look.
_SOON_S, _NEAR_S = 600.0, 3600.0
#: Rows of the table of rings where there is little room.
_RINGS = 7
_PLOTS = (plots.EVENTS, plots.STORED, plots.RING, plots.REQUESTS)
_STORE_ATTR = {"ok": "good", "starting": "odd"}


def draw(know: Knowledge, columns: int, rows: int) -> list[Line]:
    """The tab.

    Args:
        columns, rows: of the room there is.
    """
    if not know.status:
        return [[Segment("waiting for the first word of the daemon", "dim")]]
    wide = min((columns - 3 * _ARROW) // 4, _WIDEST)
    arrow = (columns - 4 * wide) // 3
    drawn = _flow(know, wide, arrow) + _below(know, columns, wide, arrow)
    drawn.append([])
    return drawn + _details(know, columns, rows - len(drawn))


# ---------------------------------------------------------------------- the flow


def _flow(know: Knowledge, wide: int, arrow: int) -> list[Line]:
    status = know.status
    rates: Mapping[str, Any] = status.get("rates") or {}
    bad = str(dig(status, "sink", "state") or "starting")
    held = know.paused()
    into, out = float(rates.get("events_s") or 0), float(rates.get("stored_s") or 0)
    boxes = [
        framed(_inside(_workers(know)), wide, "workers", _frame(_worst(know, "worker"))),
        _arrow(arrow, into, ""),
        framed(_inside(_rings(know, wide - 4)), wide, "rings", level(fill_of(know.status) / 100)),
        _arrow(arrow, out, "paused" if held else ""),
        framed(_inside(_flusher(know)), wide, "flusher", _frame(_worst(know, "flusher"))),
        _arrow(arrow, out, "paused" if held else "" if bad in _STORE_ATTR else bad),
        framed(_inside(_store(know, wide - 4)), wide, "store", "odd" if held else _STORE_ATTR.get(bad, "bad")),
    ]
    widths = [wide, arrow, wide, arrow, wide, arrow, wide]
    return beside(list(zip(boxes, widths, strict=True)), gap=0)


def _inside(lines: Sequence[Line]) -> list[Line]:
    empty: Line = []
    return [*lines[:_INSIDE], *[empty] * (_INSIDE - len(lines))]


def _frame(state: str) -> str:
    return "good" if state == "ready" else "odd" if state in ("starting", "draining", "waiting") else "bad"


def _arrow(columns: int, rate: float, blocked: str) -> list[Line]:
    """What goes from one box to the next: its rate over an arrow, or why nothing does."""
    inner = columns - 2
    if blocked:
        mark, attr, text = "─" * (inner - 1) + "✖", "odd" if blocked == "paused" else "bad", blocked
    elif rate > 0:
        mark, attr, text = "─" * (inner - 1) + "▶", "chart", f"{short(rate)}/s"
    else:
        mark, attr, text = "·" * (inner - 1) + "▶", "rule", ""
    label = clip(text, columns).center(columns)
    return [[], [], [Segment(label, attr if blocked else "bold")], [Segment(f" {mark} ", attr)]]


def _of_role(know: Knowledge, role: str) -> list[Process]:
    return [process for process in know.status.get("processes") or () if process.get("role") == role]


def _worst(know: Knowledge, role: str) -> str:
    states = [str(process.get("state")) for process in _of_role(know, role)]
    return next((state for state in states if state != "ready"), "ready" if states else "ended")


def _cpu(know: Knowledge, role: str) -> str:
    known = [share for process in _of_role(know, role) if (share := know.cpu_share(process)) is not None]
    return f"cpu {sum(known):.0%}" if known else "cpu -"


def _workers(know: Knowledge) -> list[Line]:
    workers, rates = _of_role(know, "worker"), know.status.get("rates") or {}
    ready = sum(process.get("state") == "ready" for process in workers)
    totals: Mapping[str, Any] = know.status.get("totals") or {}
    return [
        [Segment(f"{ready}/{len(workers)} ready", "good" if ready == len(workers) else "bad")],
        [Segment(f"{short(rates.get('requests_s') or 0)} req/s")],
        [Segment(f"{short(rates.get('events_s') or 0)} ev/s")],
        [Segment(f"{short(totals.get('connections_open') or 0)} conns")],
        [Segment(_cpu(know, "worker"), "dim")],
    ]


def _rings(know: Knowledge, columns: int) -> list[Line]:
    rings = know.status.get("rings") or ()
    used = sum(ring.get("used") or 0 for ring in rings)
    capacity = sum(ring.get("capacity") or 0 for ring in rings)
    share = used / capacity if capacity else 0.0
    oldest = know.status.get("oldest_pending_s")
    return [
        gauge(share, columns),
        [Segment(f"{share:.1%} full", level(share))],
        [Segment(f"of {size(capacity)}")],
        [Segment(f"lag {duration(oldest)}" if oldest is not None else "no lag")],
        [Segment(f"{len(rings)} ring{'' if len(rings) == 1 else 's'}", "dim")],
    ]


def _flusher(know: Knowledge) -> list[Line]:
    state = _worst(know, "flusher")
    totals: Mapping[str, Any] = know.status.get("totals") or {}
    retried = totals.get("batches_retried") or 0
    return [
        [Segment(state, _frame(state))],
        [Segment(f"{short(totals.get('batches_open') or 0)} open")],
        [Segment(f"{short(totals.get('rows_open') or 0)} rows")],
        [Segment(f"{short(retried)} retries", "odd" if retried else "")],
        [Segment(_cpu(know, "flusher"), "dim")],
    ]


def _store(know: Knowledge, columns: int) -> list[Line]:
    sink: Mapping[str, Any] = know.status.get("sink") or {}
    state = str(sink.get("state") or "-")
    last: Mapping[str, Any] = dig(know.status, "batches", "last") or {}
    told = "paused" if know.paused() else state
    return [
        [Segment(told, "odd" if know.paused() else _STORE_ATTR.get(state, "bad"))],
        [Segment(clip(_place(str(sink.get("url") or "")), columns))],
        [Segment(f"{short(dig(know.status, 'rates', 'stored_s') or 0)} rows/s")],
        [Segment(f"batch {short(last.get('rows'))}" if last else "no batch yet")],
        [Segment(f"in {duration(float(last.get('ms') or 0) / 1000)}" if last else "", "dim")],
    ]


def _place(url: str) -> str:
    """The part of a store's url that tells it from others: its host, or its kind."""
    try:
        parts = urlsplit(url)
        return parts.hostname or f"{parts.scheme}:"
    except ValueError:
        return url


# --------------------------------------------------------------------- below it


def _below(know: Knowledge, columns: int, wide: int, arrow: int) -> list[Line]:
    """The spool under the flusher, and beside it what is left of all room."""
    at = 2 * (wide + arrow)
    spool: Mapping[str, Any] = know.status.get("spool") or {}
    segments, limit = spool.get("segments") or 0, spool.get("limit") or 0
    attr = "bad" if spool.get("text") else "odd" if segments else "rule"
    stem: list[Line] = [fill([Segment(" " * (wide // 2)), Segment("▼" if segments else "│", attr)], wide)]
    inner = wide - 4
    share = (spool.get("bytes") or 0) / limit if limit else 0.0
    lines: list[Line] = [
        gauge(share, inner),
        [Segment(f"{short(segments)} batches" if segments else "empty" if limit else "none", attr if segments else "")],
        [Segment(f"of {size(limit)}", "dim")],
    ]
    box = stem + framed(lines, wide, "spool", attr)
    left = [*[[]] * 2, *_room(know, at - 2)]
    right = [*[[]] * 2, *_waits(know, columns - at - wide - 2)]
    return beside([(left, at - 2), (box, wide), (right, columns - at - wide - 4)], gap=2)


def _room(know: Knowledge, columns: int) -> list[Line]:
    buffer: Mapping[str, Any] = know.status.get("buffer") or {}
    left = buffer.get("full_in_s")
    drawn: list[Line] = [[Segment("room    ", "dim"), Segment(size(buffer.get("room") or 0), "bold")]]
    if left is None:
        drawn.append([Segment("        nothing comes in", "dim")])
    else:
        attr = "bad" if left < _SOON_S else "odd" if left < _NEAR_S else ""
        text = f"{duration(left)} without the store" if left else "rings and spool are full"
        drawn.append([Segment("lasts   ", "dim"), Segment(text, attr)])
    sizes = [batch.rows for batch in know.batches][-max(columns - 24, 4) :]
    if sizes:
        told = f" {short(min(sizes))} to {short(max(sizes))} rows"
        drawn.append([Segment("batches ", "dim"), *spark([float(one) for one in sizes]), Segment(told)])
    return [fill(line, columns) for line in drawn]


def _waits(know: Knowledge, columns: int) -> list[Line]:
    spool, aside = know.status.get("spool") or {}, know.status.get("quarantine") or {}
    drawn: list[Line] = []
    if spool.get("oldest_s") is not None:
        drawn.append([Segment(f"oldest {duration(spool['oldest_s'])}", "odd")])
    if spool.get("text"):
        drawn += wrap(str(spool["text"]), columns, "bad")
    if aside.get("files"):
        text = f"quarantine: {count(aside.get('rows') or 0)} rows"
        drawn.append([Segment(pad(clip(text, columns), columns), "bad")])
    return drawn


# --------------------------------------------------------------------- details


def _details(know: Knowledge, columns: int, rows: int) -> list[Line]:
    """Store's words, batches, rings one by one, charts: as far as there is room."""
    told = _words_of_store(know, columns)
    drawn = told[: max(rows - 3, 0)]
    drawn += _ring_table(know, columns, min(rows - len(drawn), max(rows // 2, _RINGS)))
    room = rows - len(drawn) - 1
    return drawn + ([[], *plots.draw(know, _PLOTS, columns, room)] if room >= plots.LEAST else [])


def _words_of_store(know: Knowledge, columns: int) -> list[Line]:
    sink, batches = know.status.get("sink") or {}, know.status.get("batches") or {}
    totals: Mapping[str, Any] = know.status.get("totals") or {}
    figures = [
        ("confirmed", batches.get("confirmed")),
        ("retried", batches.get("retried")),
        ("in doubt", batches.get("doubted")),
        ("spooled", totals.get("batches_spooled")),
        ("quarantined", totals.get("records_quarantined")),
    ]
    line: list[Segment] = [Segment("batches ", "dim")]
    for name, number in figures:
        more = [Segment(f" {name} ", "dim"), Segment(count(number or 0), "bold"), Segment("  ")]
        if number is not None and columns_of(line) + columns_of(more) <= columns:
            line += more
    drawn: list[Line] = [line]
    if sink.get("text") and sink.get("state") != "ok":
        drawn += _labelled("store", str(sink["text"]), columns, "bad")
    if sink.get("warning"):
        drawn += _labelled("store", str(sink["warning"]), columns, "odd")
    return drawn


def _labelled(name: str, text: str, columns: int, attr: str) -> list[Line]:
    rows = wrap(text, columns - 9, attr)
    return [[Segment(pad(name if not number else "", 9), "dim"), *row] for number, row in enumerate(rows)]


def _ring_table(know: Knowledge, columns: int, rows: int) -> list[Line]:
    rings = sorted(know.status.get("rings") or (), key=lambda ring: -float(ring.get("fill") or 0))
    if rows < 3 or not rings:
        return []
    fitting = rings if len(rings) <= rows - 2 else rings[: max(rows - 3, 1)]
    cells = [_ring(ring, max(min(columns // 4, 40), 8)) for ring in fitting]
    head = ("ring", "full", "", "used", "of", "")
    drawn = [title("Rings", columns, "fullest first"), *table(cells, head, (1, 3, 4), columns, 5)]
    if len(fitting) < len(rings):
        drawn.append([Segment(f"and {len(rings) - len(fitting)} more", "dim")])
    return drawn


def _ring(ring: Mapping[str, Any], wide: int) -> list[Segment]:
    share = float(ring.get("fill") or 0)
    slot = ring.get("slot")
    note, attr = "", "dim"
    if ring.get("damage"):
        note, attr = str(ring["damage"]), "bad"
    elif ring.get("failed"):
        note, attr = "given up by its worker: the disk refused a sync", "odd"
    elif (synced := ring.get("synced") or 0) > 0 and (lag := (ring.get("head") or 0) - synced) > 0:
        note = f"{size(lag)} not synced yet"
    bar = gauge(share, wide)
    return [
        Segment(f"worker {slot}" if slot not in (None, -1) else str(ring.get("file") or "")),
        Segment(f"{share:.1%}", level(share)),
        Segment("".join(piece.text for piece in bar), level(share)),
        Segment(size(ring.get("used") or 0)),
        Segment(size(ring.get("capacity") or 0), "dim"),
        Segment(note, attr),
    ]
