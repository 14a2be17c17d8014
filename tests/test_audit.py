from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from trackflowd import audit
from trackflowd.audit import Audit, Entry, noted
from trackflowd.proto.command_table import COMMANDS
from trackflowd.proto.control import read_request


def entry(number: int, uid: int = 0, code: str = "") -> Entry:
    return Entry(number, uid, "root", 1, "flush", {"wait": number}, not code, code)


def test_the_last_are_told_newest_first(tmp_path: Path) -> None:
    log = Audit(tmp_path)
    assert log.last(10) == []
    for number in range(5):
        log.note(entry(number))
    assert [each["at_ms"] for each in log.last(3)] == [4, 3, 2]
    assert log.last(1) == [
        {
            "at_ms": 4,
            "uid": 0,
            "user": "root",
            "pid": 1,
            "command": "flush",
            "args": {"wait": 4},
            "ok": True,
            "code": "",
        }
    ]


def test_the_file_is_the_owners_and_goes_on_in_the_next_daemon(tmp_path: Path) -> None:
    Audit(tmp_path).note(entry(1))
    Audit(tmp_path).note(entry(2))
    assert [each["at_ms"] for each in Audit(tmp_path).last(9)] == [2, 1]
    assert stat.S_IMODE((tmp_path / "audit.log").stat().st_mode) == 0o600


def test_it_is_bounded_and_reaches_back_over_one_change_of_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "MAX_BYTES", 1000)
    log = Audit(tmp_path)
    for number in range(100):
        log.note(entry(number))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2000
    kept = [each["at_ms"] for each in log.last(1000)]
    assert kept == list(range(99, 99 - len(kept), -1))
    assert len(kept) > 8
    assert {path.name for path in tmp_path.iterdir()} == {"audit.log", "audit.log.1"}


def test_a_line_that_is_none_is_passed_over(tmp_path: Path) -> None:
    log = Audit(tmp_path)
    log.note(entry(1))
    with (tmp_path / "audit.log").open("ab") as file:
        file.write(b'{"at_ms": 2, "ui\n[]\n\xff\xfe\n')
    log.note(entry(3))
    assert [each["at_ms"] for each in log.last(9)] == [3, 1]


def test_who_may_not_act_cannot_push_out_what_was_done(tmp_path: Path) -> None:
    log = Audit(tmp_path)
    log.note(entry(1))
    for number in range(2, 50):
        log.note(entry(number, uid=7, code="not_permitted"))
    log.note(entry(50, uid=8, code="not_permitted"))
    log.note(entry(51))
    assert [each["at_ms"] for each in log.last(9)] == [51, 50, 2, 1]


def test_a_disk_that_refuses_is_said_once_and_refuses_no_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(fd: int, data: bytes) -> int:
        return real(fd, data[:9])

    real = os.write
    log = Audit(tmp_path)
    log.note(entry(1))
    with monkeypatch.context() as patch:
        patch.setattr("trackflowd.audit.os.write", full)
        log.note(entry(2))
        log.note(entry(3))
    log.note(entry(4))
    assert [each["at_ms"] for each in log.last(9)] == [4, 1]
    assert log.missed == 2
    assert sum("is not noted" in record.getMessage() for record in caplog.records) == 1


def kept(name: str, **args: Any) -> dict[str, Any]:
    request = read_request({"id": 1, "name": name, "args": args})
    return noted(request.command, request.args)


def test_what_is_given_is_noted_and_what_has_its_default_is_not() -> None:
    assert kept("flush") == {}
    assert kept("flush", wait=3) == {"wait": 3}
    assert kept("quarantine_drop", names=["a", "b"]) == {"names": ["a", "b"]}


def test_neither_passwords_nor_people_are_noted() -> None:
    assert kept("migrate", target="clickhouse://u:s3cret@h:1/d") == {"target": "clickhouse://u:***@h:1/d"}
    what = {"site": "shop", "user": "ann@example.com", "visitor": "0f", "id": "x", "from": 5, "strange": {"ann": "x"}}
    assert kept("erase", what=what) == {
        "what": {"site": "shop", "user": "…", "visitor": "…", "id": "…", "from": 5, "strange": "…"}
    }
    assert kept("event_correct", id="ann", put={"mail": "ann@example.com"}, drop=["x"]) == {
        "id": "…", "put": {"mail": "…"}, "drop": ["x"],
    }  # fmt: skip


def test_a_long_text_is_cut() -> None:
    assert len(kept("quarantine_drop", names=["x" * 10_000] * 500)["names"]) == 100
    assert len(kept("loglevel", level="x" * 10_000)["level"]) == audit.MAX_TEXT + 1


def test_every_argument_of_an_acting_command_can_be_noted() -> None:
    examples = {"text": "x", "number": 1, "flag": True, "map": {"a": b"\0"}, "list": ["x"]}
    for command in COMMANDS.values():
        noted(command, {arg.name: examples[arg.kind] for arg in command.args})
