"""refusalbook: hours in state.sqlite, a disk that refuses, bounds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trackflowd import refusalbook
from trackflowd.errors import DataDirError
from trackflowd.ledger import NONE, OTHERS
from trackflowd.refusalbook import HOUR_MS, KEEP_DAYS, RefusalBook
from trackflowd.state import State

NOW = 500_000 * HOUR_MS + 5


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    (tmp_path / "tmp").mkdir()
    state = State(tmp_path)
    yield state
    state.close()


def counts(book: RefusalBook, start: int = NOW, end: int = NOW + 1, site: str = "") -> dict[tuple[str, str], int]:
    """By site and reason."""
    return {(row["site"], row["reason"]): row["count"] for row in book.answer(start, end, site)["refused"]}


def test_what_is_written_and_what_waits_are_one_and_last(state: State) -> None:
    book = RefusalBook(state)
    book.add([["a", "origin", 2], [NONE, "bad_json", 1]], NOW)
    book.tick(100.0, NOW)
    book.add([["a", "origin", 3]], NOW)
    book.tick(100.0 + refusalbook.SAVE_EVERY - 1, NOW)
    assert counts(book) == {("a", "origin"): 5, (NONE, "bad_json"): 1}
    assert counts(book, site="a") == {("a", "origin"): 5}
    assert counts(RefusalBook(state)) == {("a", "origin"): 2, (NONE, "bad_json"): 1}
    book.save()
    assert counts(RefusalBook(state)) == {("a", "origin"): 5, (NONE, "bad_json"): 1}


def test_hours_are_told_apart_and_go_after_their_days(state: State) -> None:
    book = RefusalBook(state)
    book.add([["a", "origin", 1]], NOW)
    book.add([["a", "origin", 10]], NOW + HOUR_MS)
    assert counts(book, NOW, NOW + 1) == {("a", "origin"): 1}
    assert counts(book, NOW + HOUR_MS, NOW + 2 * HOUR_MS) == {("a", "origin"): 10}
    assert counts(book, NOW, NOW + HOUR_MS) == {("a", "origin"): 11}  # the hour that its end lies in, too
    book.save()
    later = NOW + (KEEP_DAYS * 24 + 1) * HOUR_MS
    book.add([["a", "bot", 4]], later)
    book.save()
    assert counts(book, 0, later + 1) == {("a", "origin"): 10, ("a", "bot"): 4}
    assert book.answer(0, later + 1)["totals"] == {"refused": 10, "left_out": 4}


def test_hours_go_after_their_days_though_nothing_is_refused_any_more(state: State) -> None:
    book = RefusalBook(state)
    book.add([["a", "origin", 1]], NOW)
    book.add([["a", "origin", 10]], NOW + HOUR_MS)
    book.save()
    last = NOW + KEEP_DAYS * 24 * HOUR_MS
    book.tick(100.0, last)
    assert counts(book, 0, last + 1) == {("a", "origin"): 11}
    book.tick(101.0, last + HOUR_MS)
    assert counts(book, 0, last + HOUR_MS + 1) == {("a", "origin"): 10}
    RefusalBook(state).tick(1.0, last + 2 * HOUR_MS)  # a daemon that was not there in between
    assert counts(book, 0, last + 2 * HOUR_MS + 1) == {}


def test_an_hour_has_a_bound_that_a_restart_knows(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusalbook, "MAX_ROWS", 3)
    book = RefusalBook(state)
    book.add([[f"s{n}", "unknown_site", 1] for n in range(5)], NOW)
    book.save()
    book = RefusalBook(state)
    book.add([["s0", "unknown_site", 1], ["s9", "unknown_site", 1], ["x" * 99, "bot", 1]], NOW)
    assert counts(book) == {
        ("s0", "unknown_site"): 2, ("s1", "unknown_site"): 1, ("s2", "unknown_site"): 1, (OTHERS, "unknown_site"): 3,
        (OTHERS, "bot"): 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "rows", [None, 7, ["x"], [["a", "origin"]], [["a", "nothing", 1]], [["a", "bot", -1]], [[1, "bot", 1]]]
)
def test_what_makes_no_sense_is_left_out(rows: Any, state: State) -> None:
    book = RefusalBook(state)
    book.add(rows, NOW)
    assert counts(book) == {}


def test_a_disk_that_refuses_keeps_them_in_memory(
    state: State, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(sql: str, values: Any = ()) -> Any:
        raise DataDirError("the disk is full")

    book = RefusalBook(state)
    book.add([["a", "origin", 2]], NOW)
    with monkeypatch.context() as patch:
        patch.setattr(state, "execute", full)
        book.save()
        book.add([["a", "origin", 2]], NOW + HOUR_MS)
        book.save()
    assert sum("are not written" in record.getMessage() for record in caplog.records) == 1
    book.save()
    assert counts(RefusalBook(state), NOW, NOW + HOUR_MS) == {("a", "origin"): 4}
