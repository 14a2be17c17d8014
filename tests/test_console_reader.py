"""console.reader: threads that gather what a daemon says, over a real socket, whatever becomes of it."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.console_server import PATIENCE, Server
from tests.console_values import status
from trackflowd.console import reader as readers
from trackflowd.console.knowledge import Knowledge
from trackflowd.console.reader import Reader, pipe_waker
from trackflowd.console.tab import Answer
from trackflowd.errors import TrackflowError


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    monkeypatch.setattr(readers, "RETRY", 0.02)
    reader = Reader(str(tmp_path / "control.sock"), Knowledge(every=0.02))
    yield reader
    reader.close()


def until(reader: Reader, good: Callable[[], object]) -> None:
    """Take in what comes until it is good."""
    while not good():
        assert reader.take(PATIENCE), "nothing comes any more"


def test_statuses_come_by_watch_after_the_history(made: Reader, tmp_path: Path) -> None:
    history = {"at_ms": [1_800_000_000_000], "series": {"events_s": [7.0]}}
    know = made._know
    with Server(tmp_path / "control.sock", {"history": history}, {"watch": [status(pid=1), status(pid=2)]}) as server:
        made.start()
        until(made, lambda: know.status.get("pid") == 2)
        assert know.version == "9.9.9"
        assert 7.0 in know.history.columns("events_s", 300) or know.history.newest > 1_800_000_000
        assert server.asked.get(timeout=PATIENCE) == ("history", {"seconds": readers.HISTORY})
        assert server.asked.get(timeout=PATIENCE) == ("watch", {"interval": 0.02})


def test_an_older_daemon_is_asked_again_and_again(made: Reader, tmp_path: Path) -> None:
    with Server(tmp_path / "control.sock", {"status": status()}, {}) as server:
        made.start()
        for name in ("history", "watch", "status", "status", "status"):
            assert server.asked.get(timeout=PATIENCE)[0] == name
        until(made, lambda: made._know.status)


def test_a_daemon_that_goes_and_comes_back_is_found_again(made: Reader, tmp_path: Path) -> None:
    know = made._know
    made.start()
    until(made, lambda: know.told)
    assert know.told is not None and "no trackflowd listens" in know.told.text
    for pid in (1, 2):
        with Server(tmp_path / "control.sock", {}, {"watch": [status(pid=pid)]}):
            until(made, lambda pid=pid: know.told is None and know.status.get("pid") == pid)  # type: ignore[misc]
        until(made, lambda: know.told)
    assert know.status["pid"] == 2  # what was known last stays


def test_questions_are_answered_in_the_screens_thread(made: Reader, tmp_path: Path) -> None:
    answers: list[Answer] = []
    where: list[int] = []

    def then(answer: Answer) -> None:
        answers.append(answer)
        where.append(threading.get_ident())

    given = {"tasks": [1], "flush": ("not_permitted", "no", "sudo")}
    with Server(tmp_path / "control.sock", given, {"watch": []}):
        made.start()
        made.ask("tasks", then, {}, False)
        until(made, lambda: len(answers) == 1)
        made.ask("flush", then, {"wait": 1}, True)
        until(made, lambda: len(answers) == 2)
    assert answers[0].value == [1]
    assert answers[1].error is not None and (answers[1].error.code, answers[1].error.hint) == ("not_permitted", "sudo")
    assert set(where) == {threading.get_ident()}


def test_the_first_question_after_a_restart_is_answered(made: Reader, tmp_path: Path) -> None:
    answers: list[Answer] = []
    made.start()
    for number in range(3):
        with Server(tmp_path / "control.sock", {"tasks": [number]}, {"watch": [status()]}):
            until(made, lambda: made._know.told is None and made._know.status)
            made.ask("tasks", answers.append, {}, False)
            until(made, lambda number=number: len(answers) > number)  # type: ignore[misc]
        until(made, lambda: made._know.told)
    assert [answer.value for answer in answers] == [[0], [1], [2]]


def test_nobody_there_is_an_answer(made: Reader) -> None:
    answers: list[Answer] = []
    made.start()
    made.ask("tasks", answers.append, {}, False)
    until(made, lambda: answers)
    assert answers[0].error is not None and "no trackflowd listens" in answers[0].error.text


def test_a_stream_is_heard_until_it_is_stopped(made: Reader, tmp_path: Path) -> None:
    heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
    told: list[TrackflowError | None] = []
    with Server(tmp_path / "control.sock", {}, {"tail": [{"n": 1}, {"n": 2}]}) as server:
        following = made.follow("tail", heard.put, told.append, {"site": "x"})
        assert [heard.get(timeout=PATIENCE)["n"] for _ in range(2)] == [1, 2]
        until(made, lambda: told)
        assert told == [None]
        following.stop()
        assert server.ended.get(timeout=PATIENCE) == "tail"
    assert not made.take(), "a stream that was left says nothing more"


def test_a_stream_the_daemon_does_not_have_is_asked_for_once(made: Reader, tmp_path: Path) -> None:
    told: list[TrackflowError | None] = []
    with Server(tmp_path / "control.sock", {}, {}) as server:
        made.follow("log", lambda item: None, told.append, {})
        until(made, lambda: told)
        assert told[0] is not None and told[0].code == "unknown_command"
        assert server.ended.get(timeout=PATIENCE) == "log"


def test_a_broken_stream_is_taken_up_again(made: Reader, tmp_path: Path) -> None:
    heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
    following = None
    for n in range(2):
        with Server(tmp_path / "control.sock", {}, {"tail": [{"n": n}]}):
            following = following or made.follow("tail", heard.put, lambda error: None, {})
            assert heard.get(timeout=PATIENCE) == {"n": n}
    assert following is not None
    following.stop()


def test_waking_writes_a_byte_and_never_fails() -> None:
    read, write = os.pipe()
    wake = pipe_waker(write)
    wake()
    assert os.read(read, 10) == b"."
    os.close(read)
    wake()
    os.close(write)
    wake()
