"""trackflowd.log: the two forms, the journal's marks, and that no address gets through."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import socket
import sys
from collections.abc import Iterator

import pytest

from trackflowd import log


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logging is global: put back what was there."""
    root, ours = logging.getLogger(), logging.getLogger("trackflowd")
    before = root.handlers[:], root.level, ours.level, logging.raiseExceptions
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    yield
    for handler in set(root.handlers) - set(before[0]):
        handler.close()
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    logging.raiseExceptions = before[3]
    logging.captureWarnings(False)


def said(monkeypatch: pytest.MonkeyPatch, form: str, process: str, level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    log.setup(level, form, process)
    return stream


def test_a_line_says_when_how_bad_who_and_what(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = said(monkeypatch, "text", "flusher")
    logging.getLogger("trackflowd.batch").warning("store away for %d s", 3)
    line = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z warning flusher: store away for 3 s\n"
    assert re.fullmatch(line, stream.getvalue())


def test_an_object_per_line_holds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = said(monkeypatch, "json", "flusher")
    logging.getLogger("trackflowd.batch").error("two\nlines")
    value = json.loads(stream.getvalue())
    assert stream.getvalue().count("\n") == 1
    assert (value["level"], value["process"], value["text"]) == ("error", "flusher", "two\nlines")
    assert value["logger"] == "trackflowd.batch"


def test_each_line_for_the_journal_carries_the_level_and_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    status = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    stream = said(monkeypatch, "text", "supervisor")
    logging.getLogger("trackflowd").error("one\ntwo")
    assert stream.getvalue() == "<3>supervisor: one\n<3>two\n"


def test_an_object_for_the_journal_carries_the_level_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    status = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    stream = said(monkeypatch, "json", "flusher")
    logging.getLogger("trackflowd").warning("one\ntwo")
    mark, text = stream.getvalue()[:3], stream.getvalue()[3:]
    assert (mark, json.loads(text)["text"], text.count("\n")) == ("<4>", "one\ntwo", 1)


def test_a_stream_that_is_not_the_journals_is_told_apart() -> None:
    assert not log.to_journal({}, 2)
    assert not log.to_journal({"JOURNAL_STREAM": "1:2"}, 2)
    assert not log.to_journal({"JOURNAL_STREAM": "1:2"}, 10**6)


def test_debug_is_ours_only(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = said(monkeypatch, "text", "flusher", "debug")
    logging.getLogger("trackflowd").debug("ours")
    logging.getLogger("asyncpg").debug("theirs")
    logging.getLogger("asyncpg").warning("their warning")
    logging.getLogger("urllib3").warning("Retrying")
    logging.getLogger("urllib3").error("their error")
    assert "ours" in stream.getvalue()
    assert "Retrying" not in stream.getvalue()
    assert "their error" in stream.getvalue()
    assert "their warning" in stream.getvalue()
    assert "theirs" not in stream.getvalue()
    log.set_level("error")
    logging.getLogger("trackflowd").warning("too quiet")
    assert "too quiet" not in stream.getvalue()


def test_a_second_setup_replaces_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    first = said(monkeypatch, "text", "a")
    second = said(monkeypatch, "text", "b")
    logging.getLogger("trackflowd").info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1


def test_an_error_nobody_caught_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = said(monkeypatch, "json", "flusher")
    try:
        raise ValueError("broken")
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    assert "ValueError: broken" in json.loads(stream.getvalue())["text"]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("from 81.2.69.142:51234 came", "from [address]:51234 came"),
        ("raddr=('81.2.69.142', 4)", "raddr=('[address]', 4)"),
        ("from 2001:db8::7.", "from [address]."),
        ("[2001:db8:0:1:2:3:4:5]:443", "[[address]]:443"),
        ("::ffff:81.2.69.142 x", "[address] x"),
        ("2001:DB8::7: reset", "[address]: reset"),
        ("127.0.0.1:8080 and [::1]:8080 and 0.0.0.0:80", "127.0.0.1:8080 and [::1]:8080 and 0.0.0.0:80"),
        ("at 09:30:00 version 1.12.0 std::map", "at 09:30:00 version 1.12.0 std::map"),
        ("999.1.1.1", "999.1.1.1"),
    ],
)
def test_an_address_is_hidden_and_the_rest_is_kept(text: str, left: str) -> None:
    assert log.scrub(text) == left


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_worker_logs_no_address_even_in_a_traceback(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    stream = said(monkeypatch, form, "worker 0")
    try:
        raise OSError("peer ::ffff:81.2.69.142 reset" + " by 2001:db8::7")
    except OSError:
        logging.getLogger("asyncio").exception("for %s", "81.2.69.142")
    assert "81.2.69.142" not in stream.getvalue()
    assert "2001:db8" not in stream.getvalue()
    assert stream.getvalue().count("[address]") >= 3


def test_the_supervisor_may_name_where_it_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = said(monkeypatch, "text", "supervisor")
    logging.getLogger("trackflowd").info("listening on 192.0.2.1:8080")
    assert "192.0.2.1:8080" in stream.getvalue()


def test_the_form_may_change_and_whoever_is_handed_lines_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = said(monkeypatch, "text", "worker 1")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        log.hand_on(theirs.fileno(), "worker 1")
        log.set_form("json")
        logging.getLogger("trackflowd").warning("from 81.2.69.142")
        assert json.loads(stream.getvalue())["process"] == "worker 1"
        assert json.loads(ours.recv(log.MAX_DATAGRAM))[1:] == ["warning", "worker 1", "from [address]", 0]
        log.set_form("text")
        logging.getLogger("trackflowd").warning("once more")
    assert stream.getvalue().endswith("warning worker 1: once more\n")


def test_a_process_is_set_up_to_hand_on_what_it_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        log.setup("info", "text", "flusher", theirs.fileno())
        logging.getLogger("trackflowd").info("handed on")
        assert json.loads(ours.recv(log.MAX_DATAGRAM))[2:4] == ["flusher", "handed on"]
