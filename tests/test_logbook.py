from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from trackflowd import log as logs
from trackflowd import logbook
from trackflowd.logbook import LogBook
from trackflowd.proto.control import BadRequest

log = logging.getLogger("trackflowd.test")


class Out:
    """An outlet that takes as much as it is told to."""

    def __init__(self, most: int = 10**9) -> None:
        self.events: list[Any] = []
        self.most = most
        self.ended = False
        self.clear = True

    def send(self, event: Any) -> bool:
        if len(self.events) >= self.most:
            return False
        self.events.append(event)
        return True

    def end(self) -> None:
        self.ended = True

    @property
    def texts(self) -> list[str]:
        return [event.get("text", event) for event in self.events]


def play(story: Callable[[LogBook], Awaitable[None]]) -> None:
    """A book of this process, open while the story lasts."""

    async def whole() -> None:
        book = LogBook("supervisor")
        book.start()
        logging.getLogger("trackflowd").setLevel(logging.INFO)
        try:
            await asyncio.wait_for(story(book), 30)
        finally:
            book.close()

    level = logging.getLogger("trackflowd").level
    try:
        asyncio.run(whole())
    finally:
        logging.getLogger("trackflowd").setLevel(level)


async def until(good: Callable[[], object]) -> None:
    while not good():
        await asyncio.sleep(0.001)


def test_who_asks_gets_the_last_lines_and_then_those_to_come() -> None:
    async def story(book: LogBook) -> None:
        for number in range(5):
            log.info("line %d", number)
        book.take()
        out = Out()
        close = book.watch(2, True)(out)
        assert out.texts == ["line 3", "line 4"]
        log.warning("another")
        await until(lambda: len(out.events) == 3)
        line = out.events[2]
        assert (line["level"], line["process"], line["text"]) == ("warning", "supervisor", "another")
        assert abs(line["at_ms"] - out.events[0]["at_ms"]) < 60_000
        close()
        log.info("unseen")
        book.take()
        assert len(out.events) == 3

    play(story)


def test_without_follow_the_stream_ends() -> None:
    async def story(book: LogBook) -> None:
        log.info("one")
        book.take()
        out = Out()
        book.watch(10, False)(out)
        assert (out.texts, out.ended) == (["one"], True)
        log.info("two")
        book.take()
        assert out.texts == ["one"]

    play(story)


@pytest.mark.parametrize("lines", [-1, logbook.KEPT + 1, float("nan")])
def test_a_number_of_lines_there_cannot_be_is_refused(lines: float) -> None:
    async def story(book: LogBook) -> None:
        with pytest.raises(BadRequest, match="lines must be"):
            book.watch(lines, True)

    play(story)


def test_who_does_not_read_is_told_how_many_passed() -> None:
    async def story(book: LogBook) -> None:
        out = Out(most=1)
        book.watch(0, True)(out)
        for number in range(4):
            log.info("line %d", number)
        book.take()
        out.most = 10
        log.info("last")
        book.take()
        assert out.texts == ["line 0", {"dropped": 3}, "last"]

    play(story)


def test_no_more_lines_are_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logbook, "KEPT", 10)

    async def story(book: LogBook) -> None:
        for number in range(25):
            log.info("line %d", number)
            book.take()
        out = Out()
        book.watch(10, False)(out)
        assert out.texts == [f"line {number}" for number in range(15, 25)]

    play(story)


def test_who_logs_waits_for_nobody_and_what_is_left_out_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logbook, "WAITING", 10_000)

    async def story(book: LogBook) -> None:
        for number in range(1000):  # nobody takes them in meanwhile
            log.info("line %d %s", number, "x" * 1000)
        book.take()
        log.info("last")
        book.take()
        out = Out()
        book.watch(logbook.KEPT, False)(out)
        told, last = out.texts[-2:]
        assert last == "last"
        left_out = int(told.split()[0])
        assert told.endswith("lines before this one are on standard error only")
        assert left_out + len(out.texts) - 2 == 1000

    play(story)


def test_a_worker_hands_on_no_address_and_a_long_line_is_cut() -> None:
    async def story(book: LogBook) -> None:
        handler = logs.hand_on(book.fd, "worker 3")
        try:
            log.info("from 81.2.69.142 %s", "x" * 10_000)
        finally:
            logging.getLogger().removeHandler(handler)
            handler.close()
        book.take()
        out = Out()
        book.watch(10, False)(out)
        (line,) = [event for event in out.events if event["process"] == "worker 3"]
        assert line["text"].startswith("from [address] xxx")
        assert len(line["text"]) == logs.MAX_TEXT + 1

    play(story)


def test_whatever_a_line_holds_it_can_be_sent_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # of pytest: a report of a test must be UTF-8

    async def story(book: LogBook) -> None:
        log.info("%s", os.fsdecode(b"\xff/\xf0\x9f\x90\x98") * 1000)
        log.info("\U0001f418" * 10_000)
        book.take()
        out = Out()
        book.watch(10, False)(out)
        assert len(out.texts) == 2
        for text in out.texts:
            text.encode()

    play(story)


def test_a_closed_book_takes_nothing_and_hurts_nobody() -> None:
    book = LogBook("supervisor")
    before = len(logging.getLogger().handlers)
    book.close()
    assert len(logging.getLogger().handlers) == before - 1
    log.error("after the end")
