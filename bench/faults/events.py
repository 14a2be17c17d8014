"""The events of a run: id and content are pure functions of the event's number, the seed and the run's name.

An id can be turned back into its number, so a row found in the store needs no table of what was sent: the
number is read from its id, and everything else in the row must be what the number says.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from bench.faults.dialect import NAMES

#: Every site of every run is below this name (RFC 2606 keeps it free); whatever else is in a store is not ours.
DOMAIN = "faults.example"
#: Sites of a run: ids are unique per site, so more than one.
SITES = 3

Row = tuple[str, ...]


@dataclass(frozen=True)
class Events:
    """The events of one run.

    Args:
        seed: any integer.
        run: names the run's sites, so that a store used twice tells the runs apart: lower-case letters and digits.
    """

    seed: int
    run: str
    _mask: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_mask", int.from_bytes(self._digest("mask", 0, 8), "big"))

    def _digest(self, what: str, n: int, size: int) -> bytes:
        return blake2b(f"{what} {self.seed} {n}".encode(), digest_size=size).digest()

    @property
    def suffix(self) -> str:
        """What every site of this run ends with."""
        return f".{self.run}.{DOMAIN}"

    def id_of(self, n: int) -> uuid.UUID:
        """Event id of number n (0 to 2⁶³)."""
        return uuid.UUID(bytes=self._digest("id", n, 8) + (n ^ self._mask).to_bytes(8, "big"))

    def number_of(self, event_id: uuid.UUID) -> int | None:
        """The number an id was made of; None: it is no id of this seed."""
        n = int.from_bytes(event_id.bytes[8:], "big") ^ self._mask
        return n if self._digest("id", n, 8) == event_id.bytes[:8] else None

    def perseveres(self, n: int) -> bool:
        """Whether a request that begins with number n is sent again until answered; the other half is given up."""
        return self._digest("half", n, 1)[0] < 128

    def row_of(self, n: int) -> Row:
        """What the store must hold of number n, in the order of ``dialect.NAMES``, as CSV fields read."""
        digest = self._digest("content", n, 16).hex()
        view = n % 4 != 1
        return (
            str(self.id_of(n)),
            f"s{n % SITES}{self.suffix}",
            "pageview" if view else "order",
            "shop.example",
            f"/p/{n % 500}",
            f'Nº {digest[:6]}, "ä", 漢 😀',
            "" if n % 5 else f"user {n % 1000}",
            str(n % 100_000 if view else 0),
            str(n % 101 if view else 0),
            str(0 if view else n % 10_000_000),
            "" if view or not n % 10_000_000 else "EUR",
            str(n),
            digest,
            digest * (n % 8),
            "3" if n % 8 else "2",
        )

    def event_of(self, n: int, attempt: int) -> dict[str, Any]:
        """Number n as the JSON of ``POST /v1/events``.

        Args:
            attempt: how often it was sent before. Said of every second number: of the others only the id
                tells that they are repeats.
        """
        row = dict(zip(NAMES, self.row_of(n), strict=True))
        event: dict[str, Any] = {name: row[name] for name in ("site", "name", "title")}
        event |= {"id": row["event_id"], "url": f"https://{row['hostname']}{row['path']}"}
        event["props"] = {name: row[name] for name in ("n", "h", "pad") if row[name]}
        if row["user_id"]:
            event["user"] = row["user_id"]
        for name in ("engaged_ms", "scroll"):
            if row[name] != "0":
                event[name] = int(row[name])
        if row["currency"]:
            event["revenue"] = {"amount": f"{int(row['revenue']) / 10_000:.4f}", "currency": row["currency"]}
        if attempt and n % 2:
            event["attempt"] = attempt
        return event
