"""sink.engine: what an insert is on the wire, and what each fault on the way leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from tests.batches import PARTITION, batch
from tests.front_process import FrontProcess
from trackflowd.errors import QueryError, SinkError, StoreAway, StoreDoubt, StoreFailed, StoreReject
from trackflowd.sink.base import Batch, QueryLimits, SinkOptions
from trackflowd.sink.clickhouse import ClickHouseSink

ROOT = Path(__file__).parent.parent
BATCH_IDS = count(2**100)
ROWS = 2000
PINNED = {
    "async_insert": "0",
    "max_insert_threads": "1",
    "insert_deduplicate": "1",
    "deduplicate_blocks_in_dependent_materialized_views": "1",
}
#: Settings that split or join blocks: far above any batch.
ABOVE = ("max_insert_block_size", "min_insert_block_size_rows", "min_insert_block_size_bytes")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontProcess]:
    with FrontProcess(tmp_path_factory.mktemp("front") / "store") as front:
        yield front


@pytest.fixture
def front(started: FrontProcess) -> Iterator[FrontProcess]:
    started.order("clear")
    yield started
    started.order("release")
    started.order("accept")


@pytest.fixture
def sink(front: FrontProcess, tmp_path: Path) -> Iterator[ClickHouseSink]:
    store = ClickHouseSink(front.url, SinkOptions(tmp_path, timeout_s=10))
    store.open()
    yield store
    store.close()


def made() -> Batch:
    return batch(next(BATCH_IDS), range(ROWS))


def again(sent: Batch) -> Batch:
    return Batch(sent.batch_id, sent.attempt + 1, sent.partition, sent.rows, sent.columns)


def test_a_batch_is_one_native_block_sent_in_chunks_with_its_settings_pinned(
    front: FrontProcess, sink: ClickHouseSink
) -> None:
    sent = made()
    sink.insert(sent)
    (seen,) = front.log()
    assert (seen["format"], seen["blocks"], seen["rows"], seen["chunked"]) == ("Native", 1, ROWS, True)
    assert seen["bytes"] > 256 * 1024  # more than one chunk
    assert {name: seen["settings"].get(name) for name in PINNED} == PINNED
    assert all(int(seen["settings"][name]) > 2**25 for name in ABOVE)
    assert seen["settings"]["insert_deduplication_token"] == sent.token
    assert seen["transport"]["query_id"] == sent.token
    assert seen["transport"]["wait_end_of_query"] == "1"
    assert "session_id" not in seen["transport"]


def test_the_same_attempt_sent_twice_lands_once(sink: ClickHouseSink) -> None:
    sent = made()
    sink.insert(sent)
    sink.insert(sent)
    assert sink.count(sent.batch_id, PARTITION) == ROWS


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"kind": "status"}, StoreDoubt),
        ({"kind": "status", "status": 503}, StoreDoubt),
        ({"kind": "status", "status": 500, "code": 241}, StoreFailed),
        ({"kind": "status", "status": 500, "code": 202}, StoreAway),
        ({"kind": "status", "status": 500, "code": 252}, StoreAway),
        ({"kind": "status", "status": 404, "code": 60}, StoreReject),
        ({"kind": "text"}, StoreDoubt),
        ({"kind": "cut", "size": 1}, StoreDoubt),
        ({"kind": "cut", "size": 100_000}, StoreDoubt),
        ({"kind": "cut", "size": 300_000}, StoreDoubt),
    ],
)
def test_a_fault_before_the_commit_leaves_no_row_and_its_name(
    front: FrontProcess, sink: ClickHouseSink, fault: dict[str, object], kind: type[SinkError]
) -> None:
    sent = made()
    front.fault(**fault)  # type: ignore[arg-type]
    with pytest.raises(SinkError) as caught:
        sink.insert(sent)
    assert type(caught.value) is kind
    sink.kill(sent)
    assert sink.count(sent.batch_id, PARTITION) == 0
    assert front.log() == []  # not sent again unasked
    sink.insert(sent)
    assert sink.count(sent.batch_id, PARTITION) == ROWS


def test_a_reply_that_is_lost_after_the_commit_is_a_doubt_and_all_rows_are_there(
    front: FrontProcess, sink: ClickHouseSink
) -> None:
    sink.insert(made())  # the connection is now a kept one: the driver would resend a body of bytes on it
    sent = made()
    front.fault("lost")
    with pytest.raises(StoreDoubt):
        sink.insert(sent)
    assert len(front.log()) == 2
    assert sink.count(sent.batch_id, PARTITION) == ROWS
    sink.insert(sent)
    assert sink.count(sent.batch_id, PARTITION) == ROWS


def test_half_a_batch_is_seen_deleted_and_sent_anew(front: FrontProcess, sink: ClickHouseSink) -> None:
    sent = made()
    front.fault("half")
    with pytest.raises(StoreDoubt):
        sink.insert(sent)
    assert sink.count(sent.batch_id, PARTITION) == ROWS // 2
    sink.delete(sent.batch_id, PARTITION)
    sink.insert(again(sent))
    assert sink.count(sent.batch_id, PARTITION) == ROWS


def test_a_poisoned_token_answers_well_and_keeps_nothing_until_a_fresh_one(
    front: FrontProcess, sink: ClickHouseSink
) -> None:
    sent = made()
    front.fault("poison")
    with pytest.raises(StoreDoubt):
        sink.insert(sent)
    sink.insert(sent)
    assert sink.count(sent.batch_id, PARTITION) == 0
    sink.insert(again(sent))
    assert sink.count(sent.batch_id, PARTITION) == ROWS


def test_a_sending_that_runs_on_without_us_is_ended_before_it_can_land(
    front: FrontProcess, sink: ClickHouseSink
) -> None:
    sent = made()
    front.fault("late")
    with pytest.raises(StoreDoubt):
        sink.insert(sent)
    assert sent.token in front.running()
    with pytest.raises(StoreDoubt):  # its twin is refused while it runs
        sink.insert(sent)
    sink.kill(sent)
    assert front.running() == []
    front.order("release")
    assert (sink.count(sent.batch_id, PARTITION), front.log()) == (0, [])


def test_killing_ends_every_attempt_of_the_batch_and_of_no_other(front: FrontProcess, sink: ClickHouseSink) -> None:
    one, other = made(), made()
    for sent in (one, again(one), other):
        front.fault("late")
        with pytest.raises(StoreDoubt):
            sink.insert(sent)
    sink.kill(one)
    assert front.running() == [other.token]
    sink.kill(other)


def test_a_store_that_hangs_is_a_doubt_after_the_timeout(front: FrontProcess, tmp_path: Path) -> None:
    sink = ClickHouseSink(front.url, SinkOptions(tmp_path, timeout_s=0.5))
    sink.open()
    sent = made()
    front.fault("hang")
    with pytest.raises(StoreDoubt, match="timed out"):
        sink.insert(sent)
    sink.kill(sent)
    assert sink.count(sent.batch_id, PARTITION) == 0
    sink.close()


def test_a_slow_store_gets_the_batch_all_the_same(front: FrontProcess, sink: ClickHouseSink) -> None:
    sent = made()
    front.fault("slow", size=1_000_000)
    sink.insert(sent)
    assert sink.count(sent.batch_id, PARTITION) == ROWS


def test_a_store_that_refuses_is_away_and_found_again_without_opening(
    front: FrontProcess, sink: ClickHouseSink
) -> None:
    sent = made()
    front.order("refuse")
    with pytest.raises(StoreAway, match="refused"):
        sink.insert(sent)
    for question in (
        lambda: sink.count(1, PARTITION),
        lambda: sink.kill(sent),
        lambda: sink.delete(1, PARTITION),
        lambda: sink.present([("s", bytes(16))]),
    ):
        with pytest.raises(StoreAway):
            question()
    with pytest.raises(QueryError, match="refused"):
        sink.query("SELECT 1", "csv", QueryLimits())
    front.order("accept")
    sink.insert(sent)
    assert sink.count(sent.batch_id, PARTITION) == ROWS
    assert sink.query("SELECT 1 AS a", "csv", QueryLimits()) == b'"a"\n1\n'


def test_many_more_inserts_do_not_make_the_token_forgotten(front: FrontProcess, sink: ClickHouseSink) -> None:
    sent = made()
    sink.insert(sent)
    for n in range(30):
        sink.insert(batch(next(BATCH_IDS), range(n, n + 1)))
    sink.insert(sent)
    assert sink.count(sent.batch_id, PARTITION) == ROWS


def test_a_dropped_table_and_a_changed_column_are_rejects(front: FrontProcess, tmp_path: Path) -> None:
    other = front.url.replace("/trackflow", "/other")
    sink = ClickHouseSink(other, SinkOptions(tmp_path))
    sink.open()
    assert sink._asker is not None
    sink._asker.command("ALTER TABLE events DROP COLUMN title")
    with pytest.raises(StoreReject, match="title"):
        sink.insert(made())
    sink._asker.command("DROP TABLE events SYNC")
    with pytest.raises(StoreReject, match="events"):
        sink.insert(made())
    sink.close()


def test_a_server_that_is_too_old_or_does_not_know_us_says_so(tmp_path: Path) -> None:
    with FrontProcess(tmp_path / "front", version="24.3.18.7", password="secret") as front:
        old = ClickHouseSink(front.url, SinkOptions(tmp_path))
        with pytest.raises(StoreReject, match=r"ClickHouse 24\.3\.18\.7 is older than 24\.8"):
            old.open()
        stranger = ClickHouseSink(front.url.replace("secret", "wrong-one"), SinkOptions(tmp_path))
        with pytest.raises(StoreAway, match="Authentication failed") as caught:
            stranger.open()
        assert "wrong-one" not in str(caught.value)
        front.kill()
        with pytest.raises(StoreAway):
            old.open()


EMBEDDED = """
import sys
from pathlib import Path
from tests.batches import PARTITION, batch
from trackflowd.errors import QueryError
from trackflowd.sink.base import QueryLimits, SinkOptions
from trackflowd.sink.clickhouse import ClickHouseSink
sink = ClickHouseSink("chdb:", SinkOptions(Path(sys.argv[1]), durable="durable" in sys.argv))
sink.open()
sink.insert(batch(1, range(10)))
assert sink.count(1, PARTITION) >= 10
for sql in ("SELECT count() FROM events", "SELECT nothing FROM nowhere"):
    try:
        sink.query(sql, "csv", QueryLimits())
    except QueryError:
        pass
