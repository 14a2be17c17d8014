"""Made rows for tests: payloads as a worker makes them, without a worker."""

from __future__ import annotations

import hashlib
from typing import Any

from trackflowd.event import CACHED_PARTS, FIELDS, part
from trackflowd.proto import record
from trackflowd.ring.layout import CLIENT_ID

NOW = 1_763_900_000_000  # 2025-11-23
SITE = "example.org"


def site_hash(site: str) -> int:
    return int.from_bytes(hashlib.blake2b(site.encode(), digest_size=8).digest(), "little")


def event_id(n: int) -> bytes:
    """An id that is a function of n."""
    return hashlib.blake2b(n.to_bytes(8, "big"), digest_size=16).digest()


def values_of(n: int, site: str = SITE, ip: str = "") -> dict[str, Any]:
    """A value for every field, a function of n; the address as most sites have it."""
    values: dict[str, Any] = {}
    for field in FIELDS:
        if field.kind == "text":
            values[field.name] = f"{field.name}-{n % 7}"[: field.bound]
        elif field.kind == "map":
            values[field.name] = {"n": str(n), "ä": "ö"}
        else:
            values[field.name] = n % 100
    values |= {
        "site": site,
        "name": "pageview",
        "time": NOW + n,
        "visitor": 2**64 - 1 - n,
        "revenue": n * 10_000,
        "ip": ip,
    }
    return values


def payload(n: int, site: str = SITE, ip: str = "") -> bytes:
    values = values_of(n, site, ip)
    page, source, agent, place, client = (
        record.encode_part([values[f.name] for f in part(name)]) for name in CACHED_PARTS
    )
    names = record.EVENT_FIELDS if ip else record.PLAIN_FIELDS
    return record.encode(page, source, agent, place, client, [values[name] for name in names])


def row(
    n: int, received: int = NOW, flags: int = CLIENT_ID, site: str = SITE, ip: str = ""
) -> tuple[bytes, int, int, int, bytes]:
    """What ``Writer.append`` takes."""
    return event_id(n), site_hash(site), received, flags, payload(n, site, ip)
