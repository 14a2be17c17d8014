"""Tables for docs/performance.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.report.documents import Document, Figure, Peers, Run
from bench.report.words import COLUMNS, commit, machine, number, parameters, spread


def markdown(documents: Sequence[Run | Peers]) -> str:
    """All documents, each as a line about how it was made and a table."""
    return "\n\n".join("\n".join(_run(found) if isinstance(found, Run) else _peers(found)) for found in documents)


def _made(document: Document, command: str) -> str:
    words = ", ".join(f"{name} {value}" for name, value in parameters(document))
    made = f"`python -m bench {command}`, {document.began[:10]}, commit {commit(document)}"
    said = "; ".join(part for part in (made, machine(document), words) if part)
    return f"{said}. Medians, with the range of the repetitions in brackets."


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


def _head(cells: Sequence[str], left: Iterable[int]) -> list[str]:
    rule = "|".join(" --- " if index in left else " ---: " for index in range(len(cells)))
    return [_row(cells), f"|{rule}|"]


def _value(found: Figure | None, unit: bool = False) -> str:
    if found is None:
        return ""
    around = spread(found.min, found.max)
    return number(found.median) + (f" {found.unit}" if unit else "") + (f" ({around})" if around else "")


def _run(run: Run) -> list[str]:
    loads = [(one, *row) for one in run.scenarios for row in one.loads()]
    used = [(name, head) for name, head in COLUMNS if any(name in figures for *_, figures in loads)]
    units = {name: {figures[name].unit for *_, figures in loads if name in figures} for name, _ in used}
    heads = [f"{head}, {next(iter(units[name]))}" if len(units[name]) == 1 else head for name, head in used]
    lines = [_made(run, "run"), "", *_head(["scenario", *heads, "acked = stored"], [0])]
    for one, label, figures in loads:
        cells = [_value(figures.get(name), unit=len(units[name]) > 1) for name, _ in used]
        held = {True: "yes", False: "**no**", None: ""}[one.holds if label == one.name else None]
        lines.append(_row([label, *cells, held]))
    return lines + _not_measured({**run.failed, **run.skipped})


def _not_measured(why: Mapping[str, str]) -> list[str]:
    listed = [f"{name} ({' '.join(words.split())})" for name, words in why.items()]
    return ["", f"Not measured: {'; '.join(listed)}."] if listed else []


def _peers(found: Peers) -> list[str]:
    measured = sorted(
        (one for one in found.peers if "ratio" in one.figures), key=lambda one: one.figures["ratio"].median
    )
    heads = ["server", "× nginx", "CPU µs/request", "all processes, µs", "requests/s", "keeps"]
    lines = [_made(found, "peers"), "", *_head(heads, [0, 5])]
    for one in measured:
        figures = [_value(one.figures.get(name)) for name in ("ratio", "cpu_us", "stored_cpu_us", "rate")]
        lines.append(_row([f"{one.name} ({one.version})" if one.version else one.name, *figures, one.durability]))
    return lines + _not_measured({one.name: one.skipped for one in found.peers if one.skipped})
