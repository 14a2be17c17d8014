"""cli_look: what is asked of the daemon, and how its answers are shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.control_stage import stage
from trackflowd import cli, cli_look
from trackflowd.cli_text import Style

LINES: list[dict[str, Any]] = [
    {"at_ms": 0, "level": "error", "process": "flusher", "text": "store away\x1b[2J\nsecond line"},
    {"dropped": 3},
    {"at_ms": 1000, "level": "info", "process": "worker 0", "text": "is ready"},
]
PROCESS = {"role": "worker", "slot": 1, "pid": 77, "state": "ready", "uptime_s": 9, "restarts": 0}
RING = {"file": "0-a.ring", "slot": 0, "fill": 0.5, "used": 512, "capacity": 1024}
ENTRY = {
    "at_ms": 0, "uid": 7, "user": "", "pid": 1, "command": "flush", "args": {"wait": 5, "x": "y\x1b"}, "ok": False,
    "code": "not_stored",
}  # fmt: skip
HISTORY = {"at_ms": [0, 1000, 2000], "series": {"events_s": [1.0, None, 30.0], "p50_ms": [None, None, None]}}


def ask(tmp_path: Path, *words: str) -> int:
    return cli.operator(["--data-dir", str(tmp_path), *words])


@pytest.mark.parametrize(
    ("words", "answer", "asked", "shown"),
    [
        (["version"], {"version": "9.9.9", "protocol": 1}, {}, "trackflowd 9.9.9, protocol 1"),
        (["processes"], [PROCESS], {}, "worker 1"),
        (["rings"], [RING], {}, "slot 0"),
        (["config"], {"batch.max_age": 1.0, "store.url": "chdb:\x1b"}, {}, "batch.max_age = 1.0\nstore.url = "),
        (["history", "--seconds", "60"], HISTORY, {"seconds": 60}, "events/s"),
        (["audit", "--limit", "5"], [ENTRY], {"limit": 5}, "user 7"),
        (["audit"], [], {"limit": 100}, "no order was given so far"),
    ],
)
def test_answers_are_shown_and_given_as_json(
    words: list[str], answer: Any, asked: dict[str, Any], shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stage(tmp_path, {words[0]: answer}) as asked_for:
        assert ask(tmp_path, *words) == 0
        out = capsys.readouterr().out
        assert shown in out
        assert "\x1b" not in out
        assert ask(tmp_path, *words, "--json") == 0
        given = json.loads(capsys.readouterr().out)
        assert given == answer or given == {**answer, "tool": given["tool"]}
    assert asked_for == [{"name": words[0], "args": asked}] * 2


def test_lines_of_the_log_are_shown_and_what_passed_unseen_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stage(tmp_path, {}, LINES) as asked:
        assert ask(tmp_path, "log", "-f", "--lines", "7") == 3
        out, err = capsys.readouterr()
        assert [line.split(" ", 1)[1] for line in out.splitlines() if ":" in line] == [
            "error   flusher: store away�[2J",
            "info    worker 0: is ready",
        ]
        assert "second line" in out
        assert "(3 lines passed unseen)" in err
        ask(tmp_path, "log", "--json")
        assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [LINES[0], LINES[2]]
    assert [each["args"] for each in asked] == [{"lines": 7, "follow": True}, {"lines": 200, "follow": False}]


def test_the_status_is_watched_as_it_comes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    statuses: list[dict[str, Any]] = [{"pid": 1, "version": "9.9.9"}, {"pid": 2, "version": "9.9.9"}]
    with stage(tmp_path, {}, statuses) as asked:
        assert ask(tmp_path, "watch", "--interval", "2", "--json") == 3
        assert [json.loads(line)["pid"] for line in capsys.readouterr().out.splitlines()] == [1, 2]
        ask(tmp_path, "watch")
        assert capsys.readouterr().out.count("trackflowd 9.9.9") == 2
    assert [each["args"] for each in asked] == [{"interval": 2.0}, {"interval": 1.0}]


def test_a_history_is_a_line_for_each_series_that_is_known() -> None:
    head, events = cli_look.history_lines(HISTORY, Style())
    assert head.split()[-2:] == ["most", "last"]
    assert events.split() == ["events/s", "▂▁█", "30", "30"]
    assert cli_look.history_lines({"at_ms": [], "series": {"events_s": []}}, Style()) == [
        "nothing yet: the daemon has just started"
    ]


def test_a_long_history_is_drawn_by_the_greatest_of_neighbours() -> None:
    value = {"at_ms": list(range(3600)), "series": {"events_s": [float(n == 1799) for n in range(3600)]}}
    drawn = cli_look.history_lines(value, Style())[1].split()[1]
    assert len(drawn) == 60
    assert drawn.index("█") == 29
