"""Replay: what a store lost comes back from the rings, and nothing is doubled (the bench is in flusher_bench)."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.flusher_bench import Bench
from tests.rows import event_id, row
from trackflowd.errors import StoreAway, TrackflowError
from trackflowd.flusher import Flusher


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch, "spool.keep_free=0", "batch.max_rows=20")


def while_running(bench: Bench, questions: Callable[[Flusher], Any]) -> Any:
    """What questions gives, asked in another thread of a flusher that runs; then it drains."""
    with bench.flusher() as one:
        answers: list[Any] = []

        def ask() -> None:
            try:
                answers.append(questions(one))
            except Exception as error:
                answers.append(error)
            one.drain()

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        one.run()
        thread.join(10)
    if isinstance(answers[0], Exception):
        raise answers[0]
    return answers[0]


def replay(one: Flusher, dry_run: bool = False) -> list[dict[str, Any]]:
    return [one.replay_batch(batch, dry_run) for batch in one.replay_plan(0)["batches"]]


def test_a_store_that_lost_nothing_is_sent_nothing(bench: Bench) -> None:
    bench.write(*[row(n) for n in range(60)])
    bench.drain()
    before = dict(bench.store.batches)
    answers = while_running(bench, replay)
    assert [one["outcome"] for one in answers] == ["held"] * 3
    assert bench.store.batches == before


def test_batches_the_store_lost_come_back_under_their_own_ids(bench: Bench) -> None:
    bench.write(*[row(n) for n in range(60)])
    bench.drain()
    before = dict(bench.store.batches)
    lost = list(before)[1]
    del bench.store.batches[lost]
    expected = [("held", 0), ("held", 0), ("restored", 20)]
    dry = while_running(bench, lambda one: replay(one, dry_run=True))
    assert sorted((one["outcome"], one["restored"]) for one in dry) == expected
    assert lost not in bench.store.batches
    answers = while_running(bench, replay)
    assert sorted((one["outcome"], one["restored"]) for one in answers) == expected
    assert bench.store.batches == before
    assert bench.slot.get("rows_restored") == 20
    assert [one["outcome"] for one in while_running(bench, replay)] == ["held"] * 3


def test_a_batch_overwritten_in_part_gives_back_the_rows_that_are_left_and_only_those_missing(bench: Bench) -> None:
    bench.write(*[row(n) for n in range(20)])
    bench.drain()
    reader_free = bench.writers[0].capacity - bench.writers[0].head
    size = bench.writers[0].head // 20
    bench.write(*[row(1000 + n, flags=0) for n in range(reader_free // size + 8)])  # over the first few rows
    (batch,) = bench.store.batches
    kept = bench.store.batches[batch][-3:]
    bench.drain()
    bench.store.batches[batch] = kept  # the store holds three of the rows that are left
    first = while_running(bench, lambda one: one.replay_batch(f"{batch:032x}", False))
    assert first["outcome"] == "partly"
    assert 0 < first["restored"] < 17
    assert first["restored"] + first["lost"] == 17
    assert all(number == 1 for number in bench.store.ids.values())
    assert bench.store.ids.keys() >= {event_id(n) for n in range(20 - first["restored"] - 3, 20)}
    assert while_running(bench, lambda one: one.replay_batch(f"{batch:032x}", False))["restored"] == 0


def test_what_is_overwritten_whole_is_said_to_be_gone(bench: Bench) -> None:
    bench.write(*[row(n) for n in range(20)])
    bench.drain()
    (batch,) = bench.store.batches
    for n in range(3):
        bench.fill(1000 + 1000 * n)
        bench.drain()
    bench.store.batches[batch] = []
    plan = while_running(bench, lambda one: one.replay_plan(0))
    assert f"{batch:032x}" in plan["batches"]
    assert plan["reach_ms"] > 0
    answer = while_running(bench, lambda one: one.replay_batch(f"{batch:032x}", False))
    assert (answer["outcome"], answer["lost"]) == ("gone", 20)


def test_a_batch_that_was_landed_in_pieces_gives_back_what_is_missing_but_no_quarantined_row(bench: Bench) -> None:
    bench.store.bad = {event_id(3)}
    bench.write(*[row(n) for n in range(20)])
    bench.drain()
    assert len(bench.store.ids) == 19
    piece = max(bench.store.batches, key=lambda one: len(bench.store.batches[one]))
    lost = len(bench.store.batches.pop(piece))
    answers = while_running(bench, replay)
    assert sum(one["restored"] for one in answers) == lost
    assert [(one["outcome"], one["lost"]) for one in answers] == [("restored", 0)], "what is aside is not lost"
    bench.drain()
    assert bench.store.ids == Counter(event_id(n) for n in range(20) if n != 3)


def test_only_batches_cut_since_then_are_planned_and_another_stores_are_left_alone(bench: Bench) -> None:
    bench.write(row(1))
    bench.drain()
    assert while_running(bench, lambda one: one.replay_plan(2**50))["batches"] == []
    bench.store.identity = "another:"
    (answer,) = while_running(bench, replay)
    assert answer["outcome"] == "other_store"
    assert while_running(bench, lambda one: one.replay_batch("0" * 32, False))["outcome"] == "gone"


def test_a_store_that_is_away_is_a_reason_to_ask_again(bench: Bench) -> None:
    bench.write(row(1))
    bench.drain()

    def trouble(when: str) -> None:
        if when == "count":
            raise StoreAway("refused")

    bench.store.trouble = trouble
    with pytest.raises(TrackflowError) as caught:
        while_running(bench, replay)
    assert caught.value.code == "unavailable"
