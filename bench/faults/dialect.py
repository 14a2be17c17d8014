"""How the rows of a run are asked for, in each of the SQLs a store speaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

#: What is read back of a row, in this order; ``Events.row_of`` says what must be there.
NAMES = (
    "event_id", "site", "name", "hostname", "path", "title", "user_id", "engaged_ms", "scroll", "revenue", "currency",
    "n", "h", "pad", "props",
)  # fmt: skip


@dataclass(frozen=True)
class Dialect:
    """One of them.

    Args:
        special: name → expression, where it is not the column of that name.
        ends: condition that holds for a site with an end; ``{end}`` stands for it.
        share: condition that holds for one of ``{parts}`` about equal shares of the rows, ``{part}``.
    """

    special: Mapping[str, str]
    ends: str
    share: str

    @property
    def columns(self) -> str:
        """What to select."""
        return ", ".join(f"{self.special.get(name, name)} AS c{n}" for n, name in enumerate(NAMES))


CLICKHOUSE = Dialect(
    {
        "event_id": "toString(event_id)", "revenue": "toInt64(revenue * 10000)", "n": "props['n']", "h": "props['h']",
        "pad": "props['pad']", "props": "length(props)",
    },
    "endsWith(site, '{end}')",
    "cityHash64(event_id) % {parts} = {part}",
)  # fmt: skip

POSTGRESQL = Dialect(
    {
        "event_id": "event_id::text", "revenue": "(revenue * 10000)::bigint", "n": "coalesce(props->>'n', '')",
        "h": "coalesce(props->>'h', '')", "pad": "coalesce(props->>'pad', '')",
        "props": "(SELECT count(*) FROM jsonb_object_keys(props))",
    },
    "site LIKE '%{end}'",
    "abs(hashtext(event_id::text)::bigint) % {parts} = {part}",
)  # fmt: skip


def of(url: str) -> Dialect:
    """That of a store's url."""
    return POSTGRESQL if is_postgresql(url) else CLICKHOUSE


def is_postgresql(url: str) -> bool:
    """Whether the store is PostgreSQL."""
    return urlsplit(url).scheme in ("postgresql", "postgres")
