"""cli_migrate: a move asked for, followed, and summed up."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.control_stage import stage
from tests.supervised import Running, play
from tests.task_values import NOON, task
from trackflowd import cli, cli_tasks
from trackflowd.cli_migrate import summary
from trackflowd.cli_text import Style
from trackflowd.migrate.plan import mapping, plan

MOVED = {
    "rows": 123_456,
    "equal": True,
    "seconds": 60.0,
    "target": "clickhouse://u:***@h:8123/d",
    "months": [
        {"month": 202610, "source": 100_000, "target": 100_000},
        {"month": 202611, "source": 23_456, "target": 23_456},
    ],
    "copied": 123_456,
    "mended": 0,
    "verified": 123_456,
    "movers": 1,
    "held_ms": 0,
    "switched_ms": 0,
    "source_bytes": 40 * 2**20,
    "target_bytes": 8 * 2**20,
}


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(cli_tasks, "LOOK_EVERY", 0.01)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def moved(**changed: Any) -> dict[str, Any]:
    return task(7, kind="migrate", result={**MOVED, **changed})


def shown(value: dict[str, Any]) -> list[str]:
    return summary(value, Style(False))


def run(tmp_path: Path, *words: str) -> int:
    return cli.operator(["--data-dir", str(tmp_path), "migrate", *words])


def test_the_summary_of_a_move_without_a_cutover_says_how_to_go_on() -> None:
    assert shown(moved()) == [
        "events      123,456, equal in both stores",
        "copied      123,456",
        "verified    123,456 by a checksum of each column",
        "took        1 m 0 s, 2,058 events a second",
        "size        40 MiB, now 8 MiB",
        "cutover     not yet: the daemon stores where it did; the same command with --cutover switches it",
        "",
        "month    old store  new store",
        "2026-10    100,000    100,000",
        "2026-11     23,456     23,456",
    ]


def test_the_summary_of_a_cutover_says_when_for_how_long_and_what_is_to_do() -> None:
    lines = shown(moved(switched_ms=NOON, held_ms=850, copied=1000, mended=5))
    assert lines[1] == "copied      1,000 now, the others were there"
    assert lines[3] == "mended      5 changed in the old store meanwhile: copied anew"
    assert lines[6:8] == [
        "cutover     2026-11-24 12:00:00; batches were held back for 850 ms, events taken all along",
        'to do       set store.url = "clickhouse://u:***@h:8123/d" in the daemon\'s options',
    ]


def test_stores_that_are_not_equal_are_said_not_to_be() -> None:
    assert shown(moved(equal=False))[0] == "events      123,456, not equal in both stores"


def test_a_plan_shows_how_much_how_long_and_what_becomes_what() -> None:
    lines = shown(task(7, kind="migrate", result={"plan": plan({202611: 100_000}, 40 * 2**20, 10_000, 0.5)}))
    assert lines[0] == "events      100,000"
    assert lines[1] == "size        40 MiB in PostgreSQL, about 6.4 MiB in the target"
    assert lines[2].startswith("time        about 13 s: copy and verify, 7,692 rows a second")
    assert lines[4:6] == ["month     events", "2026-11  100,000"]
    assert [line.split()[0] for line in lines[8:]] == [row["from"] for row in mapping()]
    assert lines[8].split() == ["sites.site", "text", "events.site", "LowCardinality(String)"]


def test_one_that_failed_says_how_to_go_on() -> None:
    assert shown(task(7, "failed", kind="migrate", error={"text": "no", "hint": "mend it"})) == [
        "task 7 failed: no",
        "mend it",
        "to go on with it: trackflow tasks resume 7",
    ]


@pytest.mark.parametrize(("value", "code"), [(moved(), 0), (task(7, "failed", error={"text": "no", "hint": ""}), 1)])
def test_what_is_asked_for_and_the_exit_code(value: dict[str, Any], code: int, tmp_path: Path) -> None:
    with stage(tmp_path, {"migrate": task(7, "running"), "task": value}) as asked:
        assert run(tmp_path, "--to", "chdb:", "--cutover") == code
        assert run(tmp_path, "--from", "postgresql://h/d", "--plan", "--json") == code
    assert [request["args"] for request in asked if request["name"] == "migrate"] == [
        {"source": "", "target": "chdb:", "cutover": True, "plan": False},
        {"source": "postgresql://h/d", "target": "", "cutover": False, "plan": True},
    ]


def test_ctrl_c_leaves_it_running_and_says_how_to_end_it_and_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with stage(tmp_path, {"migrate": task(7, "running"), "task": task(7, "running")}):
        monkeypatch.setattr("trackflowd.cli_tasks.time.sleep", interrupt)
        assert run(tmp_path, "--to", "chdb:") == 130
    assert capsys.readouterr().err.splitlines() == [
        "still runs: trackflow tasks show 7; to end it: trackflow tasks cancel 7",
        "ended so, it goes on where it was with: trackflow tasks resume 7",
    ]


def test_through_a_supervisor_urls_are_checked_and_passwords_shown_to_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    source, target = "postgresql://u:secret@h/d", "clickhouse://u:secret@h/d"

    async def story(running: Running) -> None:
        await running.ready()
        assert await asyncio.to_thread(run, data, "--to", target) == 1  # store.url is chdb:
        assert "from PostgreSQL only" in capsys.readouterr().err
        words = ("--from", source, "--to", target, "--detach", "--json")
        assert await asyncio.to_thread(run, data, *words) == 0
        out = capsys.readouterr().out
        assert json.loads(out)["args"]["target"] == "clickhouse://u:***@h/d"
        assert await asyncio.to_thread(cli.operator, ["--data-dir", str(data), "tasks", "show", "1", "--json"]) == 0
        assert "secret" not in out + capsys.readouterr().out

    play(tmp_path, story)
