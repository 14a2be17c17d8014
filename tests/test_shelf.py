"""Quarantined rows tried again, dropped, and batches given up."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.flusher_bench import Bench, Killed, dying
from tests.rows import event_id, row
from tests.test_lander import away, run, segments, well
from tests.test_replayer import while_running
from trackflowd.calls import Stopped
from trackflowd.errors import DataDirError

BAD = {3, 17}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench(tmp_path, monkeypatch, "spool.keep_free=0")
    bench.store.bad = {event_id(n) for n in BAD}
    bench.write(*[row(n) for n in range(20)])
    bench.drain()
    return bench


def files(bench: Bench) -> list[str]:
    return sorted(path.name for path in (bench.path / "quarantine").iterdir())


def test_rows_from_quarantine_land_once_the_store_takes_them(bench: Bench) -> None:
    assert len(files(bench)) == 2
    bench.store.bad = set()
    assert while_running(bench, lambda one: one.quarantine_retry([])) == {"retried": 2, "rows": 2, "skipped": []}
    assert bench.store.ids == Counter(event_id(n) for n in range(20))
    assert files(bench) == []
    assert segments(bench) == []


def test_rows_that_are_refused_again_are_back_in_quarantine(bench: Bench) -> None:
    before = files(bench)
    (bench.path / "quarantine" / "damaged-x.bin").write_bytes(b"x")

    def retry(one: object) -> object:
        answer = one.quarantine_retry([*before, "damaged-x.bin"])  # type: ignore[attr-defined]
        bench.write(row(100))  # another that lands: the refusal is the row's fault
        return answer

    answer = while_running(bench, retry)
    assert answer["retried"] == 2
    assert answer["skipped"][0]["name"] == "damaged-x.bin"
    assert len(files(bench)) == 3
    assert len(bench.store.ids) == 19


@pytest.mark.parametrize("step", ["segment before", "segment after", "journal cut before", "journal cut after"])
def test_killed_in_the_middle_of_a_retry_every_row_is_stored_once_or_still_aside(bench: Bench, step: str) -> None:
    bench.store.bad = set()
    with dying(bench, step), pytest.raises(Killed):
        while_running(bench, lambda one: one.quarantine_retry([]))
    bench.drain()
    while_running(bench, lambda one: one.quarantine_retry([]))
    assert bench.store.ids == Counter(event_id(n) for n in range(20))
    assert files(bench) == []


def test_who_asks_a_flusher_that_has_ended_is_not_left_waiting(bench: Bench) -> None:
    with bench.flusher() as one:
        one.stop()
        with pytest.raises(Stopped):
            one.run()
        with pytest.raises(Stopped, match="has ended"):
            one.quarantine_retry([])


def test_files_are_dropped_by_name_and_nothing_else(bench: Bench) -> None:
    first, second = files(bench)
    with pytest.raises(DataDirError, match="quarantine list"):
        while_running(bench, lambda one: one.quarantine_drop([first, "../journal"]))
    assert files(bench) == [first, second]
    assert while_running(bench, lambda one: one.quarantine_drop([first])) == {"dropped": 1, "rows": 1}
    assert files(bench) == [second]


def test_a_spooled_batch_is_given_up_on_request_and_its_rows_are_counted(bench: Bench) -> None:
    bench.store.bad = set()
    away(bench)
    bench.write(*[row(100 + n) for n in range(80)])

    def drop(one: object) -> None:
        # Asked in the loop as ``run`` does not: the flusher is in another thread.
        (path,) = segments(bench)
        with pytest.raises(DataDirError, match="spool list"):
            one.spool_drop(["nothing"])  # type: ignore[attr-defined]
        while True:
            try:
                assert one.spool_drop([path.name])["rows"] == 80  # type: ignore[attr-defined]
                break
            except DataDirError as error:
                assert "being sent right now" in str(error)
        well(bench)

    run(bench, lambda one: bool(segments(bench)), drop)
    assert segments(bench) == []
    assert bench.slot.get("rows_dropped") == 80
    assert len(bench.store.ids) == 18
