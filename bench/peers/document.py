"""What is said of a run of peers: the document, the table. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.peers.base import Peer, Turn
from trackflowd.cli_text import Style, table

FORMAT = 1


@dataclass
class Measured:
    """A peer and what came of it.

    Args:
        peer: which.
        pairs: (its turn, the denominator's turn right before it).
        version: as the server says itself.
        skipped: why it was not measured, with the command that helps; None: it was.
        failed: it was there, and something went wrong.
    """

    peer: Peer
    pairs: list[tuple[Turn, Turn]] = field(default_factory=list)
    version: str = ""
    skipped: str | None = None
    failed: bool = False


_Of = Callable[[Turn, Turn], float]

#: name → unit, which way is better, and the value of a pair.
_FIGURES: Mapping[str, tuple[str, str, _Of]] = {
    "cpu_us": ("µs/request", "lower", lambda own, base: own.cpu_us),
    "ratio": ("× nginx", "lower", lambda own, base: own.cpu_us / base.cpu_us if base.cpu_us else 0.0),
    "stored_cpu_us": ("µs/request", "lower", lambda own, base: own.stored_us),
    "stored_ratio": ("× nginx", "lower", lambda own, base: own.stored_us / base.cpu_us if base.cpu_us else 0.0),
    "rate": ("requests/s", "higher", lambda own, base: own.rate),
}


def figure(unit: str, better: str, values: Iterable[float]) -> dict[str, Any]:
    """Median and spread; values: at least one."""
    found = sorted(values)
    return {
        "unit": unit,
        "median": round(statistics.median(found), 4),
        "min": round(found[0], 4),
        "max": round(found[-1], 4),
        "better": better,
    }


def document(
    measured: Sequence[Measured],
    denominator: Peer,
    version: str,
    place: Mapping[str, Any],
    parameters: Mapping[str, Any],
) -> dict[str, Any]:
    """A run as one JSON value.

    Args:
        measured: the peers, without the denominator.
        denominator, version: what ratios are to. Its own figures are of all its turns.
        place: machine, versions, commit, began.
        parameters: of the run.
    """
    base = Measured(denominator, [(turn, turn) for one in measured for _, turn in one.pairs], version)
    if not base.pairs:
        base.skipped = "nothing was measured beside it"
    return {
        "format": FORMAT,
        "kind": "peers",
        **place,
        "parameters": dict(parameters),
        "peers": [_peer(one, one is base) for one in (base, *measured)],
    }


def _peer(one: Measured, denominator: bool) -> dict[str, Any]:
    figures = {
        name: figure(unit, better, (of(own, base) for own, base in one.pairs))
        for name, (unit, better, of) in _FIGURES.items()
        if one.pairs
    }
    return {
        "name": one.peer.name,
        "about": one.peer.about,
        "durability": one.peer.durability,
        "version": one.version,
        "denominator": denominator,
        "skipped": one.skipped,
        "failed": one.failed,
        "figures": figures,
        "pairs": [] if denominator else [{"peer": asdict(own), "nginx": asdict(base)} for own, base in one.pairs],
    }


def lines(said: Mapping[str, Any], style: Style) -> list[str]:
    """The document for people."""
    rows = []
    for peer in said["peers"]:
        if figures := peer["figures"]:
            rows.append(
                (
                    peer["name"],
                    f"{figures['cpu_us']['median']:.1f}",
                    f"{figures['ratio']['median']:.2f}",
                    f"{figures['ratio']['min']:.2f}-{figures['ratio']['max']:.2f}",
                    f"{figures['stored_cpu_us']['median']:.1f}",
                    f"{figures['rate']['median']:,.0f}",
                    peer["version"],
                )
            )
    found = table(rows, ("", "CPU µs", "ratio", "spread", "all µs", "requests/s", "version"), right=range(1, 6))
    found += [
        "",
        style.dim(
            "CPU µs: a request, of the processes that answer; all: of every process, until nothing is left to do."
        ),
        style.dim(f"Medians of {said['parameters']['pairs']} pairs with nginx (each ratio within its pair)."),
        "",
    ]
    for peer in said["peers"]:
        if peer["skipped"]:
            mark = style.bad("failed") if peer["failed"] else style.odd("skipped")
            found.append(f"{peer['name']}: {mark}: {peer['skipped']}")
        else:
            found.append(f"{peer['name']}: {style.dim('keeps: ' + peer['durability'])}")
    return found
