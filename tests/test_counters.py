"""The table of counters."""

from __future__ import annotations

import re

import pytest

from trackflowd import counters
from trackflowd.proto import dialects


@pytest.mark.parametrize("table", [counters.WORKER, counters.FLUSHER])
def test_names_are_unique_and_every_counter_says_what_it_counts(table: tuple[counters.Counter, ...]) -> None:
    names = [counter.name for counter in table]
    assert len(set(names)) == len(names)
    for counter in table:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", counter.name)
        assert counter.kind in ("count", "gauge")
        assert counter.meaning and not counter.meaning.endswith(".")


def test_names_of_worker_and_flusher_do_not_meet() -> None:
    """Status and metrics add them up in one list."""
    assert not {c.name for c in counters.WORKER} & {c.name for c in counters.FLUSHER}


def test_refusal_codes_are_unique_words() -> None:
    assert len(set(counters.REFUSALS)) == len(counters.REFUSALS)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", code) for code in counters.REFUSALS)


def test_a_wire_format_has_its_counters_and_its_module() -> None:
    assert tuple(dialect.name for dialect in dialects.load()) == counters.DIALECTS
    names = {counter.name for counter in counters.WORKER}
    assert {f"{what}_{name}" for what in ("accepted", "refused") for name in counters.DIALECTS} <= names


def test_the_signature_is_that_of_these_tables() -> None:
    assert 0 < counters.SIGNATURE < 2**32
    assert set(counters.TABLES) == {"worker", "flusher"}
