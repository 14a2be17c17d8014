"""cli_events: what the words on the command line come to, and how answers are shown."""

from __future__ import annotations

import argparse
import csv
import io
import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.control_stage import stage
from tests.task_values import NOON, task
from trackflowd import cli, cli_events, cli_tasks
from trackflowd.cli_text import Style
from trackflowd.errors import QueryError
from trackflowd.events import SHOWN

FOUND = {"events": 1_234, "waiting": 0, "files": 0, "unread": 0}


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(cli_tasks, "LOOK_EVERY", 0.01)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def event(n: int = 1, **changed: Any) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(SHOWN, "")
    return values | {
        "site": "shop", "event_id": f"0193b0c2-a7d8-7e6f-a4c1-{n:012x}", "name": "signup", "path": "/a\x1b[2J",
        "time": "2026-11-24 12:00:00.000", "visitor": "3f9a1c0b5d7e2f48", "user_id": "alice", "props": {"plan": "pro"},
        "scroll": 0, **changed,
    }  # fmt: skip


def run(tmp_path: Path, *words: str) -> int:
    return cli.operator(["--data-dir", str(tmp_path), "events", *words])


def page(*events: dict[str, Any], after: str = "") -> dict[str, Any]:
    return {"rows": list(events), "next": after}


def test_an_event_is_shown_whole_but_for_what_is_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stage(tmp_path, {"events": page(event())}) as asked:
        assert run(tmp_path, "get", "order-7", "--site", "shop") == 0
        assert run(tmp_path, "get", "order-7", "--json") == 0
    assert asked[0]["args"]["what"] == {"id": "order-7", "site": "shop"}
    out = capsys.readouterr().out
    assert 'props     {"plan": "pro"}' in out
    assert "\x1b" not in out.split("{\n")[0]
    assert "scroll" not in out.split("{\n")[0]
    assert json.loads("{" + out.split("{\n", 1)[1]) == event()


def test_an_event_that_is_not_there_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stage(tmp_path, {"events": page()}):
        assert run(tmp_path, "get", "order-7") == 1
    assert "trackflow flush" in capsys.readouterr().err


def test_events_are_listed_as_a_table_as_json_and_as_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stage(tmp_path, {"events": page(event(1), event(2))}) as asked:
        assert run(tmp_path, "list", "--user", "alice") == 0
        table = capsys.readouterr().out
        assert run(tmp_path, "list", "--user", "alice", "--json") == 0
        lines = capsys.readouterr().out.splitlines()
        assert run(tmp_path, "list", "--user", "alice", "--csv", "--oldest-first") == 0
        rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [one["args"]["newest"] for one in asked] == [True, True, False]
    assert asked[0]["args"]["what"] == {"user": "alice"}, "all there is of one user, not of a day"
    assert table.splitlines()[0].split() == ["time", "(UTC)", "site", "name", "path", "visitor", "user", "id"]
    assert "/a�[2J" in table
    assert table.splitlines()[-1] == "2 events"
    assert [json.loads(line) for line in lines] == [event(1), event(2)]
    assert tuple(rows[0]) == SHOWN
    assert (rows[1]["event_id"], rows[1]["props"]) == (event(2)["event_id"], '{"plan": "pro"}')


def test_pages_are_fetched_until_there_are_enough_or_no_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = iter([page(event(1), event(2), after="[5]"), page(event(3))] * 2)
    with stage(tmp_path, {"events": lambda: next(pages)}) as asked:
        assert run(tmp_path, "list", "--limit", "3") == 0
        assert run(tmp_path, "list", "--limit", "0") == 0
    assert [(one["args"]["limit"], one["args"]["after"]) for one in asked] == [
        (3, ""), (1, "[5]"), (500, ""), (500, "[5]"),
    ]  # fmt: skip
    assert "from" in asked[0]["args"]["what"], "a day, where nothing else bounds it"
    assert "3 events; more: --limit 0" in capsys.readouterr().out


def test_nobody_asked_for_is_an_export_of_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "export", "--site", "shop") == 2
    assert "--user or --visitor" in capsys.readouterr().err
    with stage(tmp_path, {"events": page(event(1))}) as asked:
        assert run(tmp_path, "export", "--user", "alice") == 0
        assert json.loads(capsys.readouterr().out) == event(1)
        assert run(tmp_path, "export", "--visitor", "3f9a1c0b5d7e2f48", "--csv") == 0
    assert [one["args"]["newest"] for one in asked] == [False, False]


def test_a_correction_is_sent_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stage(tmp_path, {"event_correct": {"event": event(), "stored": False}}) as asked:
        assert run(tmp_path, "correct", "i", "--set", "a=b=c", "--set", "d=", "--unset", "e") == 0
        assert run(tmp_path, "correct", "i", "--set", "a=b", "--json") == 0
    assert asked[0]["args"] == {"id": "i", "site": "", "put": {"a": "b=c", "d": ""}, "drop": ["e"]}
    out = capsys.readouterr().out
    assert "plan=pro" in out
    assert "still at it" in out


