"""cli_tasks: long jobs listed, shown, followed, ended and taken up again."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.control_stage import stage
from tests.task_values import at, task
from trackflowd import cli, cli_tasks
from trackflowd.cli_tasks import Meter, lines
from trackflowd.cli_text import Style
from trackflowd.stack import book
from trackflowd.stack.book import Book
from trackflowd.stack.phase import Phase, Verdict

PLAIN = Style(False)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """People see times in their own zone; in these tests that is UTC."""
    monkeypatch.setattr(cli_tasks, "LOOK_EVERY", 0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def run(tmp_path: Path, *words: str) -> int:
    return cli.operator(["--data-dir", str(tmp_path), "tasks", *words])


def container(tmp_path: Path) -> dict[str, Any]:
    with Book(book.place(tmp_path), "s") as records:
        made = records.record("clickhouse", "image")
        made.become(Verdict(Phase.HEALTHY, "healthy"), 5)
        records.save(made)
        return book.shown(made.task)


def test_a_container_of_a_stack_is_listed_by_its_name_and_phase(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = container(tmp_path)
    with stage(tmp_path, {"tasks": [row, task(7)]}):
        assert run(tmp_path, "list") == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[1].split()[:4] == [str(book.FIRST), "container", "clickhouse", "healthy"]
    assert run(tmp_path, "list") == 0  # no daemon any more
    alone = capsys.readouterr()
    assert alone.out.splitlines()[1].split()[:4] == [str(book.FIRST), "container", "clickhouse", "healthy"]
    assert "no daemon answers" in alone.err


def test_the_list_is_a_table_newest_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = [
        task(12, "running", progress=at(3), started_ms=time.time_ns() // 1_000_000),
        task(9, "pending", started_ms=None, progress=at(0, 0)),
        task(8, "failed", error={"text": "no such\x1b[2J table", "hint": "x"}),
        task(7),
    ]
    with stage(tmp_path, {"tasks": tasks}) as asked:
        assert run(tmp_path, "list") == 0
    assert asked == [{"name": "tasks", "args": {}}]
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "kind", "state", "asked", "for", "took"]
    assert [row.split()[:3] for row in rows] == [
        ["12", "replay", "running"], ["9", "replay", "pending"], ["8", "replay", "failed"], ["7", "replay", "done"],
    ]  # fmt: skip
    assert rows[0].endswith("3 of 5 batches")
    assert rows[2].split()[3:] == "2026-11-24 12:00:00 3.2 s no such�[2J table".split()


def test_an_empty_list_says_how_one_is_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stage(tmp_path, {"tasks": []}):
        assert run(tmp_path, "list") == 0
        assert "trackflow replay" in capsys.readouterr().out
        assert run(tmp_path, "list", "--json") == 0
        assert json.loads(capsys.readouterr().out) == []


def test_one_is_shown_with_everything_that_is_known_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = task(8, "failed", error={"text": "no such table", "hint": "trackflow tasks resume 8"})
    with stage(tmp_path, {"task": value}) as asked:
        assert run(tmp_path, "show", "8") == 0
        assert capsys.readouterr().out.splitlines() == [
            "task        8  replay  failed",
            "arguments   since_ms 2026-11-24 11:50:00, dry_run false",
            "progress    5 of 5 batches",
            "asked for   2026-11-24 12:00:00",
            "began       2026-11-24 12:00:01",
            "ended       2026-11-24 12:00:04",
            "error       no such table",
            "            trackflow tasks resume 8",
            "history     2026-11-24 12:00:00  asked for",
            "            2026-11-24 12:00:01  begins",
        ]
        assert run(tmp_path, "show", "8", "--json") == 0
        assert json.loads(capsys.readouterr().out) == value
    assert asked == [{"name": "task", "args": {"id": 8}}] * 2


def test_one_of_a_later_version_is_shown_as_such() -> None:
    shown = lines(task(3, "running", kind="tele\x1b[2Jport", known=False), PLAIN)
    assert shown[0] == "task        3  tele�[2Jport  running (a kind this version does not know)"


@pytest.mark.parametrize(("state", "cancelling", "text"), [("running", True, "ending"), ("running", False, "running")])
def test_one_that_is_to_end_is_shown_so(state: str, cancelling: bool, text: str) -> None:
    assert cli_tasks.state_text(task(3, state, cancelling=cancelling), PLAIN) == text


def test_one_is_followed_until_it_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    values = iter([*(task(7, "running", progress=at(number)) for number in (0, 1, 4)), task(7)])
    with stage(tmp_path, {"task": lambda: next(values)}):
        assert run(tmp_path, "show", "7", "--watch") == 0
    drawn = terminal.getvalue().split("\r")
    assert ["1 of 5 batches" in drawn[1], "4 of 5 batches" in drawn[2]] == [True, True]
    assert drawn[3:] == ["\x1b[K"]  # the line is gone
    assert capsys.readouterr().out.startswith("task        7  replay  done\n")


def test_one_is_followed_as_json_a_line_for_each_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = [task(7, "running", progress=at(number)) for number in (0, 0, 0, 1)]
    values = iter([*steps, task(7)])
    with stage(tmp_path, {"task": lambda: next(values)}):
        assert run(tmp_path, "show", "7", "--watch", "--json") == 0
    out, err = capsys.readouterr()
    assert [json.loads(line)["progress"]["done"] for line in out.splitlines()] == [0, 1, 5]
    assert err == ""


def test_ctrl_c_leaves_it_running_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with stage(tmp_path, {"task": task(7, "running")}) as asked:
        monkeypatch.setattr("trackflowd.cli_tasks.time.sleep", interrupt)
        assert run(tmp_path, "show", "7", "--watch") == 130
    assert capsys.readouterr().err == "still runs: trackflow tasks show 7; to end it: trackflow tasks cancel 7\n"
    assert {request["name"] for request in asked} == {"task"}


def test_a_daemon_that_goes_away_meanwhile_takes_the_task_up_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = iter([task(7, "running"), ("control", "gone", "")])
    with stage(tmp_path, {"task": lambda: next(values)}):
        assert run(tmp_path, "show", "7", "--watch") == 3
    assert "goes on once the daemon runs again: trackflow tasks show 7" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "value", "text"),
    [
        ("cancel", task(7, "running", cancelling=True), "task 7 ends after its present step: trackflow tasks show 7"),
        ("cancel", task(7, "cancelled"), "task 7 is cancelled"),
        ("resume", task(7, "running"), "task 7 goes on: trackflow tasks show 7 --watch"),
        ("resume", task(7, "pending"), "task 7 goes on when it is its turn: trackflow tasks show 7 --watch"),
    ],
)
def test_one_is_ended_or_taken_up_again(
    word: str, value: dict[str, Any], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stage(tmp_path, {f"task_{word}": value}) as asked:
        assert run(tmp_path, word, "7") == 0
        assert capsys.readouterr().out == text + "\n"
        assert run(tmp_path, word, "7", "--json") == 0
        assert json.loads(capsys.readouterr().out) == value
    assert asked == [{"name": f"task_{word}", "args": {"id": 7}}] * 2


def test_what_the_daemon_refuses_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stage(tmp_path, {"task_cancel": ("task_state", "task 7 has ended: it is done", "")}):
        assert run(tmp_path, "cancel", "7") == 1
    assert capsys.readouterr().err == "trackflow: task 7 has ended: it is done\n"


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5", "²", str(2**53)])
def test_what_is_no_number_is_not_asked_for(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.operator(["tasks", "show", number])
    assert ended.value.code == 2


def test_the_line_shows_share_amount_and_time_left() -> None:
    meter = Meter(Terminal())
    first = meter.text(task(7, "running", progress=at(100, 300)), 50.0)
    assert first == "replay ████████················  33%  100 of 300 batches"
    later = meter.text(task(7, "running", progress=at(200, 300)), 60.0)
    assert later.endswith("200 of 300 batches · about 10 s left")
    waits = meter.text(task(7, "running", progress=at(200, 300, "waits: the flusher is being restarted")), 60.0)
    assert waits.endswith("· waits: the flusher is being restarted")


def test_the_line_of_one_that_has_not_begun_says_so() -> None:
    assert Meter(Terminal()).text(task(7, "pending", progress=at(0, 0)), 1.0) == "replay  waits for its turn"
    assert Meter(Terminal()).text(task(7, "running", progress=at(0, 0)), 1.0) == "replay"


def test_the_line_fits_the_terminal_and_is_not_drawn_where_there_is_none() -> None:
    narrow, nothing = Terminal(), io.StringIO()
    for stream in (narrow, nothing):
        Meter(stream, lambda: 30).draw(task(7, "running", progress=at(2)), 1.0)
    assert len(narrow.getvalue().removeprefix("\r").removesuffix("\x1b[K")) == 29
    assert nothing.getvalue() == ""
