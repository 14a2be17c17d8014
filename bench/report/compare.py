"""``python -m bench compare``: what changed between two documents by more than their spreads.

A figure has changed when its medians differ by more than the wider of the two ranges (highest - lowest
repetition) and by 3 % at least. The first keeps noise out, the second what is certain but does not matter.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bench.report.documents import BadDocument, Figure, Peers, Run, read
from bench.report.words import number, pairs, parameters, spread
from trackflowd.cli_text import Style, clean, table

WELL, REGRESSED, WRONG_USAGE = 0, 1, 2
FORMAT = 1
#: Per cent that a median has to differ, where --least says nothing.
LEAST = 3.0
#: As they are listed.
_ORDER = ("regression", "change", "gain")

_ABOUT = """\
Names what is worse (regressions) and what is better (gains) in document B than in A; both are of `bench run --json` or
both of `bench peers --json`.

The rule: a figure has changed when its medians differ by more than the wider of the two ranges (highest - lowest
repetition), and by --least per cent of A's at least. It is a regression when the figure says that the other way would
be better. Figures of which neither way is better are named as changes. Where acked and stored events differ in B and
did not in A, or where B failed and A did not, that is a regression whatever the figures.
"""
_EXAMPLES = """\
exit code: 0 no regression, 1 regressions, 2 wrong usage or not such documents

examples:
  python -m bench compare before.json after.json
  python -m bench compare before.json after.json --least 5 --json
"""


@dataclass(frozen=True)
class Change:
    """A figure that changed. where: scenario or peer."""

    where: str
    figure: str
    a: Figure
    b: Figure
    verdict: str

    @property
    def by(self) -> float | None:
        """B's median over A's, minus 1; None: A's is 0."""
        return self.b.median / self.a.median - 1 if self.a.median else None


@dataclass
class Comparison:
    """What two documents differ in. broken: acked and stored differ only in b; failed: only b's was no success."""

    changes: list[Change] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    unchanged: int = 0
    only_a: list[str] = field(default_factory=list)
    only_b: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def regressed(self) -> bool:
        """Whether anything is worse."""
        return bool(self.broken or self.failed) or any(change.verdict == "regression" for change in self.changes)


def compare(a: Run | Peers, b: Run | Peers, least: float = LEAST) -> Comparison:
    """What changed from a to b.

    Args:
        least: per cent of a's median.

    Raises:
        BadDocument: they are of different kinds, or have nothing in common.
    """
    if type(a) is not type(b):
        raise BadDocument("one is of `bench run` and the other of `bench peers`: two of the same are needed")
    found = Comparison(notes=list(_notes(a, b)))
    ours, theirs = _places(a), _places(b)
    for where in ours.keys() & theirs.keys():
        for name in ours[where].keys() | theirs[where].keys():
            one, other = ours[where].get(name), theirs[where].get(name)
            if one is None or other is None:
                (found.only_a if one else found.only_b).append(f"{where} {name}")
            elif verdict := judge(one, other, least):
                found.changes.append(Change(where, name, one, other, verdict))
            else:
                found.unchanged += 1
    if not found.unchanged and not found.changes:
        raise BadDocument("they have no figure in common")
    found.only_a += sorted(ours.keys() - theirs.keys())
    found.only_b += sorted(theirs.keys() - ours.keys())
    found.broken = sorted(_differing(b) - _differing(a))
    found.failed = sorted(_failed(b) - _failed(a))
    found.changes.sort(
        key=lambda change: (_ORDER.index(change.verdict), -abs(change.by or 0), change.where, change.figure)
    )
    return found


def judge(a: Figure, b: Figure, least: float = LEAST) -> str:
    """regression, gain or change where the rule says that it is one; else ""."""
    apart = abs(b.median - a.median)
    if a.unit != b.unit or apart <= max(a.max - a.min, b.max - b.min) or apart < abs(a.median) * least / 100:
        return ""
    if a.better is None:
        return "change"
    return "gain" if (b.median < a.median) == (a.better == "lower") else "regression"


def _places(document: Run | Peers) -> dict[str, Mapping[str, Figure]]:
    """Figures by scenario or peer; the denominator's own are no result."""
    if isinstance(document, Run):
        return {one.name: one.figures for one in document.scenarios}
    return {one.name: one.figures for one in document.peers if one.figures and not one.denominator}


def _differing(document: Run | Peers) -> set[str]:
    """Scenarios in which acked and stored events differ."""
    return {one.name for one in document.scenarios if one.holds is False} if isinstance(document, Run) else set()


