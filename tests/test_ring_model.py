"""Writer, reader and crashes against a list.

A ring of 4 KiB goes round all the time. A crash stops the writer between any two stores, or in the
middle of copying a record; what was published must be there, byte for byte, and nothing else.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.rings import WRITERS, as_row, blank, row
from trackflowd.errors import RingDamaged, RingFull
from trackflowd.ring import reader as reader_module
from trackflowd.ring.reader import Reader
from trackflowd.ring.writer import Row, Writer

#: 500 take about 7 s on a busy core; by hand 100 are enough for a look, and `make test-model` takes 10,000.
EXAMPLES = int(os.environ.get("EXAMPLES") or (500 if os.environ.get("CI") == "true" else 100))

SIZES = st.lists(st.integers(0, 456), min_size=1, max_size=4)


class Crash(Exception):
    """The writer is dead."""


class Fuse:
    """Lets a number of stores through, then dies; the last one may be half done."""

    def __init__(self) -> None:
        self.stores = 2**60
        self.part = 0.0

    def burn(self) -> bool:
        """Whether this store still happens."""
        self.stores -= 1
        return self.stores >= 0


class Fused:
    """A buffer or view whose stores burn the fuse."""

    def __init__(self, target: Any, fuse: Fuse) -> None:
        self._target = target
        self._fuse = fuse

    def __getitem__(self, at: Any) -> Any:
        return self._target[at]

    def __setitem__(self, at: Any, value: Any) -> None:
        if self._fuse.burn():
            self._target[at] = value
            return
        if isinstance(at, slice):  # a copy of many bytes can stop half way; a word cannot
            done = int(len(value) * self._fuse.part)
            self._target[at.start : at.start + done] = value[:done]
        raise Crash

    def release(self) -> None:
        self._target.release()


class RingModel(RuleBasedStateMachine):
    """The ring beside a list of the rows it must hold."""

    kind = "right"

    def __init__(self) -> None:
        super().__init__()
        self.ring = blank()
        self.reader = Reader(self.ring)
        self.fuse = Fuse()
        self.held: list[Row] = []
        self.staged: list[Row] = []
        self.number = 0
        self.open_writer()

    def open_writer(self) -> None:
        self.fuse.stores = 2**60
        self.writer: Writer = WRITERS[self.kind](self.ring)
        for name in ("_buffer", "_words", "_crcs"):
            setattr(self.writer, name, Fused(getattr(self.writer, name), self.fuse))

    def rows(self, sizes: list[int]) -> list[Row]:
        self.number += len(sizes)
        rows = [row(self.number + n, size) for n, size in enumerate(sizes)]
        while sum(self.writer.footprint(len(one[4])) for one in rows) > self.writer.max_request:
            rows.pop()
        return rows

    def append(self, rows: list[Row]) -> None:
        """Full exactly when the list says so."""
        need, position = 0, self.writer.staged
        for one in rows:
            rest, size = -position % 4096, self.writer.footprint(len(one[4]))
            step = size + (rest if size > rest else 0)
            need, position = need + step, position + step
        fits = position - self.reader.tail <= 4096
        try:
            self.writer.append(rows)
        except RingFull:
            assert not fits
        else:
            assert fits
            self.staged += rows

    @rule(sizes=SIZES)
    def append_rows(self, sizes: list[int]) -> None:
        self.append(self.rows(sizes))

    @rule()
    def publish(self) -> None:
        self.writer.publish()
        self.held += self.staged
        self.staged = []

    @rule()
    def abandon(self) -> None:
        self.writer.abandon()
        self.staged = []

    @rule(count=st.integers(1, 6))
    def give_back(self, count: int) -> None:
        records, damaged = self.reader.records(self.reader.tail, self.reader.head, count, 2**30)
        assert not damaged
        if records:
            self.reader.store_tail(records[-1][1])
            del self.held[: len(records)]

    @rule(sizes=SIZES, stores=st.integers(0, 14), part=st.floats(0, 1, exclude_max=True))
    def crash(self, sizes: list[int], stores: int, part: float) -> None:
        """Die within append and publish, or live through them."""
        self.fuse.stores, self.fuse.part = stores, part
        try:
            self.append(self.rows(sizes))
            self.publish()
        except Crash:
            self.staged = []
        finally:
            self.fuse.stores = 2**60
        self.look()
        self.open_writer()
        self.staged = []

    @rule()
    def reopen(self) -> None:
        """Both processes start anew; what was not published is gone."""
        self.reader = Reader(self.ring)
        self.open_writer()
        self.staged = []

    @invariant()
    def look(self) -> None:
        """The ring holds what the list holds."""
        tail, head = self.reader.tail, self.reader.head
        records, damaged = self.reader.records(tail, head, 1000, 2**30)
        assert not damaged
        assert [as_row(record) for record in records] == self.held
        assert not head - tail or records


def model(kind: str) -> type[RingModel]:
    return type(f"Ring_{kind}", (RingModel,), {"kind": kind})


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "TRIES", 2)


def test_the_ring_holds_what_a_list_holds_whatever_crashes() -> None:
    run_state_machine_as_test(
        model("right"), settings=settings(max_examples=EXAMPLES, stateful_step_count=30, deadline=None)
    )


@pytest.mark.parametrize("kind", ["zero_first", "head_first"])
def test_the_model_catches_a_writer_that_is_wrong(kind: str) -> None:
    once = settings(
        max_examples=500,
        stateful_step_count=30,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        derandomize=True,
    )
    with pytest.raises((AssertionError, RingDamaged)):
        run_state_machine_as_test(model(kind), settings=once)
