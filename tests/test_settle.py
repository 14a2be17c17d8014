"""Settling a batch against a store that fails in every way the docs list, and some at once.

The store here is a model: rows by batch, tokens seen, sendings that land late. Real stores are
driven through the same rules in test_flusher and test_sink_clickhouse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackflowd.cuts import Cut
from trackflowd.errors import StoreAway, StoreDoubt, StoreFailed, StoreReject
from trackflowd.settle import STUBBORN, Backoff, Case, Settler, Verdict
from trackflowd.sink.base import Batch, Format, Params, QueryLimits
from trackflowd.sink.edit import Editor, NoEvents

ROWS = 10

#: What may become of one sending; what the sender hears is in the name.
SENDINGS = (
    "ok",
    "away",  # refused before anything was sent
    "lost, doubt",  # nothing kept
    "kept, doubt",  # all kept, answer lost
    "part, doubt",  # half kept (several partitions), answer lost
    "token only, doubt",  # the token is noted, the part never put in place
    "late, doubt",  # still running when the sender gives up: lands unless killed
    "failed",  # an error of its own, nothing kept
    "kept, failed",
    "rejected",
    "kept, rejected",  # all kept, refused for a view on the table
)


@dataclass
class ModelStore:
    """Rows, tokens and sendings that run on; ``plan`` says what becomes of each next sending."""

    plan: list[str]
    asking: list[str] = field(default_factory=list)
    rows: dict[int, int] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    running: list[Batch] = field(default_factory=list)
    known: set[tuple[str, bytes]] = field(default_factory=set)
    identity: str = "model:"
    vouches: bool = True
    edit: Editor = field(default_factory=NoEvents)

    def open(self) -> None: ...

    def confirm(self) -> None: ...

    def close(self) -> None: ...

    def insert(self, batch: Batch) -> None:
        fate = self.plan.pop(0) if self.plan else "ok"
        if fate == "away":
            raise StoreAway("refused")
        if fate == "rejected":
            raise StoreReject("no such column")
        if fate == "failed":
            raise StoreFailed("code 999")
        if fate == "lost, doubt":
            raise StoreDoubt("reset")
        if fate == "late, doubt":
            self.running.append(batch)
            raise StoreDoubt("timeout")
        if batch.token in self.tokens:
            return  # deduplicated
        self.tokens.add(batch.token)
        if fate == "token only, doubt":
            raise StoreDoubt("killed before the rename")
        kept = batch.rows // 2 if fate == "part, doubt" else batch.rows
        self.rows[batch.batch_id] = self.rows.get(batch.batch_id, 0) + kept
        if fate == "kept, rejected":
            raise StoreReject("while pushing to a view")
        if fate == "kept, failed":
            raise StoreFailed("code 999")
        if fate != "ok":
            raise StoreDoubt("answer lost")

    def count(self, batch_id: int, partition: int) -> int:
        if self.asking and self.asking.pop(0) == "away":
            raise StoreAway("not now")
        return self.rows.get(batch_id, 0)

    def kill(self, batch: Batch) -> None:
        self.running = [one for one in self.running if one.batch_id != batch.batch_id]

    def delete(self, batch_id: int, partition: int) -> None:
        self.rows.pop(batch_id, None)

    def present(self, ids: Sequence[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
        return self.known & set(ids)

    def table_fault(self) -> str:
        return ""

    def query(self, sql: str, fmt: Format, limits: QueryLimits, params: Params | None = None) -> bytes:
        return b""

    def finish_running(self) -> None:
        """What was not killed lands now."""
        for batch in self.running:
            if batch.token not in self.tokens:
                self.tokens.add(batch.token)
                self.rows[batch.batch_id] = self.rows.get(batch.batch_id, 0) + batch.rows
        self.running.clear()


def settle(
    store: ModelStore, in_doubt: bool = False, breathe: Callable[[], None] = lambda: None, attempt: int = 1
) -> list[int]:
    """Settle one batch, trying again as long as it takes; the attempts that were journaled."""
    attempts: list[int] = []
    settler = Settler(store, breathe)
    case = Case(Batch(7, attempt, 202611, ROWS, {}), in_doubt)
    while True:
        try:
            verdict = settler.settle(case)
        except (StoreAway, StoreDoubt):
            continue
        if verdict is Verdict.HELD:
            return attempts
        if verdict is Verdict.FRESH:
            attempts.append(case.batch.attempt)


def test_a_clean_answer_is_taken_at_its_word() -> None:
    store = ModelStore(["ok"])
    assert settle(store) == []
    assert store.rows == {7: ROWS}


@pytest.mark.parametrize("fate", SENDINGS)
def test_whatever_becomes_of_the_first_sending_the_rows_are_there_once(fate: str) -> None:
    store = ModelStore([fate])
    settle(store)
    store.finish_running()
    assert store.rows == {7: ROWS}


def test_the_answer_lost_after_the_commit_sends_nothing_again() -> None:
    store = ModelStore(["kept, doubt", "rejected"])
    assert settle(store) == []
    assert store.plan == ["rejected"]


def test_a_poisoned_token_is_found_and_a_fresh_attempt_is_journaled() -> None:
    store = ModelStore(["token only, doubt"])
    assert settle(store) == [2]
    assert store.rows == {7: ROWS}


def test_a_part_is_deleted_before_all_is_sent_again() -> None:
    store = ModelStore(["part, doubt"])
    assert settle(store) == [2]
    assert store.rows == {7: ROWS}


def test_after_a_restart_the_store_is_asked_before_anything_is_sent() -> None:
    store = ModelStore(["rejected"], rows={7: ROWS})
    assert settle(store, in_doubt=True) == []
    assert store.plan == ["rejected"]


@given(
    plan=st.lists(st.sampled_from(SENDINGS), max_size=12),
    asking=st.lists(st.sampled_from(["", "away"]), max_size=8),
    in_doubt=st.booleans(),
)
def test_any_sequence_of_faults_ends_with_every_row_once(plan: list[str], asking: list[str], in_doubt: bool) -> None:
    store = ModelStore(list(plan), list(asking))
    settle(store, in_doubt)
    store.finish_running()
    assert store.rows == {7: ROWS}


@given(
    plan=st.lists(st.sampled_from(SENDINGS), min_size=1, max_size=8),
    ends=st.lists(st.integers(1, 3), min_size=1, max_size=4),
)
def test_killed_anywhere_and_begun_again_from_the_journal_it_ends_with_every_row_once(
    plan: list[str], ends: list[int]
) -> None:
    """The process dies at its n-th breath; the next takes the attempt from the journal and is in doubt."""

    class Killed(Exception):
        pass

    store = ModelStore(list(plan))
    attempt, doubt = 1, False
    for end in [*ends, 10**9]:
        breaths = count(1)

        def breathe(end: int = end, breaths: Iterator[int] = breaths) -> None:
            if next(breaths) == end:
                raise Killed

        settler, case = Settler(store, breathe), Case(Batch(7, attempt, 202611, ROWS, {}), doubt)
        with suppress(Killed):
            while True:
                with suppress(StoreAway, StoreDoubt):
                    verdict = settler.settle(case)
                    if verdict is Verdict.FRESH:
                        attempt = case.batch.attempt
                    if verdict is Verdict.HELD:
                        break
            break
        doubt = True
    store.finish_running()
    assert store.rows == {7: ROWS}


def test_an_unknown_error_given_again_and_again_is_a_refusal_and_one_that_changes_is_not() -> None:
    def tries(*plan: str) -> list[Verdict | None]:
        settler, case = Settler(ModelStore(list(plan))), Case(Batch(7, 1, 202611, ROWS, {}), doubt=False)
        verdicts: list[Verdict | None] = []
        for _ in plan:
            try:
                verdicts.append(settler.settle(case))
            except StoreDoubt:
                verdicts.append(None)
        return verdicts

    assert tries(*["failed"] * STUBBORN) == [None] * (STUBBORN - 1) + [Verdict.REFUSED]
    assert Verdict.REFUSED not in tries(*["failed"] * (STUBBORN - 1), "lost, doubt", *["failed"] * (STUBBORN - 1))


def test_refused_means_that_the_store_was_asked_and_has_none_of_it() -> None:
    store = ModelStore(["rejected"])
    case = Case(Batch(7, 1, 202611, ROWS, {}), doubt=False)
    assert Settler(store).settle(case) is Verdict.REFUSED
    assert (case.words, case.fault) == ("no such column", "")
    store = ModelStore(["kept, rejected"])
    assert Settler(store).settle(Case(Batch(7, 1, 202611, ROWS, {}), doubt=False)) is Verdict.HELD


def test_rows_that_may_have_been_sent_before_are_looked_up_before_they_are_sent() -> None:
    store = ModelStore(["rejected"], known={("s", b"1" * 16)})
    case = Case(Batch(7, 1, 202611, ROWS, {}), doubt=False, ask=[("s", b"1" * 16), ("s", b"2" * 16)])
    assert Settler(store).settle(case) is Verdict.KNOWN
    assert case.known == {("s", b"1" * 16)}
    assert store.plan == ["rejected"], "nothing was sent"
    # What was landed by a sending of its own is no repeat.
    store = ModelStore([], rows={7: ROWS}, known={("s", b"1" * 16)})
    case = Case(Batch(7, 1, 202611, ROWS, {}), doubt=True, ask=[("s", b"1" * 16)])
    assert Settler(store).settle(case) is Verdict.HELD


def test_of_a_batch_that_cannot_be_sent_again_whole_no_part_is_left_in_the_store() -> None:
    cut = Cut(7, 0, 1, "model:", 202611, ROWS, 0, 1, (0, 0), (), segment=7)
    for there, left in ((0, 0), (ROWS // 2, 0), (ROWS, ROWS)):
        store = ModelStore([], rows={7: there})
        assert Settler(store).whole_or_none(cut) == left
        assert store.rows.get(7, 0) == left


def test_waits_grow_and_are_capped() -> None:
    backoff = Backoff(1.0, 8.0)
    waits = [backoff.wait() for _ in range(8)]
    assert all(0.5 * span <= wait <= span for wait, span in zip(waits, [1, 2, 4, 8, 8, 8, 8, 8], strict=True))
    backoff.reset()
    assert backoff.wait() <= 1.0
