"""cli_stack: what is said where there is no engine, and how a stack is shown. tests/process/test_stack.py has one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from trackflowd import cli, cli_stack
from trackflowd.stack.book import Book, shown
from trackflowd.stack.phase import Phase, Verdict


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.operator(["stack", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize("command", [("up",), ("status",), ("down",), ("rm",), ("logs", "daemon")], ids=" ".join)
def test_without_an_engine_every_command_says_what_to_do(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody")
    code, out, err = told(capsys, *command, "--data-dir", str(tmp_path / "data"))
    assert (code, out) == (1, "")
    assert "no Docker engine answers" in err and "systemctl start docker" in err and "DOCKER_HOST" in err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (("up", "--file", "none.toml"), "No such file"),
        (("up", "--store", "oracle"), "no store 'oracle'"),
        (("up", "nobody"), "no container 'nobody'"),
        (("up", "--with", "nothing"), "no --with 'nothing'"),
        (("down", "nobody"), "no container 'nobody'"),
    ],
)
def test_what_the_file_does_not_have_is_wrong_usage(
    words: tuple[str, ...], wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = told(capsys, *words)
    assert code == 2 and wrong in err


def rows(tmp_path: Path) -> list[dict[str, Any]]:
    with Book(tmp_path, "s") as book:
        well, ill = book.record("clickhouse", "image:1"), book.record("daemon", "image:2")
        well.become(Verdict(Phase.HEALTHY, "healthy"), 5)
        ill.become(Verdict(Phase.FAILED, "ended\x1b with code 3", "trackflow stack logs daemon says why"), 6)
    used = {"id": "x", "restarts": 2, "cpu": 0.5, "memory": 3 * 2**20}
    return [{**shown(well.task), "container": used}, {**shown(ill.task), "container": {"id": None, "restarts": 0}}]


def test_a_stack_is_a_table_with_what_to_do_and_on_demand_its_history(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli_stack._show(rows(tmp_path), history=False)
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"clickhouse +healthy +image:1 +50% +3(\.0)? MiB +2 *", lines[1]), lines[1]
    assert re.match(r"daemon +failed +image:2 .*ended.* with code 3", lines[2]) and "\x1b" not in lines[2]
    assert lines[3].strip() == "→ trackflow stack logs daemon says why"
    cli_stack._show(rows(tmp_path), history=True)
    assert "asked for" in capsys.readouterr().out


def test_each_change_is_a_line_or_an_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Book(tmp_path, "s") as book:
        record = book.record("one", "image")
        for as_json in (False, True):
            tell = cli_stack._Told(as_json)
            record.become(Verdict(Phase.FAILED, f"why {as_json}", "do this"), 5)
            tell(record)
            tell.end()
    text, hint, line = capsys.readouterr().out.splitlines()
    assert text.split() == ["0.0", "s", "one", "failed", "why", "False"] and hint.strip() == "→ do this"
    assert json.loads(line)["phase"] == "failed"