@pytest.mark.parametrize("words", [(), ("--set", "a"), ("--set", "=b")])
def test_a_correction_of_nothing_says_how(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert run(tmp_path, "correct", "i", *words) == 2


def erased(**changed: Any) -> dict[str, Any]:
    return task(7, kind="erase", result={**FOUND, "swept": 3}, **changed)


def test_an_erasure_without_a_terminal_wants_yes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stage(tmp_path, {"erase_count": FOUND, "erase": task(7, "pending"), "task": erased()}) as asked:
        assert run(tmp_path, "erase", "--user", "alice") == 2
        assert "1,234 events of user alice would be lost for good" in capsys.readouterr().err
        assert run(tmp_path, "erase", "--user", "alice", "--yes") == 0
    assert [one["name"] for one in asked] == ["erase_count", "erase", "task"]
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "1,234 events erased in the store"
    assert out[1].startswith("3 pages, referrers")


def test_a_person_at_a_terminal_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for answer, code in (("n\n", 1), ("y\n", 0)):
        typed = io.StringIO(answer)
        monkeypatch.setattr(typed, "isatty", lambda: True)
        monkeypatch.setattr("sys.stdin", typed)
        directory = tmp_path / answer.strip()
        directory.mkdir()
        with stage(directory, {"erase_count": FOUND, "erase": task(7, "pending"), "task": erased()}) as asked:
            assert run(directory, "erase", "--site", "shop", "--to", "2026-01-01") == code
        assert ("erase" in [one["name"] for one in asked]) is (code == 0)
        assert asked[0]["args"]["what"] == {"site": "shop", "to": 1_767_225_600_000}


def test_a_dry_run_counts_and_says_so_also_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {"events": 1, "waiting": 2, "files": 3, "unread": 4}
    with stage(tmp_path, {"erase_count": found}) as asked:
        assert run(tmp_path, "erase", "--visitor", "3f9a1c0b5d7e2f48", "--dry-run") == 0
        lines = capsys.readouterr().out.splitlines()
        assert run(tmp_path, "erase", "--id", "i", "--name", "n", "--dry-run", "--json") == 0
    assert [line.split(":")[0] for line in lines] == [
        "1 event would be erased in the store", "2 events left out of batches that wait to be stored",
        "3 of them would be erased in quarantine", "4 files in quarantine cannot be searched",
    ]  # fmt: skip
    assert json.loads(capsys.readouterr().out) == {"what": {"id": "i", "name": "n"}, **found}
    assert {one["name"] for one in asked} == {"erase_count"}


def test_an_erasure_of_everything_is_no_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "erase", "--yes") == 2
    assert "at least one of --id" in capsys.readouterr().err


def test_an_erasure_left_to_itself_and_one_that_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failed = task(7, "failed", kind="erase", error={"text": "no room", "hint": "make some"})
    with stage(tmp_path, {"erase": task(7, "pending"), "task": failed}):
        assert run(tmp_path, "erase", "--user", "a", "--yes", "--detach") == 0
        assert "task 7 is begun" in capsys.readouterr().out
        assert run(tmp_path, "erase", "--user", "a", "--yes") == 1
    assert capsys.readouterr().out.splitlines() == [
        "task 7 failed: no room", "make some", "to go on with it: trackflow tasks resume 7",
        "until then, too, nothing it names is stored",
    ]  # fmt: skip


def test_erasures_are_listed_and_forgotten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = {"number": 2, "what": {"user": "alice", "from": NOON}, "until_ms": NOON, "task": None, "state": ""}
    lists = iter([[one], [], [one]])
    with stage(tmp_path, {"erasures": lambda: next(lists), "erasure_forget": {"forgotten": 2}}) as asked:
        assert run(tmp_path, "erasures") == 0
        assert "user alice, from 2026-11-24 12:00:00" in capsys.readouterr().out
        assert run(tmp_path, "erasures") == 0
        assert "nothing was erased" in capsys.readouterr().out
        assert run(tmp_path, "erasures", "--json") == 0
        assert json.loads(capsys.readouterr().out) == [one]
        assert run(tmp_path, "forget", "2") == 2
        assert "bring back" in capsys.readouterr().err
        assert run(tmp_path, "forget", "2", "--yes") == 0
    assert asked[-1] == {"name": "erasure_forget", "args": {"number": 2}}


def test_dates_are_of_the_zone_of_who_asks(tmp_path: Path) -> None:
    now = datetime(2026, 11, 24, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    flags = {"site": "", "name": "", "user": "u", "visitor": "", "id": ""}
    args = argparse.Namespace(**flags, start="2026-11-01", end="2026-11-02T00:00+00:00", period=None)
    assert cli_events.selected(args, now) == {"user": "u", "from": 1_793_487_600_000, "to": 1_793_577_600_000}
    args.period, args.start, args.end = "24h", None, None
    assert cli_events.selected(args, now)["to"] == 1_795_518_000_000
    args.period, args.start = None, "yesterday"
    with pytest.raises(QueryError, match="is no date"):
        cli_events.selected(args, now)


def test_a_negative_limit_is_none(tmp_path: Path) -> None:
    assert run(tmp_path, "list", "--limit", "-1") == 2


def test_every_command_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("get", "list", "export", "correct", "erase", "erasures", "forget"):
        with pytest.raises(SystemExit):
            cli.operator(["events", name, "--help"])
        assert f"trackflow events {name}" in capsys.readouterr().out.partition("examples:")[2]
    assert cli_events.described(event(props={}), Style(False))[0].startswith("site")
