"""``trackflow status``: the daemon's state on one screen.

The value comes from the supervisor (docs/control.md describes it); what it lacks, because a process
has not said it yet or the versions differ, is left out rather than shown as zero.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trackflowd.cli_text import Style, bar, clean, count, duration, say, size, table, to_json

Status = Mapping[str, Any]

#: Seconds between two screens of ``--watch``: rates are averages over 10 s, so faster shows nothing new.
WATCH_EVERY = 1.0
NO_GEO = "no database: countries stay empty (`trackflow geo update` fetches a free one)"
# Written over line by line, so that nothing flickers: ECMA-48's CUP, ED and EL.
_CLEAR, _HOME, _REST, _REST_OF_LINE = "\x1b[2J", "\x1b[H", "\x1b[J", "\x1b[K"
_BAR = 12
_LABEL = 12  # columns of the labels at the left
#: Seconds to full buffers, and days to a full disk, below which a figure is alarming (red), or worth a look (yellow).
_SOON_S, _NEAR_S = 600.0, 3600.0
_SOON_DAYS, _NEAR_DAYS = 7.0, 30.0


def show(ask: Callable[[], Status], as_json: bool, watch: bool, wait: float = WATCH_EVERY) -> None:
    """Print the status once, or every second until Ctrl-C.

    Args:
        ask: gets a fresh status from the daemon.
        as_json: as one JSON object (with watch: one per line).
        watch: again and again; on a terminal in place.
        wait: seconds between two; 0: ask waits by itself.
    """
    style = Style.of(sys.stdout)
    in_place = watch and not as_json and sys.stdout.isatty()
    if in_place:
        sys.stdout.write(_CLEAR)
    while True:
        status = ask()
        if as_json:
            say(to_json(status, None if watch else 2))
        else:
            text = "\n".join(lines(status, style))
            say(_HOME + text.replace("\n", _REST_OF_LINE + "\n") + _REST if in_place else text)
        if not watch:
            return
        time.sleep(wait)


def lines(status: Status, style: Style) -> list[str]:
    """The screen, line by line."""
    blocks = [
        _headline(status, style),
        alert_lines(status.get("alerts") or (), style),
        _events(status, style),
        _store(status, style),
        _buffer(status, style),
        ring_lines(status, style),
        process_lines(status, style),
        _refusals(status, style),
        _places(status, style),
    ]
    shown: list[str] = []
    for block in blocks:
        if block:
            shown += [*block, ""]
    return shown[:-1]


def alert_lines(alerts: Sequence[Status], style: Style) -> list[str]:
    """Each alert: how bad it is, which, since when; below it what it is, and what to do."""
    rows: list[str] = []
    for alert in alerts:
        severity = clean(alert.get("severity") or "")
        paint = style.bad if severity == "critical" else style.odd
        since = alert.get("since_ms")
        lasts = f" for {duration(max(time.time() - since / 1000, 0.0))}" if isinstance(since, int) else ""
        rows.append(f"{paint(severity)}  {style.bold(clean(alert.get('name') or ''))}{style.dim(lasts)}")
        rows.append(clean(alert.get("text") or ""))
        if alert.get("hint"):
            rows.append(style.dim(f"→ {clean(alert['hint'])}"))
    return _labelled("alerts", rows, style)


def geo_text(geo: Mapping[str, Any]) -> str:
    """A geo database in words: its path, kind and age."""
    built = geo.get("built")
    day = time.strftime("%Y-%m-%d", time.gmtime(built)) if isinstance(built, int) and built else ""
    about = ", ".join(part for part in (clean(geo.get("type") or ""), day and f"built {day}") if part)
    return clean(geo.get("database") or "") + (f" ({about})" if about else "")


def _labelled(label: str, rows: Sequence[str], style: Style) -> list[str]:
    return [style.dim((label if index == 0 else "").ljust(_LABEL)) + row for index, row in enumerate(rows)]


def _headline(status: Status, style: Style) -> list[str]:
    health = status.get("health") or {}
    if health.get("ready"):
        state = style.good("ready")
    elif health.get("reason"):
        state = style.bad(f"not ready: {clean(health['reason'])}")
    else:
        state = style.bad("not ready")
    parts = [
        style.bold(f"trackflowd {clean(status.get('version', ''))}".rstrip()),
        f"pid {status.get('pid')}",
        f"up {duration(status.get('uptime_s') or 0)}",
        state,
    ]
    return [" · ".join(parts)]


def _events(status: Status, style: Style) -> list[str]:
    rates, totals, took = (status.get(name) or {} for name in ("rates", "totals", "latency"))
    rows = []
    if rates:
        rows.append(
            f"{count(rates.get('requests_s') or 0)} requests/s, {count(rates.get('events_s') or 0)} events/s in, "
            f"{count(rates.get('stored_s') or 0)} rows/s stored"
        )
    if took.get("p50_ms") is not None and took.get("p99_ms") is not None:
        rows.append(f"half of the requests answered within {took['p50_ms']:.3g} ms, 99% within {took['p99_ms']:.3g} ms")
    if totals:
        rows.append(
            f"{count(totals.get('events_accepted') or 0)} accepted, {count(totals.get('rows_stored') or 0)} stored, "
            f"{count(totals.get('duplicates') or 0)} repeats left out, "
            f"{count(totals.get('events_refused') or 0)} refused"
        )
    oldest = status.get("oldest_pending_s")
    waiting = sum(ring.get("used") or 0 for ring in status.get("rings") or ())
    if oldest is not None:
        rows.append(f"the oldest event not yet stored is {duration(oldest)} old")
    elif waiting:  # seen in the rings, whatever a silent flusher last said
        rows.append(f"{size(waiting)} wait in the rings; the flusher has not said how old they are")
    else:
        rows.append("nothing waits to be stored")
    return _labelled("events", rows, style)


def _store(status: Status, style: Style) -> list[str]:
    sink = status.get("sink") or {}
    if not sink:
        return []
    state = str(sink.get("state", ""))
    paint = style.good if state == "ok" else style.odd if state == "starting" else style.bad
    rows = [f"{clean(sink.get('url', ''))}  {paint(state)}"]
    text = clean(sink.get("text") or "")
    if text and text != state:
        rows[0] += f": {text}"
    if sink.get("last_error"):
        rows.append(style.dim(f"last error: {clean(sink['last_error'])}"))
    if sink.get("paused"):
        rows.append(style.odd("paused: nothing is sent until `trackflow resume`"))
    if sink.get("warning"):
        rows.append(style.odd(clean(sink["warning"])))
    rows += [_host(host, style) for host in sink.get("hosts") or ()]
    return _labelled("store", rows, style) + _window(status, style)


def _host(host: Status, style: Style) -> str:
    """A host of a cluster; in red where batches wait for it and no other."""
    state = str(host.get("state", ""))
    paint = style.good if state == "ok" else style.bad
    line = f"shard {host.get('shard')}  {clean(host.get('host', ''))}  {paint(state)}"
    if host.get("text"):
        line += f": {clean(host['text'])}"
    if host.get("batches"):
        waiting = f"{count(host['batches'])} batches with {count(host.get('rows') or 0)} rows may be there"
        line += style.bad(f"; {waiting}: they wait for it (trackflow spool release)")
    return line


def _window(status: Status, style: Style) -> list[str]:
    window = status.get("window")
    if not window:
        return []
    text = f"{count(window.get('ids') or 0)} event ids remembered, {duration(window.get('span_s') or 0)} back"
    if (repeats := window.get("duplicates")) is not None:
        text += f"; {count(repeats)} repeats left out"
    return _labelled("window", [text], style)


def _buffer(status: Status, style: Style) -> list[str]:
    """What waits beside the rings, for how much more there is room, and the disk under all of it."""
    spool, quarantine, buffer, disk = (status.get(name) or {} for name in ("spool", "quarantine", "buffer", "disk"))
    shown: list[str] = []
    if spool:
        shown += _labelled("spool", _spool(spool, style), style)
    if buffer:
        shown += _labelled("buffer", [_full_in(buffer, style)], style)
    if disk:
        shown += _labelled("disk", _disk(disk, style), style)
    if quarantine.get("files"):
        files, rows = quarantine["files"], quarantine.get("rows") or 0
        text = f"{count(files)} files, {count(rows)} rows that could not be stored: trackflow quarantine list"
        shown += _labelled("quarantine", [style.bad(text)], style)
    return shown


def _spool(spool: Status, style: Style) -> list[str]:
    segments, limit = spool.get("segments") or 0, spool.get("limit") or 0
    if not segments:
        first = (
            f"empty; {size(spool.get('free') or 0)} of {size(limit)} can be used" if limit else "none: its limit is 0"
        )
    else:
        first = f"{count(segments)} batches, {size(spool.get('bytes') or 0)} of {size(limit)}"
        if (oldest := spool.get("oldest_s")) is not None:
            first += f"; the oldest is {duration(oldest)} old"
        first = style.odd(first)
    return [first, style.bad(clean(spool["text"]))] if spool.get("text") else [first]


def _full_in(buffer: Status, style: Style) -> str:
    left = buffer.get("full_in_s")
    if left is None:
        return f"room for {size(buffer.get('room') or 0)} in rings and spool; nothing comes in"
    paint = style.bad if left < _SOON_S else style.odd if left < _NEAR_S else str
    words = f"rings and spool full in {duration(left)}" if left else "rings and spool are full"
    return paint(f"{words} at the present rate if the store takes nothing")


def _disk(disk: Status, style: Style) -> list[str]:
    days = disk.get("days_to_full")
    first = f"{size(disk.get('free') or 0)} of {size(disk.get('total') or 0)} free"
    if days is not None:
        paint = style.bad if days < _SOON_DAYS else style.odd if days < _NEAR_DAYS else str
        first += paint(f"; disk full in {duration(days * 86400)} as the store grows")
    places = [(name, disk.get(name)) for name in ("rings", "spool", "store")]
    return [first, style.dim(", ".join(f"{name} {size(number)}" for name, number in places if number is not None))]


def ring_lines(status: Status, style: Style) -> list[str]:
    """How full each ring is, a line each."""
    rows = []
    for ring in status.get("rings") or ():
        fill = float(ring.get("fill") or 0)
        paint = style.good if fill < 0.5 else style.odd if fill < 0.9 else style.bad
        figures = f"{size(ring.get('used') or 0)} of {size(ring.get('capacity') or 0)}"
        if ring.get("failed"):
            figures += style.odd(", given up by its worker: the disk refused a sync")
        elif (synced := ring.get("synced") or 0) > 0 and (lag := (ring.get("head") or 0) - synced) > 0:
            figures += f", {size(lag)} not synced yet"
        if ring.get("damage"):
            figures = style.bad(clean(ring["damage"]))
        slot = ring.get("slot")
        name = clean(ring.get("file", "")) if slot in (None, -1) else f"slot {slot}"
        rows.append([name, f"{fill:.1%}", paint(bar(fill, _BAR).ljust(_BAR, "·")), figures])
    return _labelled("rings", table(rows, right=(1,)), style)


def process_lines(status: Status, style: Style) -> list[str]:
    """The processes, a line each under a head."""
    rows = []
    for process in status.get("processes") or ():
        slot = process.get("slot")
        name = clean(process.get("role", ""))
        state = clean(process.get("state", ""))
        restarts = process.get("restarts") or 0
        beat = process.get("heartbeat_age_s")
        rows.append(
            [
                f"{name} {slot}" if name == "worker" and slot is not None else name,
                str(process.get("pid") or "-"),
                style.good(state) if state in ("ready", "running") else style.odd(state),
                _or_dash(process.get("uptime_s"), duration),
                style.odd(str(restarts)) if restarts else "0",
                _or_dash(process.get("cpu_s"), duration),
                _or_dash(process.get("rss"), size),
                _or_dash(process.get("fds"), str),
                _or_dash(beat, lambda age: "now" if age < 1 else f"{duration(age)} ago"),
            ]
        )
    if not rows:
        return []
    head = ["process", "pid", "state", "up", "restarts", "cpu", "memory", "files", "last sign"]
    drawn = table(rows, head, right=(1, 3, 4, 5, 6, 7, 8))
    return [style.dim(drawn[0]), *drawn[1:]]


def _or_dash(value: Any, form: Callable[[Any], str]) -> str:
    return "-" if value is None else form(value)


def _refusals(status: Status, style: Style) -> list[str]:
    refusals = {name: number for name, number in (status.get("refusals") or {}).items() if number}
    if not refusals:
        return _labelled("refusals", ["none"], style)
    most = max(refusals.values())
    ordered = sorted(refusals.items(), key=lambda item: (-item[1], item[0]))
    rows = [[clean(name), count(number), style.odd(bar(number / most, _BAR))] for name, number in ordered]
    return _labelled("refusals", table(rows, right=(1,)), style)


def _places(status: Status, style: Style) -> list[str]:
    listen, geo = status.get("listen") or {}, status.get("geo")
    rows = [["http", " ".join(clean(address) for address in listen.get("http") or ())]]
    rows += [[name, clean(listen[name])] for name in ("admin", "control") if listen.get(name)]
    if status.get("data_dir"):
        rows.append(["data", clean(status["data_dir"])])
    for each in status.get("tls") or ():
        until = time.strftime("%Y-%m-%d", time.gmtime(each["ends_ms"] / 1000))
        rows.append(["tls", clean(f"{' '.join(each['names']) or each['file']}, good until {until}")])
    if geo:
        rows.append(["geo", geo_text(geo)])
    else:
        rows.append(["geo", NO_GEO])
    return [style.dim(name.ljust(_LABEL)) + text for name, text in rows if text]
