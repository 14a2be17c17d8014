"""cli_ask: what is asked of the daemon, and how its answers are shown."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.control_stage import stage
from trackflowd import cli

EVENTS: list[dict[str, Any]] = [
    {"site": "demo", "name": "signup", "received": 0, "path": "/\x1b[2J"},
    {"dropped": 1200},
]


def test_status_is_shown_and_given_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stage(tmp_path, {"status": {"version": "9.9.9", "pid": 7}}):
        assert cli.operator(["status", "--data-dir", str(tmp_path)]) == 0
        assert "trackflowd 9.9.9 · pid 7" in capsys.readouterr().out
        assert cli.operator(["status", "--json", "--socket", str(tmp_path / "control.sock")]) == 0
        assert json.loads(capsys.readouterr().out)["pid"] == 7


def test_tail_shows_lines_until_the_daemon_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stage(tmp_path, {}, EVENTS) as asked:
        assert cli.operator(["--data-dir", str(tmp_path), "tail", "--site", "demo", "--name", "signup"]) == 3
    assert asked == [{"name": "tail", "args": {"site": "demo", "name": "signup"}}]
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1 and "signup" in out and "\x1b" not in out
    assert "1,200 events passed unseen" in err


def test_tail_gives_json_by_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stage(tmp_path, {}, EVENTS):
        cli.operator(["--data-dir", str(tmp_path), "tail", "--json"])
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == EVENTS[:1]


@pytest.mark.parametrize(
    ("flags", "form"),
    [([], "table"), (["--json"], "json"), (["--format", "csv"], "csv"), (["--format", "json"], "json")],
)
def test_a_query_is_answered_in_the_form_asked_for(
    flags: list[str], form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stage(tmp_path, {"query": "größe\n".encode()}) as asked:
        assert cli.operator(["--data-dir", str(tmp_path), "query", "SELECT 1", *flags]) == 0
    assert asked == [{"name": "query", "args": {"sql": "SELECT 1", "format": form}}]
    assert capsys.readouterr().out == "größe\n"


def test_a_query_may_come_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT 2\n"))
    with stage(tmp_path, {"query": b""}) as asked:
        assert cli.operator(["--data-dir", str(tmp_path), "query", "-"]) == 0
    assert asked[0]["args"]["sql"] == "SELECT 2\n"


def test_rows_cannot_write_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with stage(tmp_path, {"query": b"a\tb\n\x1b[2J\n"}):
        cli.operator(["--data-dir", str(tmp_path), "query", "SELECT 1"])
    assert capsys.readouterr().out == "a\tb\n�[2J\n"


def test_a_refused_query_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stage(tmp_path, {"query": ("query", "DROP is not allowed", "read only")}):
        assert cli.operator(["--data-dir", str(tmp_path), "query", "DROP TABLE events"]) == 1
    assert capsys.readouterr().err == "trackflow: DROP is not allowed\n  read only\n"


def test_an_empty_query_is_not_sent(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.operator(["query", " "]) == 1
    assert "no SQL" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"stored": True, "left": 0, "spooled": 0, "seconds": 0.25}, "stored, after 250 ms"),
        (
            {"stored": False, "left": 2048, "spooled": 3, "seconds": 0.0},
            "asked for; 2 KiB still wait in the rings, 3 batches in the spool",
        ),
    ],
)
def test_flush_says_whether_all_is_stored(
    value: dict[str, object], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stage(tmp_path, {"flush": value}) as asked:
        assert cli.operator(["--data-dir", str(tmp_path), "flush", "--wait", "0"]) == 0
        assert capsys.readouterr().out == text + "\n"
        assert cli.operator(["--data-dir", str(tmp_path), "flush", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == value
    assert [request["args"]["wait"] for request in asked] == [0, 10]


@pytest.mark.parametrize("command", ["drain", "stop"])
def test_the_daemon_is_told_to_end(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stage(tmp_path, {}) as asked:
        assert cli.operator(["--data-dir", str(tmp_path), command]) == 0
        assert capsys.readouterr().out
        assert cli.operator(["--data-dir", str(tmp_path), command, "--json"]) == 0
    assert asked == [{"name": command, "args": {}}] * 2
    assert json.loads(capsys.readouterr().out) == {"asked": command}


@pytest.mark.parametrize(("paused", "text"), [(False, "once everything is stored"), (True, "is paused")])
def test_who_drains_is_told_what_stays(
    paused: bool, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stage(tmp_path, {"drain": {"paused": paused}}):
        assert cli.operator(["--data-dir", str(tmp_path), "drain"]) == 0
        assert text in capsys.readouterr().out
        assert cli.operator(["--data-dir", str(tmp_path), "drain", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"asked": "drain", "paused": paused}
