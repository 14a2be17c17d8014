"""cli_steer: what is asked of the daemon, and how its answers are shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.control_stage import stage
from trackflowd import cli

CHANGE = {"key": "batch.max_rows", "old": 5, "new": 7}
LATE = {"key": "store.url", "old": "chdb:", "new": "null:\x1b"}
RELOAD: dict[str, Any] = {"changed": [CHANGE, LATE], "restart": ["store.url"], "applied": True}


@pytest.mark.parametrize(
    ("words", "answer", "asked", "shown"),
    [
        (["pause"], {"paused": True, "sending": 0}, {}, "paused: nothing more is sent"),
        (["pause"], {"paused": True, "sending": 1200}, {}, "1,200 rows were on their way"),
        (["resume"], {"paused": False, "sending": 0}, {}, "resumed"),
        (["loglevel", "debug"], {"level": "debug"}, {"level": "debug"}, "logging from debug on"),
        (["reload"], RELOAD, {"dry_run": False}, "batch.max_rows: 5 → 7\nstore.url: "),
        (["reload"], RELOAD, {"dry_run": False}, "takes a restart\n1 taken on"),
        (["reload", "--dry-run"], {**RELOAD, "applied": False}, {"dry_run": True}, "a dry run: nothing was changed"),
        (["reload"], {"changed": [], "restart": [], "applied": True}, {"dry_run": False}, "nothing has changed"),
    ],
)
def test_orders_are_given_and_answers_shown(
    words: list[str], answer: Any, asked: dict[str, Any], shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stage(tmp_path, {words[0]: answer}) as asked_for:
        assert cli.operator(["--data-dir", str(tmp_path), *words]) == 0
        out = capsys.readouterr().out
        assert shown in out
        assert "\x1b" not in out
        assert cli.operator(["--data-dir", str(tmp_path), *words, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == answer
    assert asked_for == [{"name": words[0], "args": asked}] * 2


def test_who_may_not_is_told_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stage(tmp_path, {"pause": ("not_permitted", "this user may only look", "run it as root")}):
        assert cli.operator(["--data-dir", str(tmp_path), "pause"]) == 1
    assert capsys.readouterr().err == "trackflow: this user may only look\n  run it as root\n"


def test_a_wrong_configuration_ends_with_1_and_its_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stage(tmp_path, {"reload": ("config", "t.toml, line 3: no\nt.toml, line 5: no", "")}):
        assert cli.operator(["--data-dir", str(tmp_path), "reload"]) == 1
    assert capsys.readouterr().err == "trackflow: t.toml, line 3: no\ntrackflow: t.toml, line 5: no\n"
