"""Figures, names and parameters as people read them, in the page and in Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bench.report.documents import Document

#: Columns of the table of scenarios: figure, head.
COLUMNS = (
    ("rate", "rate"),
    ("p50", "p50"),
    ("p90", "p90"),
    ("p99", "p99"),
    ("p99.9", "p99.9"),
    ("cpu_us.worker", "worker"),
    ("cpu_us.flusher", "flusher"),
    ("cpu_us.supervisor", "supervisor"),
    ("cpu_us.total", "total"),
    ("disk_bytes.store", "disk"),
)


def number(value: float) -> str:
    """Three digits that say something, thousands apart: 73,600; 23.8; 0.042."""
    if not math.isfinite(value):
        return "∞"
    if value == 0:
        return "0"
    digits = max(2 - math.floor(math.log10(abs(value))), 0)
    text = f"{round(value, digits):,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def spread(low: float, high: float) -> str:
    """A range, or "" where it is none."""
    return "" if number(low) == number(high) else f"{number(low)}–{number(high)}"


def size(value: float) -> str:
    """Bytes as GiB or MiB."""
    return f"{value / 2**30:.1f} GiB" if value >= 2**30 else f"{value / 2**20:.0f} MiB"


def pairs(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A mapping of anything as (name, text); nested ones with dotted names."""
    rows: list[tuple[str, str]] = []
    for name, value in found.items():
        if isinstance(value, Mapping):
            rows += [(f"{name}.{inner}", text) for inner, text in pairs(value)]
        elif isinstance(value, list):
            rows.append((name, ", ".join(map(str, value))))
        elif isinstance(value, int | float) and not isinstance(value, bool) and name.endswith("_bytes"):
            rows.append((name.removesuffix("_bytes"), size(value)))
        elif value not in (None, ""):
            rows.append((name.replace("_", " "), str(value)))
    return rows


def parameters(document: Document) -> list[tuple[str, str]]:
    """How it was run, without what came of it."""
    came = ("skipped", "failed", "interrupted")
    return pairs({name: value for name, value in document.parameters.items() if name not in came})


def machine(document: Document) -> str:
    """The machine in one line: what figures hang on most, by the names that bench.environment gives."""
    found = dict(pairs(document.machine))
    shown = [("cpu", "{}"), ("cores", "{} cores"), ("memory", "{}"), ("system", "{}"), ("kernel", "kernel {}")]
    return ", ".join(words.format(found[name]) for name, words in shown if found.get(name))


def commit(document: Document) -> str:
    """The commit, short, with the "+" of files that differ from it."""
    name = document.commit or "not known"
    return name[:12] + "+" if name.endswith("+") else name[:12]
