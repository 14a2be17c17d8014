"""The documents that ``bench run --json`` and ``bench peers --json`` print, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

#: Of the documents this reads.
FORMAT = 1


class BadDocument(Exception):
    """Not a document of a run; the text names the file, what is wrong, and the command that makes a right one."""


class Figure(msgspec.Struct, frozen=True):
    """One figure of several repetitions; better: which way is good, None: neither."""

    unit: str
    median: float
    min: float
    max: float
    better: Literal["lower", "higher"] | None = None


class Latency(msgspec.Struct, frozen=True):
    """Curves: label → [[percentile (0 to 100), value], …]."""

    unit: str
    curves: dict[str, list[tuple[float, float]]]


class Series(msgspec.Struct, frozen=True):
    """A line; x and y: what the axes are, with their units."""

    x: str
    y: str
    points: list[tuple[float, float]]


class Scenario(msgspec.Struct, frozen=True):
    """One scenario of a run. acked, stored: events; holds: whether they agree; None: not known."""

    name: str
    figures: dict[str, Figure]
    about: str = ""
    parameters: dict[str, Any] = {}
    latency: Latency | None = None
    series: dict[str, Series] | None = None
    acked: int | None = None
    stored: int | None = None
    holds: bool | None = None

    def loads(self) -> list[tuple[str, dict[str, Figure]]]:
        """Its figures load by load: (name of the scenario and the load, figures by their plain names).

        ``p99@50%`` is the p99 of the load 50%; what has no load comes first.
        """
        found: dict[str, dict[str, Figure]] = {}
        for name, figure in self.figures.items():
            plain, _, load = name.partition("@")
            found.setdefault(f"{self.name} {load}" if load else self.name, {})[plain] = figure
        return list(found.items()) or [(self.name, {})]


class Peer(msgspec.Struct, frozen=True):
    """One server of a run of peers. skipped: why it has no figures."""

    name: str
    figures: dict[str, Figure]
    about: str = ""
    durability: str = ""
    version: str = ""
    denominator: bool = False
    failed: bool = False
    skipped: str | None = None


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """What both kinds have."""

    format: Literal[1]
    machine: dict[str, Any]
    versions: dict[str, Any]
    parameters: dict[str, Any]
    began: str
    commit: str | None = None


class Run(Document, frozen=True, kw_only=True):
    """Of ``bench run``."""

    kind: Literal["run"]
    scenarios: list[Scenario]

    @property
    def skipped(self) -> dict[str, str]:
        """Why scenarios were skipped, by name."""
        return self._why("skipped")

    @property
    def failed(self) -> dict[str, str]:
        """Why scenarios failed, by name."""
        return self._why("failed")

    @property
    def quick(self) -> bool:
        """Whether it only shows that scenarios work: its figures mean nothing."""
        return self.parameters.get("quick") is True

    def _why(self, what: str) -> dict[str, str]:
        found = self.parameters.get(what)
        return {str(name): str(why) for name, why in found.items()} if isinstance(found, dict) else {}

    def loads(self) -> list[tuple[str, dict[str, Figure]]]:
        """Figures of all scenarios, load by load."""
        return [row for scenario in self.scenarios for row in scenario.loads()]


class Peers(Document, frozen=True, kw_only=True):
    """Of ``bench peers``."""

    kind: Literal["peers"]
    peers: list[Peer]


_KINDS: Mapping[str, type[Run] | type[Peers]] = {"run": Run, "peers": Peers}
_MAKE = "python -m bench run --json > run.json, or python -m bench peers --json > peers.json, makes one"


def read(path: Path) -> Run | Peers:
    """A document from a file. Raises BadDocument."""
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise BadDocument(f"{path}: {error.strerror}") from error
    except BadDocument as error:
        raise BadDocument(f"{path}: {error}") from error


def parse(text: bytes) -> Run | Peers:
    """A document from its text. Raises BadDocument."""
    try:
        raw = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadDocument(f"not one JSON document ({error}); {_MAKE}") from error
    if not isinstance(raw, dict):
        raise BadDocument(f"not a document of a run; {_MAKE}")
    if other := _other(raw):
        raise BadDocument(f"this is what `bench {other} --json` prints, which is one run without spread; {_MAKE}")
    kind = raw.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise BadDocument(f"its kind is {kind!r}, not run or peers; {_MAKE}")
    if raw.get("format") != FORMAT:
        raise BadDocument(
            f"it has format {raw.get('format')!r}, this version reads {FORMAT}: use the bench that made it"
        )
    try:
        return msgspec.convert(raw, _KINDS[kind])
    except msgspec.ValidationError as error:
        raise BadDocument(f"not as `bench {kind} --json` writes it: {error}") from error


def _other(raw: Mapping[str, Any]) -> str:
    """Another noun that prints such a document."""
    if "worker_us" in raw and "nginx_us" in raw:
        return "cost"
    if "latency_ms" in raw and "requests_s" in raw:
        return "traffic"
    return "compare" if raw.get("kind") == "comparison" else ""
