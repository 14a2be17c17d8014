"""The mover between a real PostgreSQL and chDB: what it finds, copies, compares and mends. The stores are shared, each
test has a month of its own in them. ``Source`` and ``Target`` are tried here too."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.batches import columns
from tests.front_process import FrontProcess
from tests.postgres import Cluster
from tests.rows import event_id
from trackflowd.batch import new_batch_id
from trackflowd.errors import StoreAway, StoreReject
from trackflowd.event import FIELDS
from trackflowd.migrate import checksums, mover
from trackflowd.migrate.chunks import Chunk
from trackflowd.migrate.mover import Mover
from trackflowd.migrate.source import Source
from trackflowd.migrate.target import Target
from trackflowd.sink import pg_months
from trackflowd.sink.base import Batch, Sink, SinkOptions, open_sink

DATABASE = "mover"
MONTHS = (year * 100 + month for year in count(2001) for month in range(1, 13))
NUMBERS = count(0, 1000)


class Stores:
    """Both, with what fills the source."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self.cluster = cluster
        self.directory = directory
        self.url = cluster.database(DATABASE)
        self.sink: Sink = open_sink(self.url, SinkOptions(directory))
        self.sink.open()
        self.mover = Mover()
        self.open(self.mover)

    def open(self, one: Mover, target: str = "chdb:") -> dict[str, Any]:
        return one.open(self.url, target, str(self.directory), 20.0, 2**30, False)

    def land(self, month: int, rows: int = 10, **changed: Sequence[Any]) -> int:
        """A batch in the source; its id."""
        first = next(NUMBERS)
        start = int(pg_months.start_of(month).timestamp() * 1000)
        batch_id = new_batch_id(start + first)
        values = columns(range(first, first + rows), batch_id) | {"received": [start + n for n in range(rows)]}
        self.sink.insert(Batch(batch_id, 1, month, rows, values | changed))
        return batch_id

    def counted(self, month: int) -> tuple[int, int]:
        """Rows of a month in both."""
        found = {each: (there, here) for each, there, here in self.mover.months()["months"]}
        return found.get(month, (0, 0))

    def sql(self, statement: str, *args: Any) -> list[Any]:
        return self.cluster.sql(DATABASE, statement, *args)


