"""console.knowledge: the last status, and what came before it."""

from __future__ import annotations

import pytest

from tests.console_values import STATUS, known, older, status
from trackflowd.console.knowledge import Knowledge, dig
from trackflowd.errors import ControlError

AT = 1_800_000_000.0


def test_maps_in_maps_are_looked_into_whatever_is_there() -> None:
    assert dig(STATUS, "sink", "state") == "ok"
    assert dig(STATUS, "sink", "state", "x") is None
    assert dig(None, "sink") is None


def test_a_lost_connection_is_away_since_the_first_failure() -> None:
    know = known(status(), at=AT)
    know.lose(ControlError("gone"), AT + 1)
    know.lose(ControlError("still gone"), AT + 2)
    assert know.told is not None
    assert (know.away_since, know.told.text) == (AT + 1, "still gone")
    know.take(status(), AT + 3)
    assert know.away_since == 0.0 and know.told is None


def test_a_daemon_is_silent_when_statuses_stop_coming() -> None:
    know = known(status(), at=AT)
    assert know.silent_for(AT + 3) == 0.0
    assert know.silent_for(AT + 10) == 10.0
    assert Knowledge().silent_for(AT) == 0.0
    seldom = Knowledge(every=10.0)
    seldom.take(status(), AT)
    assert (seldom.silent_for(AT + 20), seldom.silent_for(AT + 30)) == (0.0, 30.0)


def test_recent_refusals_are_those_of_the_last_minute() -> None:
    know = known(status(refusals={"bad_json": 1}), at=AT)
    know.take(status(refusals={"bad_json": 5}), AT + 50)
    assert know.recent_refusals() == {"bad_json": 4}
    know.take(status(refusals={"bad_json": 6, "method": 2}), AT + 90)
    assert know.recent_refusals() == {"bad_json": 1, "method": 2}


def test_refusals_of_another_daemon_are_not_compared() -> None:
    know = known(status(), at=AT)
    know.take(status(pid=999, refusals={"bad_json": 3}), AT + 1)
    assert know.recent_refusals() == {}


def test_batches_are_noted_once_each() -> None:
    know = known(status(), status(), status(batches={"last": {"rows": 7, "ms": 2, "at_ms": 1_800_000_001_000}}))
    assert [batch.rows for batch in know.batches] == [1200, 7]
    assert not known(status(batches={"last": None})).batches


def test_the_share_of_a_process_is_told_or_worked_out() -> None:
    worker = STATUS["processes"][1]
    flusher = {**STATUS["processes"][3], "cpu_s": 12.5}
    know = known(status(), status(processes=[worker, flusher]))
    assert know.cpu_share(worker) == 0.41
    assert know.cpu_share(flusher) == pytest.approx(0.5)
    assert know.cpu_share({"pid": None}) is None


def test_an_older_daemon_lists_no_alerts() -> None:
    assert known(older("alerts")).alerts() is None
    assert known(status()).alerts() == []
    assert not known(older("sink")).paused()
    assert known(status(sink={"paused": True})).paused()
