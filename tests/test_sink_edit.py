"""Edits of events that are there (``sink.edit.Editor``), alike over chDB, a ClickHouse server and PostgreSQL."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest

from tests.batches import PARTITION, batch
from tests.process.harness import until
from tests.rows import NOW, event_id, values_of
from tests.sinks import LIMITS, of_every_kind
from trackflowd.errors import StoreAway
from trackflowd.selection import Selection, Tombstone, where
from trackflowd.sink.base import Batch, Sink
from trackflowd.sink.edit import NoEvents, Piece

BATCH_IDS = count(2**101)
EVER = NOW + 10**9
ODD = "O'Brien\\'; DROP TABLE facts; -- {x:String} $1 ü\n\t"

sink = of_every_kind("edits")


def made(rows: int, first: int = 0, site: str = "s", **columns: Any) -> Batch:
    """A batch; further columns by name, one value for all its rows or one for each."""
    plain = batch(next(BATCH_IDS), range(first, first + rows), site=site)
    own = {name: list(value) if isinstance(value, list) else [value] * rows for name, value in columns.items()}
    return Batch(plain.batch_id, 1, PARTITION, rows, {**plain.columns, **own})


def erase(sink: Sink, tombstone: Tombstone) -> None:
    """All of a month, as the eraser has it done."""
    at = [0]

    def over() -> bool:
        piece = sink.edit.erase(tombstone, PARTITION, at[0])
        at[0] = piece.next or 0
        return piece.next is None

    until(over)


def ids(sink: Sink, site: str) -> list[str]:
    sql = "SELECT event_id FROM events WHERE site = {s:String} ORDER BY time"
    return [json.loads(line)["event_id"] for line in sink.query(sql, "json", LIMITS, {"s": site}).splitlines()]


def names(numbers: Sequence[int]) -> list[str]:
    return [str(uuid.UUID(bytes=event_id(n))) for n in numbers]


def test_an_erasure_takes_what_is_named_and_nothing_else_whatever_a_user_is_called(sink: Sink) -> None:
    users = [ODD if n % 3 == 0 else f"user-{n}" for n in range(30)]
    sink.insert(made(30, site="odd", user_id=users))
    sink.insert(made(5, first=100, site="other", user_id=ODD))
    erase(sink, Tombstone(Selection(site="odd", user=ODD), EVER))
    assert ids(sink, "odd") == names([n for n in range(30) if n % 3])
    assert len(ids(sink, "other")) == 5
    erase(sink, Tombstone(Selection(site="odd", user=ODD), EVER))
    assert len(ids(sink, "odd")) == 20


def test_rows_received_after_it_was_asked_for_stay(sink: Sink) -> None:
    sink.insert(made(10, site="later", user_id="u"))
    erase(sink, Tombstone(Selection(site="later"), NOW + 4))
    assert ids(sink, "later") == names(range(5, 10))


def selections(site: str) -> list[Selection]:
    """One of every kind, and mixed ones; rows are those of ``tests.rows.values_of``."""
    return [
        Selection(site=site),
        Selection(site=site, event=event_id(7)),
        Selection(site=site, visitor=2**64 - 1 - 11),
        Selection(site=site, visitor=3),
        Selection(site=site, from_ms=NOW + 10),
        Selection(site=site, to_ms=NOW + 10),
        Selection(site=site, name="pageview", from_ms=NOW + 3, to_ms=NOW + 17),
        Selection(site=site, user="user_id-3", from_ms=NOW + 5),
        Selection(site=site, name="nothing"),
        Selection(event=event_id(7), user="user_id-0"),
    ]


def fields(n: int, site: str) -> dict[str, Any]:
    return values_of(n, site) | {"event_id": event_id(n), "received": NOW + n}


def test_every_kind_of_selection_names_in_the_store_what_it_names_in_memory(sink: Sink) -> None:
    sink.insert(sent := made(40, site="kinds"))
    sink.insert(made(40, site="kinds2"))
    store = "postgresql" if sink.identity.startswith("postgresql") else "clickhouse"
    for what in selections("kinds"):
        for until_ms in (EVER, NOW + 12):
            one = Tombstone(what, until_ms)
            left = [n for n in range(40) if not one.names(fields(n, "kinds"))]
            assert sink.edit.count_left(sent.batch_id, PARTITION, [one]) == len(left), one
            sql, values = where(one.conditions(), store)
            answer = sink.query(
                f"SELECT count(*) AS n FROM events WHERE site = 'kinds' AND {sql}", "json", LIMITS, values
            )
            assert json.loads(answer)["n"] == 40 - len(left), one


def test_what_is_left_of_a_batch_is_counted_alike_before_and_after_a_delete_and_halfway(sink: Sink) -> None:
    sink.insert(sent := made(40, site="left"))
    tombstones = [Tombstone(what, EVER) for what in selections("left")[1:9:2]]
    left = sum(not any(one.names(fields(n, "left")) for one in tombstones) for n in range(40))
    assert 0 < left < 40
    for one in [*tombstones, *tombstones]:
        assert sink.edit.count_left(sent.batch_id, PARTITION, tombstones) == left
        erase(sink, one)
    assert sink.edit.count_left(sent.batch_id, PARTITION, tombstones) == sink.count(sent.batch_id, PARTITION) == left
    assert sink.edit.count_left(sent.batch_id, PARTITION + 1, tombstones) == 0


def test_a_site_that_is_gone_altogether_names_nothing_any_more(sink: Sink) -> None:
    """In PostgreSQL its row of the dimension is gone too: comparing with it must not make a batch look torn."""
    mixed = made(20, site="stays")
    mixed = Batch(mixed.batch_id, 1, PARTITION, 20, {**mixed.columns, "site": ["stays"] * 12 + ["goes"] * 8})
    sink.insert(mixed)
    gone = [Tombstone(Selection(site="goes"), EVER)]
    erase(sink, gone[0])
    sink.edit.sweep()
    assert sink.edit.count_left(mixed.batch_id, PARTITION, gone) == 12
    sink.edit.clear(mixed.batch_id, PARTITION, gone)
    assert sink.count(mixed.batch_id, PARTITION) == 12


def test_clearing_a_batch_takes_what_is_named_of_that_batch_alone(sink: Sink) -> None:
    sink.insert(one := made(10, site="clear", user_id=["u", "v"] * 5))
    sink.insert(two := made(10, first=10, site="clear", user_id="u"))
    for _ in range(2):
        sink.edit.clear(one.batch_id, PARTITION, [Tombstone(Selection(user="u"), EVER)])
        assert (sink.count(one.batch_id, PARTITION), sink.count(two.batch_id, PARTITION)) == (5, 10)


def test_what_is_left_of_a_batch_lands_under_its_own_id_after_it_was_deleted(sink: Sink) -> None:
    whole = made(10, site="again", user_id=["u", "v"] * 5)
    without = [Tombstone(Selection(site="again", user="u"), EVER)]
    sink.insert(whole)
    sink.delete(whole.batch_id, PARTITION)
    left = {name: list(values)[1::2] for name, values in whole.columns.items()}
    sink.insert(Batch(whole.batch_id, 2, PARTITION, 5, left))
    assert sink.edit.count_left(whole.batch_id, PARTITION, without) == sink.count(whole.batch_id, PARTITION) == 5
    assert ids(sink, "again") == names(range(1, 10, 2))


def props(sink: Sink, site: str) -> list[dict[str, str]]:
    sql = "SELECT props FROM events WHERE site = {s:String} ORDER BY time"
    return [json.loads(line)["props"] for line in sink.query(sql, "json", LIMITS, {"s": site}).splitlines()]


@pytest.mark.parametrize("new", [{"a": "1"}, {ODD: ODD, "ä": "", "q": '"'}, {}])
def test_properties_of_one_event_are_replaced(sink: Sink, new: dict[str, str]) -> None:
    site = f"props{len(new)}"
    sink.insert(sent := made(5, site=site))
    before = props(sink, site)
    sink.edit.correct(site, event_id(3), PARTITION, new)
    until(lambda: props(sink, site)[3] == new)
    assert [*props(sink, site)[:3], props(sink, site)[4]] == [*before[:3], before[4]]
    assert sink.count(sent.batch_id, PARTITION) == 5


def test_deletes_beside_each_other_leave_what_neither_names(sink: Sink) -> None:
    seed = random.Random(7)
    users = [f"u{seed.randrange(9)}" for _ in range(200)]
    sink.insert(made(200, site="many", user_id=users))
    doomed = {f"u{n}" for n in range(0, 9, 2)}
    for user in sorted(doomed):
        erase(sink, Tombstone(Selection(site="many", user=user), EVER))
    assert ids(sink, "many") == names([n for n in range(200) if users[n] not in doomed])


def test_a_store_that_is_closed_is_away(sink: Sink) -> None:
    one = Tombstone(Selection(site="x"), EVER)
    sink.close()
    for call in (
        lambda: sink.edit.count_left(1, PARTITION, [one]),
        lambda: sink.edit.clear(1, PARTITION, [one]),
        lambda: sink.edit.erase(one, PARTITION, 0),
        lambda: sink.edit.correct("s", event_id(1), PARTITION, {}),
    ):
        with pytest.raises(StoreAway):
            call()
    sink.open()


def test_a_store_that_keeps_no_events_has_nothing_to_edit() -> None:
    edit, one = NoEvents(), Tombstone(Selection(site="x"), EVER)
    assert edit.erase(one, PARTITION, 0) == Piece(None)
    assert (edit.count_left(1, PARTITION, [one]), edit.sweep()) == (0, 0)
    edit.clear(1, PARTITION, [one])
    edit.correct("s", event_id(1), PARTITION, {})