@pytest.fixture(scope="module")
def stores(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    made = Stores(postgres, tmp_path_factory.mktemp("moved"))
    yield made
    made.mover.close()
    made.sink.close()


@pytest.fixture
def month() -> int:
    return next(MONTHS)


def walk(one: Mover, month: int, verify: bool = False) -> dict[str, int]:
    """Walk over a month; what was done."""
    total, after = dict.fromkeys(("rows", "copied", "mended"), 0), "0"
    while True:
        step = one.step(month, after, verify)
        total = {name: value + step[name] for name, value in total.items()}
        if step["done"]:
            return total
        after = step["after"]


def test_a_walk_copies_all_of_a_month_and_a_second_one_finds_it_there(stores: Stores, month: int) -> None:
    for rows in (10, 3, 1):
        stores.land(month, rows)
    assert walk(stores.mover, month) == {"rows": 14, "copied": 14, "mended": 0}
    assert walk(stores.mover, month, verify=True) == {"rows": 14, "copied": 0, "mended": 0}
    assert stores.counted(month) == (14, 14)


def test_a_walk_in_many_steps_passes_over_nothing(stores: Stores, month: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mover, "MAX_BATCHES", 2)
    ids = sorted(stores.land(month, 2) for _ in range(5))
    assert walk(stores.mover, month)["copied"] == 10
    target = stores.mover._stores()[1]
    assert target.listing(month, 0, 2**128 - 1) == dict.fromkeys(ids, 2)
    assert target.listing(month, ids[0], ids[2]) == dict.fromkeys(ids[1:3], 2)


class Blind(Mover):
    """Wrong on purpose: it takes for missing whatever it is about to copy, and sends without asking."""

    def _bring(self, chunk: Chunk, there: dict[int, int]) -> tuple[int, int]:
        source, target = self._stores()
        Target.insert(target, Batch(chunk.id, 1, chunk.month, chunk.rows, source.read(chunk)))
        return chunk.rows, 0


@pytest.mark.parametrize(("kind", "expected"), [(Mover, 13), (Blind, 26)])
def test_a_step_done_again_after_a_kill_doubles_nothing_unless_the_look_is_left_out(
    stores: Stores, month: int, kind: type[Mover], expected: int
) -> None:
    stores.land(month, 10)
    stores.land(month, 3)
    stores.mover.close()
    one = kind()
    stores.open(one)
    one.step(month, "0", False)
    one.step(month, "0", False)  # the checkpoint had not reached the disk
    one.close()
    stores.open(stores.mover)
    assert stores.counted(month) == (13, expected)
    assert walk(stores.mover, month, verify=True)["mended"] == expected - 13  # 0, or all of it: copied anew
    assert stores.counted(month) == (13, 13)


def test_a_part_of_a_chunk_that_is_there_is_not_sent_again(stores: Stores, month: int) -> None:
    stores.land(month, 10)
    walk(stores.mover, month)
    stores.land(month, 3)
    assert walk(stores.mover, month)["copied"] == 3
    assert stores.counted(month) == (13, 13)


def test_rows_corrected_erased_or_added_at_the_source_are_copied_anew_and_only_their_batches(
    stores: Stores, month: int
) -> None:
    same, corrected, erased, gone = (stores.land(month, 10) for _ in range(4))
    walk(stores.mover, month)
    where = "_batch = $1"
    stores.sql(
        f"UPDATE facts SET props = '{{\"n\": \"x\"}}' WHERE {where} AND props->>'n' LIKE '%3'", uuid.UUID(int=corrected)
    )
    stores.sql(f"DELETE FROM facts WHERE {where} AND props->>'n' LIKE '%7'", uuid.UUID(int=erased))
    stores.sql(f"DELETE FROM facts WHERE {where}", uuid.UUID(int=gone))
    assert walk(stores.mover, month, verify=True) == {"rows": 29, "copied": 0, "mended": 19}
    assert stores.counted(month) == (29, 29)
    assert walk(stores.mover, month, verify=True)["mended"] == 0
    target = stores.mover._stores()[1]
    assert target.counts(month, [same, corrected, erased, gone]) == {same: 10, corrected: 10, erased: 9}


def test_a_target_with_events_of_others_is_refused_and_left_as_it_is(stores: Stores, month: int) -> None:
    walk(stores.mover, month)
    ours = stores.land(month, 10)
    walk(stores.mover, month)
    source, target = stores.mover._stores()
    target.put(Chunk(month, {7: 10}), {**source.read(Chunk(month, {ours: 10})), "_batch": (7,) * 10}, lambda: None)
    with pytest.raises(StoreReject, match=r"holds 1 batches .* never were in the source: 0{31}7"):
        walk(stores.mover, month)
    assert stores.counted(month) == (10, 20)


def test_what_landed_since_a_moment_is_copied_and_verified_once(stores: Stores, month: int) -> None:
    now = stores.mover._stores()[0].now_ms()
    stores.sql("UPDATE batches SET at = at - interval '1 day'")
    old, late = stores.land(month, 10), stores.land(month, 3)
    stores.sql("UPDATE batches SET at = at - interval '1 day' WHERE id = $1", uuid.UUID(int=old))
    step = stores.mover.late(now, 0, "0")
    assert (step["rows"], step["copied"], step["done"], int(step["after"], 16)) == (3, 3, True, late)
    assert stores.counted(month) == (13, 3)
    assert stores.mover.late(now, 0, "0")["rows"] == 0
    stores.sql("DELETE FROM facts WHERE _batch = $1", uuid.UUID(int=late))
    stores.mover.late(now, 0, "0")
    assert stores.counted(month) == (10, 0)


def value_text(kind: str, value: Any) -> str:
    if kind == "uuid":
        return str(uuid.UUID(bytes=value))
    return f"{value:032x}" if kind == "batch" else str(value)


def hashed(text: str) -> int:
    return int(hashlib.md5(text.encode()).hexdigest()[:15], 16)


def by_hand(rows: Mapping[str, Sequence[Any]]) -> dict[str, int]:
    """The checksums, slowly."""
    found = {checksums.COUNT: len(rows["site"])}
    for field in FIELDS:
        if field.kind == "map":
            found[field.name] = sum(hashed(f"{k}\x01{v}") for pairs in rows[field.name] for k, v in pairs.items())
        else:
            found[field.name] = sum(hashed(value_text(field.kind, value)) for value in rows[field.name])
    kinds = {field.name: field.kind for field in FIELDS}
    joined = zip(*([value_text(kinds[name], value) for value in rows[name]] for name in checksums._JOINED), strict=True)
    return {**found, checksums.ROW: sum(hashed("\x01".join(texts)) for texts in joined)}


def test_both_stores_compute_the_checksums_that_a_slow_sum_gives_for_odd_values_too(stores: Stores, month: int) -> None:
    odd: dict[str, Sequence[Any]] = {
        "visitor": [0, 2**63, 2**64 - 1],
        "revenue": [-1, 10**18 - 1, 0],
        "asn": [0, 2**32 - 1, 1],
        "time": [0, 1, 1_763_900_000_001],
        "path": ["/ä\U0001f600", "", "/a'b\\c\"d\x01e"],
        "city": ["", "", "São Paulo"],
        "user_id": ["", "1", "1"],
        "props": [{}, {"a": 'q"\\\n\t', "ß": "", "aa": "b"}, {"long": "x" * 1000}],
        "event_id": [bytes(16), b"\xff" * 16, event_id(1)],
    }
    batch_id = stores.land(month, 3, **odd)
    walk(stores.mover, month)
    source, target = stores.mover._stores()
    read = source.read(Chunk(month, {batch_id: 3}))
    order = [list(read["event_id"]).index(each) for each in odd["event_id"]]
    assert {name: [read[name][n] for n in order] for name in odd} == odd
    expected = by_hand(read)
    assert source.checksums(month, {batch_id: 3}) == expected
    assert target.checksums(month, {batch_id: 3}) == expected


def test_a_value_that_arrived_as_another_is_found_in_its_column(stores: Stores, month: int) -> None:
    source, target = stores.mover._stores()
    wrong = {"text": "x", "uint": 77, "money": 5, "time": 5, "uuid": bytes(16), "map": {"n": "x"}}
    for field in FIELDS:
        if field.name in ("received", "_batch"):
            continue  # another month, another batch: not found at all
        chunk = Chunk(month, {stores.land(month, 3): 3})
        read = source.read(chunk)
        target.put(chunk, {**read, field.name: [wrong[field.kind], *list(read[field.name])[1:]]}, lambda: None)
        found = checksums.differing(source.checksums(month, chunk.batches), target.checksums(month, chunk.batches))
        assert set(found) - {checksums.ROW} == {field.name}


def test_values_that_changed_rows_are_found_though_every_column_has_them_all(stores: Stores, month: int) -> None:
    batch_id = stores.land(month, 3)
    source, target = stores.mover._stores()
    chunk = Chunk(month, {batch_id: 3})
    read = source.read(chunk)
    target.put(chunk, {**read, "path": list(read["path"])[::-1]}, lambda: None)
    found = checksums.differing(source.checksums(month, chunk.batches), target.checksums(month, chunk.batches))
    assert found == [checksums.ROW]


def test_a_server_as_the_target_is_filled_alike(stores: Stores, month: int, tmp_path: Path) -> None:
    for rows in (10, 3):
        stores.land(month, rows)
    with FrontProcess(tmp_path / "front") as server:
        one = Mover()
        stores.open(one, server.url)
        one._stores()[1].kill()  # whatever a mover before has left running
        assert walk(one, month) == {"rows": 13, "copied": 13, "mended": 0}
        assert walk(one, month, verify=True) == {"rows": 13, "copied": 0, "mended": 0}
        one.close()


def test_a_plan_reads_and_writes_nothing(stores: Stores, month: int) -> None:
    stores.land(month, 10)
    one = Mover()
    assert "there" not in one.open(stores.url, "", str(stores.directory), 20.0, 2**30, False)
    plan = one.plan()
    assert {"month": month, "rows": 10} in plan["months"]
    assert plan["bytes"] > 0 and plan["seconds"] > 0
    with pytest.raises(StoreAway):
        one.months()
    one.close()
    assert stores.counted(month) == (10, 0)


def test_a_database_without_our_tables_is_refused(stores: Stores) -> None:
    source = Source(stores.cluster.database("somebody_elses"), 20.0)
    with pytest.raises(StoreReject, match="has no events of ours"):
        source.open()
    source.close()


def test_a_server_that_is_away_is_said_to_be_and_found_again(postgres: Cluster) -> None:
    source = Source("postgresql://postgres@127.0.0.1:1/x", 2.0)
    with pytest.raises(StoreAway):
        source.open()
