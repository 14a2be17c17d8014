"""Numbered, forward-only changes of a store's schema.

``schema/<store>/NNNN_name.sql`` holds the statements of change NNNN, each ended by a ``;`` at the end of a line.
The store itself remembers which were applied, in its table ``trackflow_schema``. A change is noted after its last
statement, and every statement may be run twice (``IF NOT EXISTS`` and the like), so one that was cut short by a kill
is taken up again from its start. A file that was ever released is never edited: what comes after gets a new number.

A change may take as long as it takes (an index over a large table in PostgreSQL): no timeout of ours ends it, the
flusher shows that it lives meanwhile, and events wait in rings and spool. Where the store can, filling in old rows
goes on in the background instead.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trackflowd.errors import StoreReject

log = logging.getLogger(__name__)

#: Seconds between two signs of life; a daemon gives a silent process at least three.
_EVERY = 1.0

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
    breathe: Callable[[], None] = lambda: None,
) -> int:
    """Bring a store up to date.

    Args:
        known: from ``load``.
        applied: numbers the store remembers.
        run: runs one statement there.
        note: makes the store remember a change.
        breathe: called each second while a statement runs, in a thread of its own.

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
        log.info("store: changing its schema to version %d; events wait in rings and spool", migration.version)
        for statement in migration.statements:
            with breathing(breathe):
                run(statement)
        note(migration)
        log.info("store: schema version %d (%s)", migration.version, migration.name.replace("_", " "))
    return newest


@contextmanager
def breathing(breathe: Callable[[], None]) -> Iterator[None]:
    """Within it, breathe is called each second in a thread of its own."""
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(_EVERY):
            breathe()

    thread = threading.Thread(target=go_on, name="breathing", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
