"""cli: exit codes, and how errors are told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import trackflowd
from trackflowd import cli, cli_ask
from trackflowd.errors import ConfigError, ControlError, QueryError

ROOT = Path(__file__).parent.parent
OPERATOR = "import sys; from trackflowd.cli import operator; sys.exit(operator())"


def raising(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    """Exit code of a command that raises error."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(cli_ask, "connect", fail)
    return cli.operator(["status"])


def answered(text: str) -> ControlError:
    error = ControlError(text)
    error.code = "not_stored"
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (QueryError("no"), 1),
        (answered("no"), 1),
        (ConfigError("no"), 2),
        (ControlError("no"), 3),
        (PermissionError(13, "no", "/x"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_what_goes_wrong_has_its_exit_code(error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert raising(error, monkeypatch) == code


def test_an_error_is_a_line_and_its_hint_another(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(QueryError("no such\x1b[2J table", "try events"), monkeypatch)
    assert capsys.readouterr().err == "trackflow: no such�[2J table\n  try events\n"


def test_the_journal_knows_a_complaint_for_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    raising(QueryError("no such table", "try events"), monkeypatch)
    assert capsys.readouterr().err == "<3>trackflow: no such table\n<3>  try events\n"


def test_ctrl_c_says_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    raising(KeyboardInterrupt(), monkeypatch)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("argv", [[], ["no"], ["query"], ["status", "--no"], ["ring", "dump", "--limit", "0"]])
def test_wrong_usage_ends_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.operator(argv)
    assert ended.value.code == 2
    assert "usage: trackflow" in capsys.readouterr().err


@pytest.mark.parametrize("program", [cli.daemon, cli.operator])
def test_both_say_their_version(program: object, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program(["--version"])  # type: ignore[operator]
    assert trackflowd.__version__ in capsys.readouterr().out


def test_nobody_there_is_told_with_a_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.operator(["status", "--data-dir", str(tmp_path)]) == 3
    text, hint = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "control.sock") in text
    assert "trackflowd run" in hint


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    """As ``trackflow … | head``: the pipe is closed before anything is written to it."""
    reading, writing = os.pipe()
    os.close(reading)
    code = OPERATOR.replace("import sys;", "import sys; from trackflowd import cli_tools; from pathlib import Path;")
    code = code.replace(
        "sys.exit",
        "cli_tools._rings = lambda args: [Path('x')] * 9; cli_tools.tools.check = lambda path: {'ok': True}; sys.exit",
    )
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-c", code, "ring", "check", "--json"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=pipe,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (0, b"")


def test_no_command_waits_for_libraries_that_only_some_need() -> None:
    """``trackflow status`` would take half a second instead of a quarter."""
    heavy = "asyncpg clickhouse_connect docker httptools prometheus_client urllib3 urwid uvloop".split()
    code = f"import sys, trackflowd.cli; print(*(name for name in {heavy} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []
