"""What a power cut leaves of a ring: every image a disk is free to hold, recovered as the flusher does it.

A machine of memory and disk: each store of writer, reader and syncer makes a new version of the blocks it
touches, ``fdatasync`` makes the disk forget the versions from before it began, and an image holds for every
block any version since (Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014). Blocks are
pages of 4096 bytes or sectors of 512. A copy that a page is written back in the middle of is two versions.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.rings import as_row, blank, row
from tests.test_ring_model import EXAMPLES
from trackflowd import feed as feed_module
from trackflowd.errors import RingFull
from trackflowd.feed import Feed
from trackflowd.ring import reader as reader_module
from trackflowd.ring import writer as writer_module
from trackflowd.ring.layout import HEADER_SIZE, SYNCED_AT, Record, encode_word
from trackflowd.ring.reader import Damage, Reader
from trackflowd.ring.writer import Row, Writer

#: Images looked at each time the power is cut.
IMAGES = 6
SEEDS = st.integers(0, 2**32 - 1)
#: Sizes of a request's records, as parts of the largest.
PARTS = (0.0, 0.1, 0.3, 0.5, 0.7, 1.0)
SHARES = st.lists(st.sampled_from(PARTS), min_size=1, max_size=3)


class Disk:
    """Versions of each block that the disk may hold; memory is what the processes see.

    Args:
        memory: the ring, on disk as it is.
        block: bytes that reach the disk whole or not at all.
    """

    def __init__(self, memory: bytearray, block: int) -> None:
        self.memory = memory
        self.block = block
        self.versions = [[bytes(memory[at : at + block])] for at in range(0, len(memory), block)]

    def stored(self, start: int, end: int) -> None:
        """Memory has changed from start to end."""
        for number in range(start // self.block, (end - 1) // self.block + 1):
            self.versions[number].append(bytes(self.memory[number * self.block : (number + 1) * self.block]))

    def newest(self) -> list[int]:
        """What ``fdatasync`` that begins now will have written."""
        return [len(versions) - 1 for versions in self.versions]

    def synced(self, least: list[int]) -> None:
        """``fdatasync`` has returned; nothing older is possible any more."""
        for versions, first in zip(self.versions, least, strict=True):
            del versions[:first]

    def image(self, dice: random.Random) -> bytearray:
        """One that a power cut may leave now. Half of them are of the oldest and newest blocks alone: the far ends."""
        extreme = dice.random() < 0.5
        chosen = [versions[dice.choice((0, -1))] if extreme else dice.choice(versions) for versions in self.versions]
        return bytearray(b"".join(chosen))


class Noted:
    """A buffer or view of the memory whose stores the disk learns of."""

    def __init__(self, target: Any, disk: Disk, size: int) -> None:
        self._target = target
        self._disk = disk
        self._size = size

    def __getitem__(self, at: Any) -> Any:
        return self._target[at]

    def __setitem__(self, at: Any, value: Any) -> None:
        if isinstance(at, slice):
            half = at.start + len(value) // 2
            self._target[at.start : half] = value[: half - at.start]
            self._disk.stored(at.start, max(half, at.start + 1))
            self._target[half : at.stop] = value[half - at.start :]
            self._disk.stored(at.start, at.stop)
        else:
            self._target[at] = value
            self._disk.stored(at * self._size, (at + 1) * self._size)

    def release(self) -> None:
        self._target.release()


class Recovery:
    """What the flusher makes of an image: as ``Feeds`` and ``Cutter`` go about a ring of another boot."""

    def __init__(self, image: bytearray, mark: int) -> None:
        self.feed = Feed(Path("image"), Reader(image), mark, salvage=True)
        self.records: list[Record] = []
        self.damage: list[Damage] = []
        feed = self.feed
        while feed.waiting:
            records, damage = feed.read(1000, 2**30)
            self.records += records
            assert records or damage, "the flusher would look at these bytes for ever"
            feed.position = damage.end if damage else records[-1][1]
            self.damage += [damage] if damage else []


class PowerCuts(RuleBasedStateMachine):
    """A ring with durability "disk" under traffic, and a look at what would be left, again and again."""

    @initialize(
        capacity=st.sampled_from((4096, 4096, 8192, 16384)),
        block=st.sampled_from((4096, 512)),
        turns=st.integers(0, 60),
        seed=SEEDS,
    )
    def make(self, capacity: int, block: int, turns: int, seed: int) -> None:
        self.memory = blank(capacity)
        self.disk = Disk(self.memory, block)
        self.reader = Reader(self.memory)
        self._note(self.reader, "_words")
        #: Every record ever begun at a position; the published one.
        self.begun: dict[int, list[Row]] = {}
        self.rows: dict[int, tuple[int, Row]] = {}
        self.staged: dict[int, tuple[int, Row]] = {}
        self.number = 0
        self.synced = 0
        self.mark = 0
        self.syncing: tuple[int, list[int]] | None = None
        self.open_writer()
        dice = random.Random(seed)
        for _ in range(turns):  # as far as the second and third lap
            self.turn([[dice.choice(PARTS)] for _ in range(dice.randrange(4))], [[dice.choice(PARTS)]], 12)

    def _note(self, user: Any, *names: str) -> None:
        for name in names:
            setattr(user, name, Noted(getattr(user, name), self.disk, {"_words": 8, "_crcs": 4}.get(name, 1)))

    @rule()
    def open_writer(self) -> None:
        """A new worker; what its predecessor had not published is not there for it."""
        self.writer = Writer(self.memory)
        self._note(self.writer, "_buffer", "_words", "_crcs")
        self.staged.clear()

    @rule(shares=SHARES)
    def append(self, shares: list[float]) -> None:
        most = self.writer.max_request // 4 - 64  # three of these and the largest pad are one request
        rows = [row(self.number + n, int(share * most)) for n, share in enumerate(shares)]
        position, places = self.writer.staged, {}
        for one in rows:
            size, rest = self.writer.footprint(len(one[4])), -position % self.reader.capacity
            position += rest if size > rest else 0
            places[position] = (position + size, one)
            position += size
        try:
            self.writer.append(rows)
        except RingFull:
            pass  # it may have written a part of them
        else:
            self.staged.update(places)
        self.number += len(rows)
        for place, (_, one) in places.items():
            self.begun.setdefault(place, []).append(one)

    @rule(requests=st.lists(SHARES, min_size=1, max_size=3))
    def traffic(self, requests: list[list[float]]) -> None:
        for shares in requests:
            self.append(shares)
        self.writer.publish()
        self.rows.update(self.staged)
        self.staged.clear()

    @rule()
    def sync_begins(self) -> None:
        """The syncer notes the head and calls ``fdatasync``."""
        self.syncing = self.writer.head, self.disk.newest()

    @rule(requests=st.lists(SHARES, max_size=2))
    def sync(self, requests: list[list[float]]) -> None:
        """It returns, requests having come meanwhile: what was below the head then is on disk, and may be answered."""
        if self.syncing is None:
            self.sync_begins()
        assert self.syncing is not None
        head, least = self.syncing
        self.traffic(requests)
        self.syncing = None
        self.disk.synced(least)
        self.store_synced(head)

    def store_synced(self, head: int) -> None:
        self.synced = head
        self.reader._words[SYNCED_AT // 8] = encode_word(head)

    @rule(count=st.integers(1, 12), confirmed=st.sampled_from((True, True, False)))
    def cut(self, count: int, confirmed: bool) -> None:
        """The flusher takes what is synced and journals that, durably; if the store then has it, the space is free."""
        records, damaged = self.reader.records(self.mark, self.synced, count, 2**30)
        assert not damaged
        self.mark = records[-1][1] if records else self.mark
        if confirmed:
            self.reader.store_tail(self.mark)

    @rule(requests=st.lists(SHARES, max_size=3), during=st.lists(SHARES, max_size=2), count=st.integers(0, 12))
    def turn(self, requests: list[list[float]], during: list[list[float]], count: int) -> None:
        """All of it, in order: a ring that is in good use."""
        self.traffic(requests)
        self.sync(during)
        self.cut(count, True)

    @rule(seed=SEEDS)
    def power_is_cut(self, seed: int) -> None:
        """Everything answered and not yet in the store is there; nothing is there that was never written."""
        dice = random.Random(seed)
        for _ in range(IMAGES):
            found = self.recover(self.disk.image(dice))
            self.must_be_ours(found)
            there = {record[0] for record in found.records}
            assert [position for position in self.owed(self.mark) if position not in there] == []
            assert [damage for damage in found.damage if damage.start < self.synced] == []
            assert SAID == []
            in_doubt = found.feed.read_range(self.reader.tail, self.mark)
            rows = [self.rows[position][1] for position in self.owed(self.reader.tail, self.mark)]
            assert [as_row(record) for record in in_doubt] == rows

    def recover(self, image: bytearray) -> Recovery:
        LOOKED["images"] += 1
        return Recovery(image, self.mark)

    @rule(seed=SEEDS)
    def disk_loses_a_block(self, seed: int) -> None:
        """What was synced and is gone is said to be gone."""
        dice = random.Random(seed)
        image = self.disk.image(dice)
        block = self.disk.block
        at = dice.randrange(HEADER_SIZE, len(image), block)
        image[at : at + block] = dice.choice((bytes(block), b"\xff" * block, dice.randbytes(block)))
        found = self.recover(image)
        SAID.clear()
        self.must_be_ours(found)
        there = {record[0] for record in found.records}
        for position in self.owed(self.mark):
            assert position in there or any(damage.start <= position < damage.end for damage in found.damage)

    def owed(self, start: int, end: int | None = None) -> list[int]:
        """Positions of the records from start on that were answered."""
        end = self.synced if end is None else end
        return sorted(position for position, (after, _) in self.rows.items() if start <= position and after <= end)

    def must_be_ours(self, found: Recovery) -> None:
        """In order, each where and as it was written; below ``synced`` as it was published."""
        positions = [record[0] for record in found.records]
        assert positions == sorted(set(positions))
        assert not positions or positions[0] >= self.mark, "in a batch already"
        for record in found.records:
            ours = [self.rows[record[0]][1]] if record[1] <= self.synced else self.begun.get(record[0], [])
            assert as_row(record) in ours


#: How many images were looked at.
LOOKED = {"images": 0}
#: What the flusher said of synced bytes that are missing.
SAID: list[str] = []


class Hearer(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        SAID.append(record.getMessage())


@pytest.fixture(autouse=True)
def _heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(reader_module, "TRIES", 2)
    hearer = Hearer()
    feed_module.log.addHandler(hearer)
    LOOKED["images"] = 0
    yield
    feed_module.log.removeHandler(hearer)


def test_every_image_of_a_power_cut_holds_all_that_was_answered_and_nothing_else() -> None:
    run_state_machine_as_test(
        PowerCuts, settings=settings(max_examples=EXAMPLES, stateful_step_count=30, deadline=None)
    )
    print(LOOKED)  # `make test-model` shows it
    assert LOOKED["images"] > EXAMPLES


class SyncedTooEarly(PowerCuts):
    """Wrong on purpose: what was published while ``fdatasync`` ran counts as synced too."""

    def store_synced(self, head: int) -> None:
        super().store_synced(self.writer.head)


class TailTrusted(PowerCuts):
    """Wrong on purpose: reads on from the ring's tail, whatever the journal knows."""

    def recover(self, image: bytearray) -> Recovery:
        return Recovery(image, 0)


ONCE = settings(
    max_examples=500, stateful_step_count=30, deadline=None, database=None, phases=[Phase.generate], derandomize=True
)


@pytest.mark.parametrize("wrong", [SyncedTooEarly, TailTrusted])
def test_the_images_catch_what_is_wrong_on_purpose(wrong: type[PowerCuts]) -> None:
    with pytest.raises(AssertionError):
        run_state_machine_as_test(wrong, settings=ONCE)


def test_the_images_catch_a_ring_without_checksums(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (reader_module, writer_module):
        monkeypatch.setattr(module, "crc32", lambda data, seed=0: 1)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(PowerCuts, settings=ONCE)
