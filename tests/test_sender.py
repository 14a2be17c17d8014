"""The sender: jobs in order in one thread, answers in the loop's, and an end that waits for what was begun."""

from __future__ import annotations

import threading

import pytest

from trackflowd.sender import Sender


def test_jobs_run_in_order_in_one_thread_and_their_answers_where_deliver_is_called() -> None:
    woken = threading.Semaphore(0)
    sender = Sender(woken.release)
    sender.start()
    answers: list[object] = []
    threads: set[int] = set()

    def job(n: int) -> int:
        threads.add(threading.get_ident())
        if n == 1:
            raise ValueError("one")
        return n

    for n in range(3):
        sender.submit(lambda n=n: job(n), lambda answer, error: answers.append(error or answer))  # type: ignore[misc]
    assert not sender.idle
    for _ in range(3):
        assert woken.acquire(timeout=10)
    assert answers == []
    assert sender.deliver()
    assert str(answers[1]) == "one"
    assert [answers[0], answers[2]] == [0, 2]
    assert sender.idle
    assert not sender.deliver()
    assert threads != {threading.get_ident()}
    assert len(threads) == 1
    closed: list[int] = []
    sender.stop(lambda: closed.append(threading.get_ident()), 10)
    assert closed == list(threads)


def test_a_job_that_hangs_shows_as_silence_and_one_that_breathes_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("trackflowd.sender.time.monotonic", lambda: now[0])
    begun, go_on, woken = threading.Event(), threading.Event(), threading.Event()
    sender = Sender(woken.set)
    sender.start()
    assert sender.silence == 0

    def job() -> None:
        begun.set()
        assert go_on.wait(10)

    sender.submit(job, lambda answer, error: None)
    assert begun.wait(10)
    now[0] += 30
    assert sender.silence == 30
    sender.breathe()
    assert sender.silence == 0
    go_on.set()
    assert woken.wait(10)
    sender.deliver()
    now[0] += 1000
    assert sender.silence == 0
    sender.stop(lambda: None, 10)


def test_what_would_end_the_process_ends_the_loop() -> None:
    woken = threading.Event()
    sender = Sender(woken.set)
    sender.start()

    def job() -> None:
        raise KeyboardInterrupt

    sender.submit(job, lambda answer, error: None)
    assert woken.wait(10)
    with pytest.raises(KeyboardInterrupt):
        sender.deliver()
    sender.stop(lambda: None, 10)


def test_one_that_never_began_still_closes() -> None:
    closed: list[int] = []
    Sender(lambda: None).stop(lambda: closed.append(1), 10)
    assert closed == [1]
