"""Erasure and exactly once: whatever becomes of sendings and deletes, what is left is there once, what is named is not.

The model is a store that keeps rows, tokens and sendings that land late (as in test_settle), in front of the real
settler, the real batch in memory and real tombstones on disk. What a real flusher makes of them is in test_eraser.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.memory_edit import MemoryEditor
from tests.rows import NOW, event_id, site_hash
from tests.rows import payload as made_payload
from tests.test_settle import SENDINGS
from trackflowd.batch import Columns, checksum
from trackflowd.cuts import Cut
from trackflowd.erasure import Erasures
from trackflowd.errors import DataDirError, StoreAway, StoreDoubt, StoreFailed, StoreReject
from trackflowd.openbatch import Open
from trackflowd.ring.layout import CLIENT_ID, Record
from trackflowd.selection import Selection, Tombstone
from trackflowd.settle import Settler, Verdict
from trackflowd.sink.base import Batch, Format, Params, QueryLimits
from trackflowd.state import State
from trackflowd.tombstones import FILE, Tombstones

ROWS = 10
BATCH = 7
#: ``tests.rows``: the user of row n is "user_id-(n % 7)".
ALICE = Selection(user="user_id-3")


def rows_of(numbers: Sequence[int], received: int = NOW) -> list[Record]:
    """Rows as a ring gives them; the nth is received n ms later."""
    return [
        Record(0, 0, event_id(n), site_hash("example.org"), received + n, CLIENT_ID, made_payload(n)) for n in numbers
    ]


class Store:
    """Rows, tokens and sendings that run on; ``plan`` says what becomes of each next sending."""

    identity = "model:"
    vouches = True

    def __init__(self, plan: list[str]) -> None:
        self.plan = plan
        self.batches: dict[int, list[bytes]] = {}
        self.tokens: set[str] = set()
        self.running: list[Batch] = []
        self.sent: Counter[bytes] = Counter()
        self.edit = MemoryEditor(self.batches)

    def open(self) -> None: ...

    def close(self) -> None: ...

    def confirm(self) -> None: ...

    def insert(self, batch: Batch) -> None:
        fate = self.plan.pop(0) if self.plan else "ok"
        self.edit.note(batch)
        self.sent.update(batch.columns["event_id"])
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
            return
        self.tokens.add(batch.token)
        if fate == "token only, doubt":
            raise StoreDoubt("killed before the rename")
        self._keep(batch, batch.rows // 2 if fate == "part, doubt" else batch.rows)
        if fate == "kept, rejected":
            raise StoreReject("while pushing to a view")
        if fate == "kept, failed":
            raise StoreFailed("code 999")
        if fate != "ok":
            raise StoreDoubt("answer lost")

    def _keep(self, batch: Batch, rows: int) -> None:
        self.batches.setdefault(batch.batch_id, []).extend(batch.columns["event_id"][:rows])

    def late(self) -> None:
        """One sending that still runs lands now."""
        if self.running:
            batch = self.running.pop(0)
            if batch.token not in self.tokens:
                self.tokens.add(batch.token)
                self._keep(batch, batch.rows)

    def count(self, batch_id: int, partition: int) -> int:
        return len(self.batches.get(batch_id, ()))

    def kill(self, batch: Batch) -> None:
        self.running = [one for one in self.running if one.batch_id != batch.batch_id]

    def delete(self, batch_id: int, partition: int) -> None:
        self.batches.pop(batch_id, None)

    def present(self, ids: Sequence[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
        return set()

    def table_fault(self) -> str:
        return ""

    def query(self, sql: str, fmt: Format, limits: QueryLimits, params: Params | None = None) -> bytes:
        return b""

    def erase(self, what: Tombstone) -> None:
        """All of it, as the eraser has it done."""
        at: int | None = 0
        while at is not None:
            at = self.edit.erase(what, 202511, at).next

    @property
    def ids(self) -> Counter[bytes]:
        return Counter(one for ids in self.batches.values() for one in ids)


class Case:
    """One batch on its way, as the lander leads it, and an erasure that comes in between.

    Args:
        rows: of the batch.
        plan: what becomes of its sendings.
        in_doubt: it was sent before a restart, and by that plan's first word.
    """

    def __init__(self, directory: Path, rows: list[Record], plan: list[str], in_doubt: bool) -> None:
        self.rows = rows
        self.store = Store(plan)
        self.erasures = Erasures(directory)
        self.table = Tombstones(State(directory), directory)
        cut = Cut(BATCH, NOW, 1, "model:", 202511, len(rows), checksum(rows), 1, (0, 0), ())
        self.one = Open(cut, in_doubt)
        self.columns = Columns()
        if in_doubt:
            with_all = Batch(BATCH, 1, 202511, len(rows), self.columns.build(rows, BATCH))
            try:
                self.store.insert(with_all)
            except (StoreAway, StoreDoubt, StoreReject):
                pass

    def ask(self, what: Selection) -> Tombstone:
        """What an operator does first."""
        tombstone = self.table.add(what, NOW + 10**6)
        self.erasures.load()
        return tombstone

    def turn(self) -> bool:
        """One try; whether the batch is settled."""
        case = self.one.case
        if case is None or not case.batch.columns or case.version != self.erasures.version:
            case = self.one.case_of(self.erasures, self.rows, self.columns)
        try:
            verdict = Settler(self.store).settle(case)
        except (StoreAway, StoreDoubt):
            return False
        if verdict is Verdict.FRESH:
            self.one.cut = replace(self.one.cut, attempt=case.batch.attempt)
        return verdict is Verdict.HELD


@settings(max_examples=400, deadline=None)
@given(
    plan=st.lists(st.sampled_from(SENDINGS), max_size=6),
    numbers=st.lists(st.integers(0, ROWS), min_size=1, max_size=ROWS, unique=True),
    named=st.integers(0, ROWS),
    in_doubt=st.booleans(),
    asked_at=st.integers(0, 6),
    erased_at=st.sets(st.integers(0, 8)),
    late_at=st.sets(st.integers(0, 8)),
)
def test_what_is_left_is_there_once_and_what_is_named_is_not(
    plan: list[str],
    numbers: list[int],
    named: int,
    in_doubt: bool,
    asked_at: int,
    erased_at: set[int],
    late_at: set[int],
) -> None:
    what = Selection(to_ms=NOW + named)  # row n happened at NOW + n
    left = [event_id(n) for n in numbers if n >= named]
    with tempfile.TemporaryDirectory() as name:
        case = Case(Path(name), rows_of(numbers), plan, in_doubt)
        tombstone, erased = None, False
        for n in range(60):
            if n == asked_at:
                tombstone = case.ask(what)
            if n in erased_at and tombstone:
                case.store.erase(tombstone)
                erased = True
            if n in late_at:
                case.store.late()
            if case.turn():
                break
        else:
            raise AssertionError("never settled")
        if not erased:  # its turn comes when the batch is settled
            case.store.erase(tombstone or case.ask(what))
        assert case.store.ids == Counter(left)
        if not in_doubt and asked_at == 0:
            assert not set(case.store.sent) - set(left), "what is named is not even sent"
        # Settled, it is counted alike by a replay, and after the store lost it only what is left comes back.
        case.store.batches.clear()
        case.one = Open(replace(case.one.cut, attempt=9), doubt=True)
        while not case.turn():
            pass
        assert case.store.ids == Counter(left)


def test_a_batch_in_doubt_that_landed_whole_before_the_tombstone_is_cleared_before_it_is_settled(
    tmp_path: Path,
) -> None:
    case = Case(tmp_path, rows_of(range(8)), ["kept, doubt"], in_doubt=True)
    case.ask(ALICE)
    assert case.turn()
    assert case.store.edit.cleared == [BATCH]
    assert case.store.ids == Counter(event_id(n) for n in range(8) if n != 3)


def test_a_batch_with_nothing_left_is_settled_unsent(tmp_path: Path) -> None:
    case = Case(tmp_path, rows_of([3, 10]), [], in_doubt=False)
    case.ask(ALICE)
    assert case.turn()
    assert case.store.sent == Counter()
    assert case.one.left == 0


def test_what_was_received_later_is_left_and_costs_no_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Tombstones(State(tmp_path), tmp_path).add(ALICE, NOW + 5)
    erasures = Erasures(tmp_path)
    rows = rows_of(range(20))
    left, without = erasures.left(rows)
    assert [row[2] for row in left] == [event_id(n) for n in range(20) if n != 3], "10 and 17 came later"
    assert [one.what for one in without] == [ALICE]
    monkeypatch.setattr("trackflowd.erasure.fields_of", lambda row: pytest.fail("looked at"))
    late = rows_of(range(6, 20))
    assert erasures.left(late) == (late, ())
    assert erasures.left([]) == ([], ())


def test_of_many_tombstones_those_that_name_a_row_are_found(tmp_path: Path) -> None:
    table = Tombstones(State(tmp_path), tmp_path)
    whats = [
        *(Selection(user=f"nobody-{n}") for n in range(50)),
        Selection(event=event_id(1)),
        Selection(visitor=2**64 - 1 - 2),
        Selection(site="example.org", from_ms=NOW + 5, to_ms=NOW + 6),
        Selection(name="pageview", user="user_id-6"),
        Selection(to_ms=NOW + 1),
    ]
    for what in whats:
        table.add(what, NOW + 10**6)
    left, without = Erasures(tmp_path).left(rows_of(range(10)))
    assert [row[2] for row in left] == [event_id(n) for n in (3, 4, 7, 8, 9)]
    assert [one.what for one in without] == whats[50:]


def test_only_months_a_tombstone_reaches_are_named(tmp_path: Path) -> None:
    Tombstones(State(tmp_path), tmp_path).add(ALICE, NOW)
    erasures = Erasures(tmp_path)
    assert len(erasures.of_month(202511)) == len(erasures.of_month(202510)) == 1
    assert erasures.of_month(202512) == ()


def test_tombstones_that_cannot_be_read_stop_everything(tmp_path: Path) -> None:
    erasures = Erasures(tmp_path)
    Tombstones(State(tmp_path), tmp_path).add(ALICE, NOW)
    assert (erasures.load(), erasures.version, erasures.load(), erasures.version) == (1, 1, 1, 1)
    (tmp_path / FILE).write_bytes(b"\xc1")
    with pytest.raises(DataDirError):
        erasures.load()
    assert len(erasures.of_month(202511)) == 1
    with pytest.raises(DataDirError):
        Erasures(tmp_path)


def test_of_a_batch_that_cannot_be_read_any_row_that_is_left_speaks_for_all() -> None:
    store = Store([])
    rows = rows_of(range(8))
    store.insert(Batch(BATCH, 1, 202511, 8, Columns().build(rows, BATCH)))
    cut = Cut(BATCH, NOW, 1, "model:", 202511, 8, checksum(rows), 1, (0, 0), (), segment=BATCH)
    alice, all_of_it = Tombstone(ALICE, NOW + 10**6, 1), Tombstone(Selection(to_ms=NOW + 99), NOW + 10**6, 2)
    store.erase(alice)
    assert Settler(store).whole_or_none(cut, (alice,)) == 8
    assert store.count(BATCH, 202511) == 7, "nothing was deleted for looking torn"
    assert Settler(store).whole_or_none(cut, (all_of_it,)) == 0
