"""The tab Processes: what each process takes, and what the machine has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from trackflowd.cli_text import count, duration, size
from trackflowd.console.charts import gauge, level
from trackflowd.console.knowledge import Knowledge, dig
from trackflowd.console.lines import Line, Segment, beside, clip, pad, shares, table, title, width, wrap

#: Gauges whose numbers mean something else: instants and a state.
_NO_QUANTITY = ("oldest_pending_ms", "open_since_ms", "sink_state")
#: Columns of a counter, at least.
_COUNTER = 36
#: Columns of the labels of the machine's figures.
_LABEL = 8
#: Shares of the machine from which on they want a look, and a person: memory and disks are there to be used.
_ODD, _BAD = 0.8, 0.95
#: Days to a full disk below which that is alarming, or worth a look.
_SOON_DAYS, _NEAR_DAYS = 7.0, 30.0


def draw(know: Knowledge, columns: int) -> list[Line]:
    """The tab, as long as it is.

    Args:
        columns: of the room there is.
    """
    if not know.status:
        return [[Segment("waiting for the first word of the daemon", "dim")]]
    half, other = shares(columns, 2, gap=4)
    machine = [title("Machine", half), *_machine(know, half)]
    disk = [title("Disk", other), *_disk(know, other)]
    return [
        title("Processes", columns),
        *_processes(know, columns),
        [],
        *beside([(machine, half), (disk, other)], gap=4),
        [],
        *_places(know, columns),
        [],
        *_counters(know, columns),
    ]


def _processes(know: Knowledge, columns: int) -> list[Line]:
    wide = max(min(columns // 6, 24), 6)
    rows = [_process(know, process, wide) for process in know.status.get("processes") or ()]
    head = ("process", "pid", "state", "up", "cpu", "", "memory", "files", "restarts", "last sign")
    kept = range(len(head)) if columns >= 88 else [at for at in range(len(head)) if at != 5]
    cells = [[row[at] for at in kept] for row in rows]
    names = [head[at] for at in kept]
    right = [at for at, name in enumerate(names) if name in ("pid", "up", "cpu", "memory", "files", "restarts")]
    return table(cells, names, right, columns, len(names) - 1)


def _process(know: Knowledge, process: Mapping[str, Any], wide: int) -> list[Segment]:
    role, slot, state = str(process.get("role")), process.get("slot"), str(process.get("state"))
    share = know.cpu_share(process)
    restarts = process.get("restarts") or 0
    beat = process.get("heartbeat_age_s")
    return [
        Segment(f"{role} {slot}" if role == "worker" else role, "name"),
        Segment(str(process.get("pid") or "-")),
        Segment(state, "good" if state == "ready" else "odd"),
        Segment(_or_dash(process.get("uptime_s"), duration)),
        Segment("-" if share is None else f"{share:.0%}", "bold"),
        Segment("".join(piece.text for piece in gauge(share or 0.0, wide)), "chart"),
        Segment(_or_dash(process.get("rss"), size)),
        Segment(_or_dash(process.get("fds"), str)),
        Segment(str(restarts), "odd" if restarts else "dim"),
        Segment(_or_dash(beat, lambda age: "now" if age < 1 else f"{duration(age)} ago"), "dim"),
    ]


def _or_dash(value: Any, form: Callable[[Any], str]) -> str:
    return "-" if value is None else form(value)


def _line(name: str, share: float, columns: int, told: str) -> Line:
    """A labelled gauge and its figures."""
    wide = max(min(columns - _LABEL - 28, 40), 8)
    attr = level(share, _ODD, _BAD)
    return [
        Segment(pad(name, _LABEL), "dim"),
        *gauge(share, wide, attr),
        Segment(f" {share:>4.0%}", attr),
        Segment(f"  {told}"),
    ]


def _machine(know: Knowledge, columns: int) -> list[Line]:
    machine = know.status.get("machine")
    if not machine:
        return wrap("not told by this daemon, which is of an older version", columns, "dim")
    drawn: list[Line] = []
    cpus = int(machine.get("cpus") or 1)
    share = machine.get("cpu_share")
    if share is not None:
        drawn.append(_line("cpu", float(share), columns, f"of {cpus} core{'' if cpus == 1 else 's'}"))
    memory = machine.get("memory") or {}
    if total := memory.get("total"):
        used = total - (memory.get("available") or 0)
        drawn.append(_line("memory", used / total, columns, f"{size(used)} of {size(total)}"))
    load = [float(one) for one in machine.get("load") or ()]
    if load:
        told = "  ".join(f"{one:.2f}" for one in load)
        attr = "odd" if load[0] > cpus else ""
        drawn.append([Segment(pad("load", _LABEL), "dim"), Segment(told, attr), Segment("  of 1, 5, 15 min", "dim")])
    swap = machine.get("swap_used")
    if swap is not None:
        drawn.append([Segment(pad("swap", _LABEL), "dim"), Segment(size(swap) if swap else "none used")])
    return drawn


def _disk(know: Knowledge, columns: int) -> list[Line]:
    disk: Mapping[str, Any] = know.status.get("disk") or {}
    total, free = disk.get("total") or 0, disk.get("free") or 0
    if not total:
        return [[Segment("not known", "dim")]]
    drawn = [_line("used", (total - free) / total, columns, f"{size(free)} free")]
    for name in ("rings", "spool", "store"):
        if disk.get(name) is not None:
            drawn.append([Segment(pad(name, _LABEL), "dim"), Segment(size(disk[name]))])
    if (days := disk.get("days_to_full")) is not None:
        attr = "bad" if days < _SOON_DAYS else "odd" if days < _NEAR_DAYS else ""
        drawn.append([Segment(pad("full in", _LABEL), "dim"), Segment(duration(days * 86400), attr)])
    return drawn


def _counters(know: Knowledge, columns: int) -> list[Line]:
    """Every counter, down one column and then the next."""
    totals = {name: number for name, number in (know.status.get("totals") or {}).items() if name not in _NO_QUANTITY}
    across = max(columns // _COUNTER, 1)
    wide = shares(columns, across, 3)
    high = -(-len(totals) // across)
    cells = [(name.replace("_", " "), count(number or 0)) for name, number in totals.items()]
    drawn: list[Line] = [title("Counters", columns, "workers summed, since the start")]
    for row in range(high):
        line: list[Segment] = []
        for number, (name, figure) in enumerate(cells[row::high]):
            room = wide[number] - width(figure) - 1
            line += [Segment("   " if number else ""), Segment(pad(name, room), "dim"), Segment(f" {figure}")]
        drawn.append(line)
    return drawn


def _places(know: Knowledge, columns: int) -> list[Line]:
    """Where everything is."""
    status = know.status
    geo: Mapping[str, Any] = status.get("geo") or {}
    window: Mapping[str, Any] = status.get("window") or {}
    rows = [
        ("http", " ".join(map(str, dig(status, "listen", "http") or ()))),
        ("admin", str(dig(status, "listen", "admin") or "")),
        ("control", str(dig(status, "listen", "control") or "")),
        ("store", str(dig(status, "sink", "url") or "")),
        ("data", str(status.get("data_dir") or "")),
        ("geo", str(geo.get("database") or "no database: countries stay empty")),
        ("ids", f"{count(window.get('ids') or 0)} remembered, {duration(window.get('span_s') or 0)} back"),
    ]
    drawn: list[Line] = [title("Places", columns)]
    return drawn + [
        [Segment(pad(name, _LABEL), "dim"), Segment(clip(text, columns - _LABEL))] for name, text in rows if text
    ]
