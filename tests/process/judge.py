"""Whether the promise was kept: what was answered, held against what the store has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass

from tests.process.harness import Daemon, until
from tests.process.sender import SITE, content_of, id_of
from trackflowd.errors import ControlError


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong; numbers of events, or ids nobody sent.

    Args:
        lost: answered 2xx, not stored.
        doubled: stored more than once.
        altered: stored with another content.
        unknown: ids stored that were not sent.
        damaged: records the flusher took for damaged, which nobody damaged.
    """

    lost: frozenset[int]
    doubled: frozenset[int]
    altered: frozenset[int]
    unknown: frozenset[str]
    damaged: int

    @property
    def kept(self) -> bool:
        """Nothing is wrong."""
        return not (self.lost or self.doubled or self.altered or self.unknown or self.damaged)


def flush(daemon: Daemon) -> None:
    """Return once all that can be read in the rings is stored, whoever is replaced meanwhile."""

    def stored() -> bool:
        try:
            return bool(daemon.call("flush", wait=1.0)["stored"])
        except ControlError:
            return False

    until(stored)


def settle(daemon: Daemon) -> None:
    """The same, and nobody is being replaced any more."""
    flush(daemon)
    daemon.await_status(lambda status: all(row["state"] == "ready" for row in status["processes"]))


_SQL = "SELECT toString(event_id) AS id, path, title, props['h'] AS h FROM events WHERE site = "
_POSTGRES = "SELECT event_id AS id, path, title, props->>'h' AS h FROM events WHERE site = "


def judge(daemon: Daemon, sent: int, answered: Set[int]) -> Verdict:
    """Compare the store with what was sent (numbers from 0) and what of it was answered 2xx."""
    postgres = daemon.status()["sink"]["url"].startswith("postgresql:")
    rows = daemon.rows(f"{_POSTGRES if postgres else _SQL}'{SITE}'")
    numbers = {id_of(n): n for n in range(sent)}
    times = Counter(numbers.get(row["id"], -1) for row in rows)
    right = {n: content_of(n) for n in range(sent)}
    return Verdict(
        frozenset(answered - times.keys()),
        frozenset(n for n, count in times.items() if n >= 0 and count > 1),
        frozenset(n for row in rows if (n := numbers.get(row["id"], -1)) >= 0 and right[n] != _content(row)),
        frozenset(row["id"] for row in rows if row["id"] not in numbers),
        daemon.status()["totals"]["records_damaged"],
    )


def _content(row: dict[str, str]) -> tuple[str, str, str]:
    return row["path"], row["title"], row["h"]
