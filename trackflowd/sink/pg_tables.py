"""Which table of PostgreSQL holds which field: dimensions for what repeats, ``facts`` for the rest. Pure.

::

    sites  pages  referrers  campaigns  agents  places  clients      id, key, and their fields
      ▲      ▲        ▲          ▲         ▲       ▲       ▲
      └──────┴────────┴──── facts (by month of received) ──┘         site_id, page_id, …, and the other fields

A dimension's row is found by its ``key``: the first 16 bytes of BLAKE2b over its fields (UTF-8, each ended by NUL,
which no field holds). The fields themselves would not fit into an index: a page has up to 4,863 bytes, a B-tree takes
2,704. Not MD5, which the server could compute by itself: two texts of one MD5 can be had, and would become one page.

Rows of dimensions are never changed, and deleted only when no fact uses them, by a sweep that no landing can overlap
(``pg_edit``): an id may be used in the transaction that read it, and not in a later one.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from trackflowd.event import BY_NAME, FIELDS, Field


@dataclass(frozen=True, slots=True)
class Dimension:
    """A table of what repeats.

    Args:
        table: its name.
        column: column of ``facts`` that has its id.
        fields: names of the fields it holds.
    """

    table: str
    column: str
    fields: tuple[str, ...]


DIMENSIONS: tuple[Dimension, ...] = (
    Dimension("sites", "site_id", ("site",)),
    Dimension("pages", "page_id", ("url", "hostname", "path", "query", "title")),
    Dimension("referrers", "referrer_id", ("referrer", "referrer_host")),
    Dimension(
        "campaigns",
        "campaign_id",
        (
            "source",
            "medium",
            "channel",
            "utm_source",
            "utm_medium",
            "utm_campaign",
            "utm_term",
            "utm_content",
            "click_id",
        ),
    ),
    Dimension("agents", "agent_id", ("browser", "browser_version", "os", "os_version", "device", "bot")),
    Dimension("places", "place_id", ("country", "region", "city", "asn")),
    Dimension("clients", "client_id", ("language", "timezone", "screen", "viewport")),
)

_IN_DIMENSIONS = frozenset(name for dimension in DIMENSIONS for name in dimension.fields)

#: Fields that ``facts`` holds itself, in the order of ``event.FIELDS``.
OWN: tuple[Field, ...] = tuple(field for field in FIELDS if field.name not in _IN_DIMENSIONS)

#: Key of the advisory lock that a landing shares, and that a sweep of the dimensions has alone.
LANDING = 0x7472_6163_6B6C_616E  # "tracklan"

#: Columns of ``facts`` as rows are sent.
FACTS: tuple[str, ...] = (*(dimension.column for dimension in DIMENSIONS), *(field.name for field in OWN))


def type_in_facts(field: Field) -> str:
    """Type of an own field's column. A visitor is kept as the bigint of the same 64 bits: half of a numeric's bytes."""
    return "bigint" if field.name == "visitor" else field.postgres


def columns() -> dict[str, dict[str, str]]:
    """Type of every column that has to be there, by table (or view) and name, as ``format_type`` writes it."""
    tables: dict[str, dict[str, str]] = {}
    for dimension in DIMENSIONS:
        own = {name: BY_NAME[name].postgres for name in dimension.fields}
        tables[dimension.table] = {"id": "bigint", "key": "uuid", **own}
    ids = {dimension.column: "bigint" for dimension in DIMENSIONS}
    tables["facts"] = {**ids, **{field.name: type_in_facts(field) for field in OWN}}
    tables["events"] = {field.name: field.postgres for field in FIELDS}
    tables["batches"] = {"id": "uuid", "month": "integer", "rows": "integer", "attempt": "integer"}
    return {
        table: {name: _FORMATTED.get(kind, kind) for name, kind in there.items()} for table, there in tables.items()
    }


#: Types whose short names in ``event.FIELDS`` the server writes out.
_FORMATTED = {"timestamptz": "timestamp with time zone", "numeric(20)": "numeric(20,0)"}


def key_of(values: tuple[str | int, ...]) -> bytes:
    """Key (16 bytes) of a dimension's row, from its fields in their order."""
    return blake2b("".join([f"{value}\0" for value in values]).encode(), digest_size=16).digest()


def _upsert() -> str:
    parts = []
    for kind, dimension in enumerate(DIMENSIONS):
        names = ", ".join(dimension.fields)
        values = ", ".join(
            f"d.v[{n}]" + ("::bigint" if BY_NAME[name].kind == "uint" else "")
            for n, name in enumerate(dimension.fields, 1)
        )
        # Looked for first: ON CONFLICT alone would use up an id, and write, for every row that is there already.
        # In the order of keys: two daemons that add the same rows then wait for each other one way round only.
        parts.append(f"""{dimension.table}_added AS (
    INSERT INTO {dimension.table} (key, {names})
    SELECT d.key, {values} FROM staged d
    WHERE d.kind = {kind} AND NOT EXISTS (SELECT FROM {dimension.table} t WHERE t.key = d.key)
    ORDER BY d.key ON CONFLICT (key) DO NOTHING
)""")
    return "WITH " + ",\n".join(parts) + "\nSELECT"


def _ids() -> str:
    return "\nUNION ALL\n".join(
        f"SELECT d.kind, d.n, t.id FROM staged d JOIN {dimension.table} t ON t.key = d.key WHERE d.kind = {kind}"
        for kind, dimension in enumerate(DIMENSIONS)
    )


#: The staging table of a transaction: the distinct rows of a batch's dimensions. Temporary: its rows are not logged.
#: Gone with the transaction: one of the session's is removed when its backend ends, in a transaction that then waits
#: for ever for a standby that is away; and emptying that at every COMMIT saves only 1 to 3 ms.
STAGING = """
CREATE TEMPORARY TABLE staged (kind smallint NOT NULL, n integer NOT NULL, key uuid NOT NULL, v text[] NOT NULL)
ON COMMIT DROP
"""
#: Columns of it as rows are sent.
STAGED = ("kind", "n", "key", "v")

#: Adds what the dimensions lack of what is staged; one statement for all of them.
UPSERT = _upsert()

#: Ids of what is staged: kind, n, id. A statement of its own, since the one before does not see what it added.
IDS = _ids()
