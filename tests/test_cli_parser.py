"""cli_parser: every command has help with examples, and takes the shared flags."""

from __future__ import annotations

import argparse

import pytest

from trackflowd import cli
from trackflowd.cli_parser import Commands, program_parser
from trackflowd.stats import STATISTICS


def commands(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command of a program, as the words that are typed."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        return [path]
    return [
        found for group in groups for name, child in group.choices.items() for found in commands(child, (*path, name))
    ]


OPERATOR = commands(cli._operator_parser())
DAEMON = commands(cli._daemon_parser())


def test_the_commands_are_these() -> None:
    assert [" ".join(path) for path in DAEMON] == ["run", "check"]
    assert [" ".join(path) for path in OPERATOR] == [
        *("status", "tail", "query", "flush", "drain", "stop", "alerts"),
        *("version", "watch", "history", "processes", "rings", "config", "log", "audit"),
        *("pause", "resume", "reload", "loglevel", "console"),
        *(f"stats {name}" for name in STATISTICS),
        *(f"events {name}" for name in ("get", "list", "export", "correct", "erase", "erasures", "forget")),
        *("spool list", "spool dump", "spool drop", "spool release"),
        *("quarantine list", "quarantine dump", "quarantine retry", "quarantine drop"),
        *("replay", "migrate", "backup", "restore", "tasks list", "tasks show", "tasks cancel", "tasks resume"),
        *("sites list", "sites show", "sites add", "sites set", "sites remove", "sites export", "sites import"),
        *("keys list", "keys add", "keys rotate", "keys revoke"),
        *("tokens list", "tokens add", "tokens rotate", "tokens revoke"),
        *("ring check", "ring dump", "geo update", "geo lookup", "geo ask", "verify", "doctor", "openapi"),
        "debug request",
        *("stack up", "stack status", "stack logs", "stack down", "stack rm"),
    ]


@pytest.mark.parametrize(
    "path",
    [(), ("stats",), ("spool",), ("quarantine",), ("tasks",), ("tokens",), ("ring",), ("geo",), ("stack",), *OPERATOR],
    ids=" ".join,
)
def test_every_help_of_trackflow_has_examples(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.operator([*path, "--help"])
    assert ended.value.code == 0
    assert "examples:\n" + f"  trackflow {' '.join(path)}".rstrip() in capsys.readouterr().out


@pytest.mark.parametrize("path", [(), *DAEMON], ids=" ".join)
def test_every_help_of_trackflowd_has_examples(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.daemon([*path, "--help"])
    assert ended.value.code == 0
    assert "examples:\n" + f"  trackflowd {' '.join(path)}".rstrip() in capsys.readouterr().out


def test_examples_and_codes_are_indented() -> None:
    text = program_parser("p", "About.", "p one\np two", "0 fine").format_help()
    assert "examples:\n  p one\n  p two\n\nexit codes:\n  0 fine\n" in text


def test_shared_flags_stand_before_or_after_the_command() -> None:
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument("--socket")
    parser = program_parser("p", "About.", "p go", "0 fine")
    parser.add_argument("--socket", default=None)
    group = Commands(parser, [shared]).group("ring", "rings", "p ring go")
    group.add("go", "go", lambda args: 0, "p ring go")
    assert parser.parse_args(["--socket", "a", "ring", "go"]).socket == "a"
    assert parser.parse_args(["ring", "go", "--socket", "b"]).socket == "b"
    assert parser.parse_args(["ring", "go"]).socket is None
