"""The shared page."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from trackflowd import shared
from trackflowd.counters import BATCH, FLUSHER, HISTOGRAMS, INSERT, MAX_SITES, REFUSALS, REQUEST, WORKER
from trackflowd.errors import TrackflowError
from trackflowd.shared import MAX_LISTENERS, MAX_WORKERS, Page, State


@pytest.fixture
def page() -> Iterator[Page]:
    made, fd = Page.create(2, 3)
    yield made
    made.close()
    os.close(fd)


@pytest.fixture
def both() -> Iterator[tuple[Page, Page]]:
    """The page as the supervisor and as a child see it."""
    made, fd = Page.create(2, 3)
    seen = Page.attach(fd)
    os.close(fd)
    yield made, seen
    made.close()
    seen.close()


def test_a_new_page_says_how_many_there_are_to_be_and_nothing_else(page: Page) -> None:
    assert (page.workers, len(page.owners), page.generation) == (2, 3, 0)
    slot = page.slot("worker", 63)
    assert (slot.heartbeat, slot.pid, slot.started, slot.state) == (0, 0, 0, State.EMPTY)
    assert set(slot.values().values()) == {0}
    assert slot.refusals() == {}


def test_what_one_process_writes_the_other_reads(both: tuple[Page, Page]) -> None:
    supervisor, child = both
    slot = child.slot("worker", 1)
    slot.begin()
    slot.state = State.READY
    slot.add("requests", 3)
    slot.add("requests")
    slot.set("connections_open", 7)
    slot.publish({"bytes_in": 10, "bots": 2})
    slot.refuse("bad_json")
    slot.refuse("method", 5)
    seen = supervisor.slot("worker", 1)
    assert (seen.pid, seen.state) == (os.getpid(), State.READY)
    assert 0 < seen.heartbeat <= time.monotonic_ns()
    assert 0 < seen.started <= time.monotonic_ns()
    assert {name: n for name, n in seen.values().items() if n} == {
        "requests": 4, "connections_open": 7, "bytes_in": 10, "bots": 2,
    }  # fmt: skip
    assert seen.refusals() == {"bad_json": 1, "method": 5}
    assert seen.get("requests") == 4


def test_every_word_of_every_slot_is_its_own(page: Page) -> None:
    slots = [page.slot("worker", n) for n in range(MAX_WORKERS)] + [page.slot("flusher")]
    page.generation = 2**64 - 1
    for listener in range(3):
        page.owners[listener] = listener
    for n, slot in enumerate(slots):
        table = WORKER if n < MAX_WORKERS else FLUSHER
        for i, counter in enumerate(table):
            slot.set(counter.name, n * 1000 + i)
        slot.state = State.READY
        for i, code in enumerate(REFUSALS if n < MAX_WORKERS else ()):
            slot.refuse(code, n * 1000 + 500 + i)
        if n < MAX_WORKERS:
            slot.publish_sites([n * 1000 + 600 + i for i in range(MAX_SITES + 1)])
        for i, histogram in enumerate(HISTOGRAMS["worker" if n < MAX_WORKERS else "flusher"]):
            slot.publish_histogram(histogram, [n * 1000 + 700 + 100 * i + j for j in range(histogram.words)])
    for n, slot in enumerate(slots):
        assert list(slot.values().values()) == [n * 1000 + i for i in range(len(slot.values()))]
        assert slot.state == State.READY
        codes = REFUSALS if n < MAX_WORKERS else ()
        assert slot.refusals() == {code: n * 1000 + 500 + i for i, code in enumerate(codes)}
        if n < MAX_WORKERS:
            assert slot.sites(MAX_SITES) == [n * 1000 + 600 + i for i in range(MAX_SITES + 1)]
        for i, histogram in enumerate(HISTOGRAMS["worker" if n < MAX_WORKERS else "flusher"]):
            start = n * 1000 + 700 + 100 * i
            assert slot.histogram(histogram) == list(range(start, start + histogram.words))
    assert page.generation == 2**64 - 1
    assert [page.owners[n] for n in range(3)] == [0, 1, 2]


def test_slots_of_two_processes_share_no_cache_line(page: Page) -> None:
    first, second = page.slot("worker", 0), page.slot("worker", 1)
    assert first._first % 16 == second._first % 16 == 0
    last = max([*first._place.values(), *first._refusal.values(), first._sites + MAX_SITES])
    assert last < first._histograms["request"]
    assert first._histograms["request"] + REQUEST.words <= second._first
    flusher = page.slot("flusher")
    assert page.slot("worker", 63)._histograms["request"] + REQUEST.words <= flusher._first
    assert 8 * (flusher._histograms["insert"] + INSERT.words) <= shared._SIZE


def test_a_restart_keeps_counts_and_forgets_gauges(page: Page) -> None:
    slot = page.slot("worker", 0)
    slot.add("requests", 5)
    slot.set("connections_open", 9)
    slot.refuse("timeout")
    slot.begin()
    assert slot.values()["requests"] == 5
    assert slot.values()["connections_open"] == 0
    assert slot.refusals() == {"timeout": 1}
    assert slot.state == State.STARTING
    slot.set("connections_open", 4)
    slot.clear()
    assert (slot.pid, slot.state, slot.heartbeat) == (0, State.EMPTY, 0)
    assert slot.get("connections_open") == 0
    assert slot.get("requests") == 5


def test_what_was_measured_is_seen_by_others_and_goes_on_after_a_restart(both: tuple[Page, Page]) -> None:
    supervisor, child = both
    slot = child.slot("flusher")
    for ns in (2_500_000, 2_500_001, 10**15):
        slot.observe(BATCH, ns)
    slot.begin()
    slot.observe(INSERT, 0)
    seen = supervisor.slot("flusher").histogram(BATCH)
    counted = {bound: count for bound, count in zip((*BATCH.bounds, "above"), seen[:-1], strict=True) if count}
    assert counted == {2_500_000: 1, 3_150_000: 1, "above": 1}
    assert seen[-1] == 5_000_001 + 10**15
    assert supervisor.slot("flusher").histogram(INSERT)[0] == 1
    with pytest.raises(KeyError):
        slot.histogram(REQUEST)


def test_a_heartbeat_goes_forward(page: Page) -> None:
    slot = page.slot("flusher")
    slot.beat()
    first = slot.heartbeat
    slot.beat()
    assert slot.heartbeat > first


def test_owners_say_who_serves_what(page: Page) -> None:
    assert [page.owners[n] for n in range(3)] == [None, None, None]
    page.owners[0] = 0
    page.owners[2] = 0
    page.owners[1] = 63
    assert page.owners.served_by(0) == [0, 2]
    assert page.owners.served_by(63) == [1]
    assert page.owners.served_by(5) == []
    page.owners[0] = None
    assert page.owners[0] is None
    for wrong in (3, -1):
        with pytest.raises(IndexError):
            page.owners[wrong] = 0
        with pytest.raises(IndexError):
            _ = page.owners[wrong]


def test_a_pause_is_seen_by_the_child_and_touches_nothing_else(both: tuple[Page, Page]) -> None:
    supervisor, child = both
    supervisor.generation = 7
    assert not child.paused
    supervisor.paused = True
    assert child.paused and child.generation == 7
    supervisor.paused = False
    assert not child.paused


def test_the_number_of_workers_may_change_while_running(both: tuple[Page, Page]) -> None:
    supervisor, child = both
    supervisor.workers = 64
    assert child.workers == 64
    for wrong in (0, 65):
        with pytest.raises(ValueError, match="1 to 64"):
            supervisor.workers = wrong


@pytest.mark.parametrize(("workers", "listeners"), [(0, 1), (65, 1), (1, 0), (1, MAX_LISTENERS + 1)])
def test_more_than_there_is_room_for_is_refused(workers: int, listeners: int) -> None:
    with pytest.raises(ValueError, match="1 to 64"):
        Page.create(workers, listeners)


def test_slots_that_do_not_exist_are_an_error(page: Page) -> None:
    for index in (-1, 64):
        with pytest.raises(IndexError):
            page.slot("worker", index)
    with pytest.raises(IndexError):
        page.slot("flusher", 1)
    with pytest.raises(KeyError):
        page.slot("worker", 0).add("no_such_counter")
    with pytest.raises(KeyError):
        page.slot("flusher").refuse("bad_json")
    assert page.slot("worker", 0) is page.slot("worker", 0)


def test_a_value_that_is_no_unsigned_word_is_an_error(page: Page) -> None:
    with pytest.raises(ValueError):
        page.slot("worker", 0).set("requests", -1)
    with pytest.raises(ValueError):
        page.slot("worker", 0).set("requests", 2**64)


def test_what_is_not_the_page_of_this_program_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (10, shared._SIZE):
        with open(tmp_path / "file", "w+b") as file:
            file.truncate(size)
            with pytest.raises(TrackflowError, match="not the shared page"):
                Page.attach(file.fileno())
    with pytest.raises(TrackflowError, match="fd 999"):
        Page.attach(999)
    page, fd = Page.create(1, 1)
    monkeypatch.setattr(shared, "SIGNATURE", 1)
    with pytest.raises(TrackflowError, match="not the shared page"):
        Page.attach(fd)
    page.close()
    os.close(fd)


def test_nobody_can_cut_the_page_short() -> None:
    page, fd = Page.create(1, 1)
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 4096)
    page.close()
    os.close(fd)


CHILD = """
import sys
from trackflowd.shared import Page, State
slot = Page.attach(int(sys.argv[1])).slot("worker", 1)
slot.begin()
slot.state = State.READY
slot.add("requests", 41)
slot.add("requests")
print("done", flush=True)
sys.stdin.read()
"""


def test_a_child_that_was_execd_writes_its_slot_and_what_it_wrote_outlives_it() -> None:
    page, fd = Page.create(2, 1)
    assert not os.get_inheritable(fd)
    command = [sys.executable, "-c", CHILD, str(fd)]
    root = str(Path(__file__).parent.parent)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=root, pass_fds=[fd]) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"done\n"
        slot = page.slot("worker", 1)
        assert (slot.pid, slot.state, slot.get("requests")) == (child.pid, State.READY, 42)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert slot.get("requests") == 42
    page.close()
    os.close(fd)


def test_words_are_never_seen_half_written() -> None:
    """A child flips a word between two values that share no byte; nothing else may be seen."""
    page, fd = Page.create(1, 1)
    code = (
        "import sys; from trackflowd.shared import Page; slot = Page.attach(int(sys.argv[1])).slot('worker', 0)\n"
        "a, b = 0x0101010101010101, 0xfefefefefefefefe\n"
        "slot.set('requests', a); print('go', flush=True)\n"
        "while True:\n    slot.set('requests', b); slot.set('requests', a)"
    )
    command = [sys.executable, "-c", code, str(fd)]
    root = str(Path(__file__).parent.parent)
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, pass_fds=[fd]) as child:
        assert child.stdout is not None
        child.stdout.readline()
        get = page.slot("worker", 0).get
        seen = {get("requests") for _ in range(200_000)}
        child.kill()
    assert seen <= {0x0101010101010101, 0xFEFEFEFEFEFEFEFE}
    page.close()
    os.close(fd)
