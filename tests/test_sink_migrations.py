"""sink.migrations: the files, the order, and stores of earlier and later schemas."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.batches import PARTITION, batch
from trackflowd.errors import StoreAway, StoreReject
from trackflowd.event import FIELDS
from trackflowd.sink import engine, migrations, native_block
from trackflowd.sink.base import QueryLimits, SinkOptions
from trackflowd.sink.clickhouse import ClickHouseSink
from trackflowd.sink.migrations import Migration

KNOWN = migrations.load("clickhouse")
FIRST, SECOND = KNOWN[0], KNOWN[1]
LIMITS = QueryLimits()

#: The statements stores have applied: the first 16 digits of their SHA-256. A line once here stays as it is: who wants
#: other tables writes one more migration, or stores of before and of after are not the same.
APPLIED = {
    "clickhouse/0001_events": "665e0dd685e92951",
    "clickhouse/0002_event_id_index": "beab0ffc3d91c71e",
    "clickhouse/0003_ip": "795208a378369d74",
    "clickhouse/0004_stamps": "92c5136f896ca1e1",
    "postgresql/0001_events": "961aeb315dd70adc",
    "postgresql/0002_users": "b7491e4be6c9a388",
    "postgresql/0003_counted": "0427d72624611460",
    "postgresql/0004_ip": "a34443b2f74ac53c",
}


@contextmanager
def opened(data: Path, retention_days: int = 0) -> Iterator[ClickHouseSink]:
    sink = ClickHouseSink("chdb:", SinkOptions(data, memory=2**30, retention_days=retention_days))
    try:
        sink.open()
        yield sink
    finally:
        sink.close()


def versions(sink: ClickHouseSink) -> list[int]:
    return [
        int(line) for line in sink.query("SELECT version FROM trackflow_schema ORDER BY 1", "csv", LIMITS).split()[1:]
    ]


@contextmanager
def knowing(monkeypatch: pytest.MonkeyPatch, *known: Migration) -> Iterator[None]:
    """As if the program knew these only."""
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "load", lambda store: known)
        yield


def test_the_files_are_numbered_from_one_without_gaps() -> None:
    assert [each.version for each in KNOWN] == list(range(1, len(KNOWN) + 1))
    assert len(KNOWN) >= 2
    assert all(each.statements and re.fullmatch(r"[a-z][a-z0-9_]*", each.name) for each in KNOWN)


def test_a_migration_that_stores_have_applied_stays_as_it_is() -> None:
    def digest(migration: Migration) -> str:
        return hashlib.sha256("\0".join(migration.statements).encode()).hexdigest()[:16]

    stores = {store: migrations.load(store) for store in ("clickhouse", "postgresql")}
    assert APPLIED == {f"{k}/{one.version:04d}_{one.name}": digest(one) for k, known in stores.items() for one in known}


def test_the_schema_has_the_fields_as_columns() -> None:
    body = FIRST.statements[0].partition("(\n")[2]
    columns = re.findall(r"^    (?!INDEX)(\w+) (.*?)(?: CODEC\(.*\))?,$", body, re.M)
    added = r"^ALTER TABLE events ADD COLUMN IF NOT EXISTS (\w+) (.*?)(?: CODEC\(.*\))?$"
    columns += [found for each in KNOWN for text in each.statements for found in re.findall(added, text)]
    assert columns == [(field.name, field.clickhouse) for field in FIELDS]


def test_the_documented_columns_are_the_fields() -> None:
    page = (Path(__file__).parent.parent / "docs" / "schema.md").read_text()
    documented = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \| (.*) \|$", page, re.M)
    assert documented == [(field.name, field.clickhouse, field.postgres, field.meaning) for field in FIELDS]
    for migration in (*KNOWN, *migrations.load("postgresql")):
        assert f"`{migration.version:04d}_{migration.name}`" in page


def test_a_file_is_split_at_the_ends_of_its_statements() -> None:
    assert migrations.split("-- a; b;\nSELECT ';'\n-- c\n, 1;\n\nSELECT 2;\n") == ("SELECT ';'\n, 1", "SELECT 2")
    assert migrations.split("-- nothing\n") == ()


def test_only_what_is_missing_runs_in_order_and_is_noted_after_its_last_statement() -> None:
    known = [Migration(3, "c", ("e",)), Migration(1, "a", ("never",)), Migration(2, "b", ("c", "d"))]
    done: list[str] = []
    assert migrations.apply(known, lambda: {1}, done.append, lambda each: done.append(f"noted {each.version}")) == 3
    assert done == ["c", "d", "noted 2", "e", "noted 3"]


def test_a_new_store_has_the_fields_as_columns_and_every_change_noted(tmp_path: Path) -> None:
    with opened(tmp_path) as sink:
        sql = "SELECT name, type FROM system.columns WHERE table = 'events' AND database = 'default' ORDER BY position"
        asked = sink.query(sql, "csv", LIMITS).decode().splitlines()[1:]
        assert asked == [f'"{field.name}","{field.clickhouse}"' for field in FIELDS]
        assert versions(sink) == [each.version for each in KNOWN]


def test_a_store_of_schema_one_with_rows_goes_on_through_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = batch(1, range(1000))
    with knowing(monkeypatch, FIRST), monkeypatch.context() as before, opened(tmp_path) as sink:
        before.setattr(native_block, "_COLUMNS", [each for each in native_block._COLUMNS if each[0] != "ip"])
        before.setattr(engine, "_COLUMNS", [name for name in engine._COLUMNS if name != "ip"])
        assert versions(sink) == [1]
        sink.insert(old)
    with opened(tmp_path) as sink:
        assert versions(sink) == [each.version for each in KNOWN]
        sink.insert(batch(2, range(1000, 3000)))
        assert (sink.count(1, PARTITION), sink.count(2, PARTITION)) == (1000, 2000)
        assert sink.query("SELECT DISTINCT ip FROM events", "csv", LIMITS).split()[1:] == [b'""']
        index = "SELECT name FROM system.data_skipping_indices WHERE table = 'events' ORDER BY name"
        assert sink.query(index, "csv", LIMITS).split()[1:] == [b'"batch_minmax"', b'"event_id_bloom"']
        ids = list(zip(old.columns["site"], old.columns["event_id"], strict=True))
        assert sink.present(ids) == set(ids)


@pytest.mark.parametrize("ran", range(len(SECOND.statements) + 1))
def test_a_change_that_was_cut_short_is_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ran: int
) -> None:
    class Killed(Exception):
        pass

    cut_short = Migration(2, SECOND.name, (*SECOND.statements[:ran], "SELECT throwIf(1, 'killed')"))
    with knowing(monkeypatch, FIRST, cut_short), pytest.raises(StoreAway, match="killed"), opened(tmp_path):
        pass
    with opened(tmp_path) as sink:
        assert versions(sink) == [each.version for each in KNOWN]
        sink.insert(batch(1, range(10)))
        assert sink.count(1, PARTITION) == 10


def test_a_store_of_a_later_program_is_refused_and_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as sink:
        assert sink._asker is not None
        sink._asker.command("INSERT INTO trackflow_schema (version, name) VALUES (99, 'of the future')")
    with pytest.raises(StoreReject, match="version 99, this program knows"), opened(tmp_path):
        pass
    with knowing(monkeypatch, *KNOWN, Migration(99, "of the future", ())), opened(tmp_path) as sink:
        assert versions(sink) == [*(each.version for each in KNOWN), 99]


def test_retention_is_set_changed_and_taken_off(tmp_path: Path) -> None:
    sql = "SELECT extract(engine_full, 'TTL (.*?) SETTINGS') AS ttl FROM system.tables WHERE name = 'events'"
    for days, ttl in [(0, ""), (30, "toDateTime(received) + toIntervalDay(30)"), (30, None), (7, None), (0, "")]:
        with opened(tmp_path, days) as sink:
            found = sink.query(sql, "csv", LIMITS).decode().splitlines()[1].strip('"')
        assert found == (ttl if ttl is not None else f"toDateTime(received) + toIntervalDay({days})")
