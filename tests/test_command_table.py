"""The table of commands, and what is held to it: requests, handlers, subcommands."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from trackflowd import cli
from trackflowd.proto.command_table import COMMANDS
from trackflowd.proto.control import read_request

#: Subcommands that ask the daemon for nothing of their own, and why.
WITHOUT_A_COMMAND = {
    "events get": "asks `events`",
    "events export": "asks `events`",
    "alerts": "asks `status`",
    "console": "asks `watch`, `stats`, `tail` and others",
    "spool list": "reads files",
    "spool dump": "reads files",
    "quarantine list": "reads files",
    "quarantine dump": "reads files",
    "ring check": "reads files",
    "ring dump": "reads files",
    "geo update": "fetches a file",
    "geo lookup": "reads a file",
    "verify": "asks a web server",
    "openapi": "writes out tables of the code",
    **dict.fromkeys(("stack up", "stack status", "stack logs", "stack down", "stack rm"), "asks a Docker engine"),
    "doctor": "asks `status`, `config` and `query`, and looks at the machine",
}


def tools(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every subcommand, as it is typed."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield " ".join(path), parser
    for group in groups:
        for name, child in group.choices.items():
            yield from tools(child, (*path, name))


TOOLS = dict(tools(cli._operator_parser()))


def test_every_command_is_explained_and_every_default_is_of_its_kind() -> None:
    for command in COMMANDS.values():
        assert command.help
        assert command.answer
        given = {
            arg.name: {"text": "", "number": 1, "flag": True, "map": {}, "list": [""]}[arg.kind] for arg in command.args
        }
        assert read_request({"id": 1, "name": command.name, "args": given}).args == given
        for arg in command.args:
            assert arg.help
            if arg.default is not ...:
                read_request({"id": 1, "name": command.name, "args": {**given, arg.name: arg.default}})


def test_every_command_has_a_subcommand_and_every_subcommand_a_command() -> None:
    typed = {"stats" if tool.startswith("stats ") else tool for tool in TOOLS}
    assert {command.tool for command in COMMANDS.values()} == typed - WITHOUT_A_COMMAND.keys()
    assert typed >= WITHOUT_A_COMMAND.keys()


def test_every_subcommand_of_a_command_gives_json() -> None:
    meant = {command.tool for command in COMMANDS.values()}
    bare = [tool for tool, parser in TOOLS.items() if "--json" not in parser.format_help()]
    assert [tool for tool in bare if tool in meant or tool.startswith("stats ")] == []


def test_what_streams_does_not_act() -> None:
    assert [command.name for command in COMMANDS.values() if command.streams and command.acting] == []