def _failed(document: Run | Peers) -> set[str]:
    """Scenarios or peers that could be started and went wrong."""
    return set(document.failed) if isinstance(document, Run) else {one.name for one in document.peers if one.failed}


def _notes(a: Run | Peers, b: Run | Peers) -> Iterator[str]:
    """What makes the two less comparable."""
    for what, ours, theirs in (
        ("machine", pairs(a.machine), pairs(b.machine)),
        ("parameters", parameters(a), parameters(b)),
    ):
        one, other = dict(ours), dict(theirs)
        names = sorted(name for name in (one.keys() | other.keys()) - {"load"} if one.get(name) != other.get(name))
        if names:
            differing = "; ".join(f"{name}: {one.get(name, 'none')} / {other.get(name, 'none')}" for name in names)
            yield f"{what} differ: {differing}"
    if isinstance(a, Peers) and isinstance(b, Peers):
        one_base, other_base = ({p.name: p for p in doc.peers if p.denominator} for doc in (a, b))
        for name in one_base.keys() & other_base.keys():
            first, second = one_base[name].figures.get("cpu_us"), other_base[name].figures.get("cpu_us")
            if first and second and judge(first, second):
                yield (
                    f"{name} itself went from {number(first.median)} to {number(second.median)} µs: look at the ratios"
                )


def document(found: Comparison, a: str, b: str, least: float) -> dict[str, Any]:
    """A comparison as one JSON value. a, b: names of the files."""
    changes = [
        {
            "where": change.where,
            "figure": change.figure,
            "unit": change.a.unit,
            "verdict": change.verdict,
            "change": None if change.by is None else round(change.by, 4),
            "a": msgspec.to_builtins(change.a),
            "b": msgspec.to_builtins(change.b),
        }
        for change in found.changes
    ]
    return {
        "format": FORMAT,
        "kind": "comparison",
        "a": a,
        "b": b,
        "least_percent": least,
        "regressed": found.regressed,
        "acked_and_stored_differ": found.broken,
        "failed": found.failed,
        "changes": changes,
        "unchanged": found.unchanged,
        "only_a": found.only_a,
        "only_b": found.only_b,
        "notes": found.notes,
    }


def lines(found: Comparison, style: Style) -> list[str]:
    """A comparison for people."""
    colours = {"regression": style.bad, "gain": style.good, "change": style.odd}
    rows = [
        (
            colours[change.verdict](change.verdict),
            clean(change.where),
            clean(change.figure),
            _median(change.a),
            _median(change.b),
            clean(change.a.unit),
            "" if change.by is None else f"{change.by:+.1%}",
        )
        for change in found.changes
    ]
    said = [
        style.bad(f"regression: acked and stored differ in {clean(name)}, and did not before") for name in found.broken
    ]
    said += [style.bad(f"regression: {clean(name)} failed, and did not before") for name in found.failed]
    said += table(rows, ("", "where", "figure", "A", "B", "unit", "by"), right=(3, 4, 6)) if rows else []
    count = sum(change.verdict == "regression" for change in found.changes)
    count += len(found.broken) + len(found.failed)
    gains = sum(change.verdict == "gain" for change in found.changes)
    said += ["", f"{count} regressions, {gains} gains, {found.unchanged} figures within their spread"]
    said += [style.dim(f"only in {which}: {clean(', '.join(names))}")
             for which, names in (("A", found.only_a), ("B", found.only_b)) if names]  # fmt: skip
    said += [style.odd(clean(note)) for note in found.notes]
    return said if said[0] else said[1:]


def _median(figure: Figure) -> str:
    around = spread(figure.min, figure.max)
    return number(figure.median) + (f" ({around})" if around else "")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of ``python -m bench compare``; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench compare", description=_ABOUT, epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("a", type=Path, metavar="A.json", help="before")
    parser.add_argument("b", type=Path, metavar="B.json", help="after")
    parser.add_argument("--least", type=float, default=LEAST, metavar="PERCENT", help="default %(default)g")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    args = parser.parse_args(argv)
    try:
        if not 0 <= args.least < float("inf"):
            raise BadDocument(f"--least {args.least:g}: 0 or more is needed")
        found = compare(read(args.a), read(args.b), args.least)
    except BadDocument as error:
        print(f"bench compare: {error}", file=sys.stderr)
        return WRONG_USAGE
    if args.json:
        print(json.dumps(document(found, str(args.a), str(args.b), args.least), ensure_ascii=False))
    else:
        print("\n".join(lines(found, Style.of(sys.stdout))))
    return REGRESSED if found.regressed else WELL