sink.close()
print("done")
"""


def test_the_embedded_engine_says_nothing_on_a_terminal(tmp_path: Path) -> None:
    """With "logger.level" set, even to none, chDB 26.9 logs every query where standard error is a terminal."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-c", EMBEDDED, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        said = b""
        with suppress(OSError):  # EIO: the other side has closed its terminal
            while piece := os.read(ours, 65536):
                said += piece
    os.close(ours)
    assert (process.returncode, said) == (0, b"done\r\n")


def test_a_durable_embedded_store_has_a_batch_on_disk_before_its_insert_returns(tmp_path: Path) -> None:
    """By strace: the settings are taken by the engine, do what their names say, and go with the option."""
    synced = {}
    for kind in ("usual", "durable", "usual again"):
        trace = tmp_path / f"{kind}.trace"
        command = [sys.executable, "-c", EMBEDDED, str(tmp_path / "data"), kind]
        strace = ["strace", "-f", "-qq", "-y", "-e", "trace=fsync,fdatasync", "-o", str(trace)]
        done = subprocess.run([*strace, *command], cwd=ROOT, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr
        synced[kind] = [line for line in trace.read_text().splitlines() if "/store/" in line and "tmp_insert" in line]
    assert synced["usual"] == synced["usual again"] == []
    assert len(synced["durable"]) >= 3, "data, marks, and the part's directory at least"
