"""How the daemon is, in words: for the header, the band above a tab, the first line of the overview."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trackflowd.cli_text import duration
from trackflowd.console.knowledge import Knowledge, dig
from trackflowd.console.lines import Line, Segment, wrap

#: How a severity is painted, and the mark in front of it.
_SEVERITY = {"critical": ("bad", "✖"), "warning": ("odd", "▲")}


def state(know: Knowledge, now: float) -> tuple[str, str]:
    """The colour and the one or two words of the header."""
    if know.told is not None:
        return "bad", f"no connection for {duration(now - know.away_since)}"
    if not know.status:
        return "odd", "connecting"
    if silent := know.silent_for(now):
        return "bad", f"silent for {duration(silent)}"
    if know.paused():
        return "odd", "paused"
    return ("good", "ready") if dig(know.status, "health", "ready") else ("bad", "not ready")


def badge(know: Knowledge) -> tuple[str, str] | None:
    """The colour and the words of the header about alerts; None: there are none."""
    told = know.alerts()
    if not told or know.told is not None:
        return None
    attr = "bad" if any(alert.get("severity") == "critical" for alert in told) else "odd"
    return attr, f"{len(told)} alert{'' if len(told) == 1 else 's'}"


def away(know: Knowledge, now: float, columns: int) -> list[Line]:
    """The band that says that what is shown is old, and why; empty while all is fresh."""
    if know.told is not None:
        text = f"no connection for {duration(now - know.away_since)}: {know.told.text}; tried again every second"
    elif silent := know.silent_for(now):
        text = f"connected, but nothing was heard for {duration(silent)}: the daemon may be stopped or overloaded"
    else:
        return []
    if know.status:
        text += ". What stands below is from before"
    return [[Segment(" " + part.text, "head bad") for part in line] for line in wrap(text, columns - 2)]


def health(know: Knowledge, columns: int) -> list[Line]:
    """Whether events reach the store, in a line or a few."""
    status = know.status
    if not status:
        return [[Segment("waiting for the first word of the daemon", "dim")]]
    reason = str(dig(status, "health", "reason") or "")
    if know.paused():
        mark, attr, head = "▲", "odd", "paused"
        text = f"nothing is sent to the store until it is resumed (P); {waiting(status)}"
        if reason and "pause" not in reason:
            text = f"{reason}; {text}"
    elif dig(status, "health", "ready"):
        mark, attr, head = "●", "good", "ready"
        text = f"what is accepted reaches the store; {waiting(status)}"
    else:
        mark, attr, head = "✖", "bad", "not ready"
        text = reason or "the daemon does not say why"
    first = f"{mark} {head}"
    rows = wrap(f"{first}: {text}", columns)
    begin = rows[0][0].text.removeprefix(first)
    return [[Segment(first, attr), Segment(begin)], *rows[1:]]


def waiting(status: Mapping[str, Any]) -> str:
    """What is not stored yet."""
    oldest = status.get("oldest_pending_s")
    if oldest is None:
        return "nothing waits"
    return f"the oldest event waits {duration(float(oldest))}"


def alerts(know: Knowledge, columns: int, rows: int, now: float) -> list[Line]:
    """What wants a person, worst first, in at most so many rows."""
    told = know.alerts()
    if told is None:
        return wrap("not told by this daemon, which is of an older version", columns, "dim")
    if not told:
        return [[Segment("none", "good")]]
    drawn: list[Line] = []
    for number, alert in enumerate(told):
        lines = _alert(alert, columns, now)
        if len(drawn) + len(lines) > rows - (1 if number < len(told) - 1 else 0) and drawn:
            drawn.append([Segment(f"and {len(told) - number} more: trackflow status", "dim")])
            break
        drawn += lines
    return drawn[:rows]


def _alert(alert: Mapping[str, Any], columns: int, now: float) -> list[Line]:
    attr, mark = _SEVERITY.get(str(alert.get("severity")), ("odd", "▲"))
    since = alert.get("since_ms")
    age = f" for {duration(max(now - since / 1000, 0))}" if since else ""
    name = str(alert.get("name") or "").replace("_", " ")
    head: Line = [Segment(f"{mark} ", attr), Segment(name, attr), Segment(age, "dim")]
    body = wrap(str(alert.get("text") or ""), columns - 2) + wrap(str(alert.get("hint") or ""), columns - 2, "dim")
    return [head, *([Segment("  "), *line] for line in body)]
