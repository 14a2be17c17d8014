"""Row 28 of the fault list: a table that is not as it should be, on a real engine.

Nothing goes to quarantine for a fault of the table: its batches wait in the spool and land when it was mended.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.process.harness import until
from tests.process.judge import flush
from tests.process.sender import SITE, id_of
from tests.process.stage import Stage
from trackflowd import cli, quarantine

SETS = ("batch.max_age=0.05", "ring.size=1MiB", "daemon.drain_timeout=1h")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("table"), *SETS) as stage:
        yield stage


def refused(stage: Stage, words: str) -> None:
    """Wait until status says that the store refuses what it is sent, and why."""
    stage.daemon.await_status(lambda status: words in status["sink"]["text"])
    until(lambda: stage.daemon.ready()[0] == 503)


def aside(stage: Stage) -> list[dict[str, Any]]:
    return quarantine.look(stage.daemon.data_dir / "quarantine")


def test_a_column_that_is_gone_or_of_another_type_is_alarmed_and_all_lands_when_it_is_mended(stage: Stage) -> None:
    stage.send(50)
    flush(stage.daemon)
    stage.sql("ALTER TABLE events MODIFY COLUMN engaged_ms String")  # takes every row, as a text: not to be kept
    stage.sql("ALTER TABLE events DROP COLUMN viewport")
    stage.send(100)
    refused(stage, "viewport")
    stage.sql("ALTER TABLE events ADD COLUMN viewport UUID AFTER screen")
    refused(stage, "column viewport is UUID")
    stage.send(100)
    stage.daemon.await_status(lambda status: status["totals"]["spool_segments"])
    stage.sql("ALTER TABLE events DROP COLUMN viewport")
    stage.sql("ALTER TABLE events ADD COLUMN viewport LowCardinality(String) AFTER screen")
    stage.sql("ALTER TABLE events MODIFY COLUMN engaged_ms UInt32")
    stage.assert_kept()
    assert aside(stage) == []


def test_a_dropped_table_is_alarmed_and_all_since_then_lands_when_it_is_there_again_and_a_replay_brings_the_rest(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    made = stage.sql("SHOW CREATE TABLE events FORMAT TabSeparatedRaw")
    lost = stage.sent
    stage.sql("DROP TABLE events SYNC")
    stage.send(100)
    refused(stage, "identifier 'events'")  # the engine's words: Unknown table
    stage.sql(made)
    flush(stage.daemon)
    rows = stage.daemon.rows(f"SELECT toString(event_id) AS id FROM events WHERE site = '{SITE}'")
    assert sorted(row["id"] for row in rows) == sorted(id_of(n) for n in range(lost, stage.sent))
    assert aside(stage) == []
    assert cli.operator(["--data-dir", str(stage.daemon.data_dir), "replay", "--since", "1h"]) == 0
    assert re.search(r"out of reach +0 batches", capsys.readouterr().out)
    stage.assert_kept()


def test_a_drain_does_not_wait_for_a_table_that_refuses_all_that_is_left_and_the_next_start_stores_it(
    stage: Stage,
) -> None:
    stage.sql("ALTER TABLE events ADD CONSTRAINT shut CHECK 0")
    stage.send(1)
    refused(stage, "shut")
    assert stage.daemon.stop() == 3
    assert "stopped: the store refuses what is left; what is not stored waits in rings and spool" in stage.daemon.log()
    assert "1 segments in the spool" in stage.daemon.log()
    stage.sql("ALTER TABLE events DROP CONSTRAINT shut")
    stage.daemon.start()
    stage.assert_kept()
    assert aside(stage) == []
