"""cli_replay: a replay asked for, followed, and summed up."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.control_stage import stage
from tests.fake_replay import Replay
from tests.supervised import Running, play
from tests.task_values import NOON, result, task
from trackflowd import cli, cli_tasks
from trackflowd.cli_replay import summary
from trackflowd.cli_text import Style

BATCHES = [f"{number:032x}" for number in range(1, 5)]
REACH = "back to 2026-11-24 11:40:00, 20 m 0 s ago: older batches are not whole in the rings any more"


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(cli_tasks, "LOOK_EVERY", 0.01)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def shown(value: dict[str, Any]) -> list[str]:
    return summary(value, Style(False), NOON / 1000)


def replayed(**changed: Any) -> dict[str, Any]:
    return task(7, result=result(**changed))


def run(tmp_path: Path, *words: str) -> int:
    return cli.operator(["--data-dir", str(tmp_path), "replay", *words])


def test_the_summary_of_one_that_restored_everything() -> None:
    assert shown(replayed(held=3, restored=2, rows_restored=1_234)) == [
        "looked at      5 batches  5,000 rows",
        "already there  3 batches",
        "restored       2 batches  1,234 rows",
        "out of reach   0 batches      0 rows",
        f"reach          {REACH}",
    ]


def test_the_summary_of_a_dry_run_says_what_would_be() -> None:
    value = replayed(held=4, restored=1, rows_restored=1)
    value["args"]["dry_run"] = True
    assert shown(value) == [
        "looked at          5 batches  5,000 rows",
        "already there      4 batches",
        "would be restored    1 batch       1 row",
        "out of reach       0 batches      0 rows",
        f"reach              {REACH}",
    ]


def test_the_summary_says_why_what_is_out_of_reach_is_so() -> None:
    named = [
        {"batch": BATCHES[0], "outcome": "partly", "lost": 1, "text": "half \x1b[2Jof it"},
        {"batch": BATCHES[1], "outcome": "other_store", "lost": 0, "text": ""},
    ]
    value = replayed(held=2, partly=1, gone=1, other_store=1, forgotten=3, out_of_reach=6, rows_lost=11, named=named)
    assert shown(value)[3:4] + shown(value)[5:] == [
        "out of reach   6 batches     11 rows",
        f"batch {BATCHES[0]}: 1 row lost: half �[2Jof it",
        f"batch {BATCHES[1]}: it was stored in another store than the present one",
        "and 1 more",
        "3 left the journal before they were looked at",
    ]


def test_no_reach_at_all_is_said() -> None:
    assert shown(replayed(reach_ms=0))[-1] == "reach          no stored batch is whole in the rings any more"


def test_one_that_failed_says_how_to_go_on() -> None:
    assert shown(task(7, "failed", error={"text": "no such table", "hint": "make it"})) == [
        "task 7 failed: no such table",
        "make it",
        "to go on with it: trackflow tasks resume 7",
    ]
    assert shown(task(7, "cancelled"))[0] == "task 7 cancelled"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (replayed(), 0),
        (replayed(restored=5, held=0), 0),
        (replayed(gone=1, held=4, out_of_reach=1), 1),
        (task(7, "failed", error={"text": "no", "hint": ""}), 1),
        (task(7, "cancelled"), 1),
    ],
)
def test_the_exit_code_says_whether_all_is_there(value: dict[str, Any], code: int, tmp_path: Path) -> None:
    with stage(tmp_path, {"replay": task(7, "running"), "task": value}) as asked:
        assert run(tmp_path, "--since", "10m") == code
        assert run(tmp_path, "--since", "1h", "--dry-run", "--json") == code
    assert [request["args"] for request in asked if request["name"] == "replay"] == [
        {"since": 600.0, "dry_run": False},
        {"since": 3600.0, "dry_run": True},
    ]


def test_detached_it_is_begun_and_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stage(tmp_path, {"replay": task(7, "running")}) as asked:
        assert run(tmp_path, "--since", "90s", "--detach") == 0
        assert capsys.readouterr().out == "task 7 is begun: trackflow tasks show 7 --watch\n"
        assert run(tmp_path, "--since", "90", "--detach", "--json") == 0
        assert json.loads(capsys.readouterr().out)["id"] == 7
    assert {request["name"] for request in asked} == {"replay"}


def test_ctrl_c_leaves_it_running_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with stage(tmp_path, {"replay": task(7, "running"), "task": task(7, "running")}):
        monkeypatch.setattr("trackflowd.cli_tasks.time.sleep", interrupt)
        assert run(tmp_path, "--since", "10m") == 130
    out, err = capsys.readouterr()
    assert (out, err) == ("", "still runs: trackflow tasks show 7; to end it: trackflow tasks cancel 7\n")


@pytest.mark.parametrize("words", [(), ("--since", "0"), ("--since", "soon"), ("--since", "10 parsecs")])
def test_without_a_span_of_time_nothing_is_asked(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.operator(["replay", *words])
    assert ended.value.code == 2
    assert "--since" in capsys.readouterr().err


def test_through_a_supervisor_first_dry_then_for_good_then_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flusher = Replay(tmp_path / "data")
    flusher.prepare(BATCHES, BATCHES[:1], **{BATCHES[3]: {"outcome": "gone", "restored": 0, "lost": 10, "text": "no"}})
    table = ["looked at", "already there", "restored", "out of reach", "reach"]

    async def story(running: Running) -> None:
        await running.ready()

        async def replay(*words: str) -> list[str]:
            assert await asyncio.to_thread(run, tmp_path / "data", "--since", "10m", *words) == 1
            return capsys.readouterr().out.splitlines()

        dry = await replay("--dry-run")
        assert [line.split("  ")[0] for line in dry[:5]] == [*table[:2], "would be restored", *table[3:]]
        assert dry[2].split()[3:] == ["2", "batches", "20", "rows"]
        assert flusher.sent == []
        done = await replay()
        assert done[2].split() == ["restored", "2", "batches", "20", "rows"]
        assert done[5] == f"batch {BATCHES[3]}: 10 rows lost: no"
        assert (await replay())[1].split() == ["already", "there", "3", "batches"]
        assert flusher.sent == BATCHES[1:3]
        assert await asyncio.to_thread(cli.operator, ["--data-dir", str(tmp_path / "data"), "tasks", "list"]) == 0
        assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["id", "3", "2", "1"]

    play(tmp_path, story)
