"""Rows 20 to 27 and 29 of the fault list: what a store behind a wire may do to a daemon.

The wire is ``tcp_proxy``, the store ``clickhouse_front``. One daemon goes through all of it; what it answered 200 is
looked for after each fault.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator

import pytest

from tests.process.harness import until
from tests.process.judge import flush
from tests.process.stage import Stage, inserts
from trackflowd.errors import ControlError

CAP = 256 * 1024
#: From ``spool.start_at`` of 1 % on, one request of 20 events is enough to have batches go to the spool.
SETS = ("store.timeout=1", "batch.max_age=0.05", "ring.size=256KiB", "spool.start_at=1", f"spool.max_bytes={CAP}")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("store"), *SETS, "spool.keep_free=0") as stage:
        yield stage


@pytest.fixture
def stage(running: Stage, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The stage, without faults; what is left of a test's own is cleared."""
    running.send(20)
    flush(running.daemon)
    running.front.order("clear")
    running.wire.struck = 0
    yield running
    running.front.order("clear")
    running.front.order("accept")
    running.wire.clear()
    running.wire.accept()


def assert_none_ran_twice(stage: Stage) -> None:
    tokens = [one["token"] for one in inserts(stage.front)]
    assert tokens and len(tokens) == len(set(tokens))


def test_while_the_store_answers_500_events_are_taken_and_land_in_their_order_when_it_is_well(stage: Stage) -> None:
    stage.front.fault("status", match="", times=10**9)
    for round_ in range(1, 5):
        assert set(stage.send(200)) == {200}
        until(lambda least=round_: stage.daemon.status()["totals"]["spool_segments"] >= least)  # type: ignore[misc]
    until(lambda: stage.daemon.ready()[0] == 503)
    assert "store" in stage.daemon.ready()[1]["reason"]
    stage.front.order("clear")
    stage.assert_kept()
    tokens = [one["token"] for one in inserts(stage.front)]
    assert len(tokens) >= 4
    assert tokens == sorted(tokens), "a batch's id grows with the time of its cut"


def test_a_store_that_takes_an_insert_and_never_answers_is_asked_and_gets_it_once(stage: Stage) -> None:
    stage.wire.order("hang")
    stage.send(40)
    until(lambda: stage.wire.struck)
    assert set(stage.send(200)) == {200}
    stage.assert_kept()
    assert stage.daemon.status()["batches"]["doubted"] > 0
    assert_none_ran_twice(stage)


def test_an_answer_lost_behind_a_commit_sends_nothing_again(stage: Stage) -> None:
    stage.wire.order("lost")
    stage.send(60)
    until(lambda: stage.wire.struck)
    stage.assert_kept()
    assert_none_ran_twice(stage)


def test_a_connection_reset_when_it_is_used_again_leaves_nothing_to_a_retry_of_the_driver(stage: Stage) -> None:
    """Before the request was seen, and behind its commit: whatever the driver would send by itself shows in the log."""
    stage.wire.order("cut", size=0, nth=2)
    stage.send(30)
    until(lambda: stage.wire.struck == 1)
    stage.assert_kept()
    stage.wire.order("lost", nth=2)
    stage.send(30)
    until(lambda: stage.wire.struck == 2)
    stage.assert_kept()
    assert_none_ran_twice(stage)


def test_a_retry_finds_its_rows_though_the_stores_own_window_of_tokens_has_rolled(stage: Stage) -> None:
    def other(token: str) -> None:
        stage.sql(
            "INSERT INTO events (site, name, received) SELECT 'other', 'x', now64(3) "
            f"SETTINGS insert_deduplication_token = '{token}'"
        )

    stage.sql("ALTER TABLE events MODIFY SETTING non_replicated_deduplication_window = 5")
    stage.wire.order("lost", shuts=True)
    stage.send(30)
    until(lambda: stage.wire.struck)
    stage.daemon.kill("flusher")
    for n in [*range(20), 0]:
        other(f"token {n}")
    assert stage.sql("SELECT count() FROM events WHERE site = 'other'") == "21\n", "a token of long ago is forgotten"
    stage.wire.accept()
    stage.assert_kept()
    assert_none_ran_twice(stage)
    stage.sql("ALTER TABLE events MODIFY SETTING non_replicated_deduplication_window = 10000")


def test_a_reset_at_any_byte_of_an_insert_keeps_no_part_of_it(stage: Stage) -> None:
    """In its first line, in its headers, between head and body, in the first chunk, at its last bytes, behind it."""
    sizes = [0, 1, 500, 1200, 1500, 2000, 3000, 5000, 8000, 100_000]
    for size in sizes:
        stage.wire.order("cut", size=size)
        before = stage.wire.struck
        stage.send(30, array=30)
        until(lambda before=before: stage.wire.struck > before)  # type: ignore[misc]
        flush(stage.daemon)
    stage.assert_kept()


def test_a_store_of_1_kb_a_second_leaves_events_taken_and_everything_in_its_bounds(stage: Stage) -> None:
    stage.wire.order("slow", match=b"", times=10**9, size=1000)
    statuses = stage.send(400)
    stage.daemon.await_status(lambda status: status["sink"]["state"] == "in doubt")
    statuses += stage.send(400)
    assert set(statuses) == {200}
    status = stage.daemon.await_status(lambda status: status["totals"]["spool_segments"])
    assert 0 < status["totals"]["spool_bytes"] <= CAP
    stage.wire.clear()
    stage.assert_kept()


def test_past_the_cap_of_spool_and_rings_it_is_503_until_the_store_is_back_and_then_all_lands(stage: Stage) -> None:
    stage.front.order("refuse")
    headers = stage.send_until_full()
    assert int(headers["retry-after"]) > 0
    until(lambda: "raise spool.max_bytes" in stage.daemon.log())
    assert 0 < stage.daemon.status()["totals"]["spool_bytes"] <= CAP
    stage.front.order("accept")
    stage.assert_kept()
    assert set(stage.send(400)) == {200}
    stage.assert_kept()


def test_what_waits_in_the_spool_is_not_called_stored_by_a_flush_nor_by_a_stop(stage: Stage) -> None:
    stage.front.order("refuse")
    stage.send(400)
    stage.daemon.await_status(lambda status: not sum(ring["used"] for ring in status["rings"]))
    answer = stage.daemon.call("flush", wait=0)
    assert (answer["stored"], answer["left"]) == (False, 0)
    with pytest.raises(ControlError, match=r"batches in the spool are not stored after 0 s"):
        stage.daemon.call("flush", wait=0.01)
    assert stage.daemon.process is not None
    stage.daemon.process.send_signal(signal.SIGTERM)
    until(lambda: stage.daemon.ready()[1].get("reason") == "stopping")
    assert stage.daemon.stop() == 3
    assert re.search(r"stopped: 0 bytes of events stay in 0 rings and \d+ segments in the spool", stage.daemon.log())
    stage.front.order("accept")
    stage.daemon.start()
    stage.assert_kept()
