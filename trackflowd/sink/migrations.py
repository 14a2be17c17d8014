"""Numbered, forward-only changes of a store's schema.

``schema/<store>/NNNN_name.sql`` holds the statements of change NNNN, each ended by a ``;`` at the end of a line.
The store itself remembers which were applied, in its table ``trackflow_schema``. A change is noted after its last
statement, and every statement may be run twice (``IF NOT EXISTS`` and the like), so one that was cut short by a kill
is taken up again from its start. A file that was ever released is never edited: what comes after gets a new number.

A statement must not hold up inserts: adding a column, an index or a projection is fine, filling it in for old rows
goes on in the background.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from trackflowd.errors import StoreReject

log = logging.getLogger(__name__)

_SCHEMA = Path(__file__).with_name("schema")


@dataclass(frozen=True, slots=True)
class Migration:
    """One change.

    Args:
        version: its number, from 1 without gaps.
        name: what it does, as its file is called.
        statements: to be run in this order.
    """

    version: int
    name: str
    statements: tuple[str, ...]


def load(store: str) -> tuple[Migration, ...]:
    """All changes of a kind of store, in order.

    Args:
        store: name of its folder in ``schema``.
    """
    found = []
    for path in sorted((_SCHEMA / store).glob("*.sql")):
        number, _, name = path.stem.partition("_")
        found.append(Migration(int(number), name, split(path.read_text(encoding="utf-8"))))
    return tuple(found)


def split(text: str) -> tuple[str, ...]:
    """Statements of a file, without comment lines and without their final ``;``."""
    lines = (line.rstrip() for line in text.splitlines() if not line.lstrip().startswith("--"))
    parts = ("\n".join(lines) + "\n").split(";\n")
    return tuple(part.strip() for part in parts if part.strip())


def apply(
    known: Collection[Migration],
    applied: Callable[[], Collection[int]],
    run: Callable[[str], None],
    note: Callable[[Migration], None],
) -> int:
    """Bring a store up to date.

    Args:
        known: from ``load``.
        applied: numbers the store remembers.
        run: runs one statement there.
        note: makes the store remember a change.

    Returns:
        The version the store now has.

    Raises:
        StoreReject: it remembers a change this program does not know: a newer version wrote it.
    """
    have = set(applied())
    newest = max(migration.version for migration in known)
    if have and max(have) > newest:
        raise StoreReject(
            f"the store's schema has version {max(have)}, this program knows {newest}",
            "run the version that wrote it, or a later one",
        )
    for migration in sorted(known, key=lambda each: each.version):
        if migration.version in have:
            continue
        for statement in migration.statements:
            run(statement)
        note(migration)
        log.info("store: schema version %d (%s)", migration.version, migration.name.replace("_", " "))
    return newest
