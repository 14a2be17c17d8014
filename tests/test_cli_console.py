"""cli_console: the command line of the console; the console itself is driven by tests/process/test_console.py."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from trackflowd import cli, cli_console


def test_the_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.operator(["console", "--help"])
    shown = capsys.readouterr().out
    for text in ("--once", "--ascii", "--tab", "ssh -t", "120x40"):
        assert text in shown, text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--size", "big"], "columns and rows are needed, such as 120x40"),
        (["--every", "0"], "must be within 0.2 and 60 seconds"),
        (["--every", "soon"], "a number of seconds is needed"),
        (["--tab", "nowhere"], "invalid choice"),
    ],
)
def test_what_makes_no_sense_is_said(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.operator(["console", *words])
    assert ended.value.code == cli.USAGE
    assert told in capsys.readouterr().err


def test_nobody_there_is_said_without_taking_the_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.operator(["--data-dir", str(tmp_path), "console", "--once"]) == cli.UNREACHABLE
    captured = capsys.readouterr()
    assert "no trackflowd listens" in captured.err and captured.out == ""


def test_it_needs_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert cli.operator(["--data-dir", str(tmp_path), "console"]) == cli.ERROR
    assert "--once prints one screen as text" in capsys.readouterr().err


def test_a_terminal_that_cannot_place_text_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    assert cli.operator(["--data-dir", str(tmp_path), "console"]) == cli.ERROR
    assert "can place text" in capsys.readouterr().err


def test_the_tabs_are_those_of_the_desk() -> None:
    from trackflowd.console.desk import NAMES

    assert cli_console.TABS == NAMES
