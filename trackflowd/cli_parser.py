"""How both programs describe their commands: one line each, examples under every ``--help``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import trackflowd

#: What a command does; its exit code.
Handler = Callable[[argparse.Namespace], int]


def program_parser(program: str, about: str, examples: str, codes: str) -> argparse.ArgumentParser:
    """The parser of a program, with --version.

    Args:
        program: its name.
        about: a sentence or two.
        examples: one per line.
        codes: what its exit codes mean, one per line.
    """
    parser = argparse.ArgumentParser(
        prog=program,
        description=about,
        epilog=f"examples:\n{_indented(examples)}\n\nexit codes:\n{_indented(codes)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-V", "--version", action="version", version=f"%(prog)s {trackflowd.__version__}")
    return parser


class Commands:
    """Adds commands to a parser, each with help, examples and the flags it shares with the others.

    Args:
        parser: the program's, or that of a group such as ``ring``.
        shared: flags every command takes.
    """

    def __init__(self, parser: argparse.ArgumentParser, shared: Sequence[argparse.ArgumentParser] = ()) -> None:
        self._adder = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
        self._shared = list(shared)

    def add(self, name: str, about: str, handler: Handler, examples: str) -> argparse.ArgumentParser:
        """A command.

        Args:
            name: as it is typed.
            about: one line, lower case, no full stop.
            handler: what it does.
            examples: one per line.
        """
        parser = self._adder.add_parser(name, parents=self._shared, **_texts(about, examples))
        parser.set_defaults(handler=handler)
        return parser

    def group(self, name: str, about: str, examples: str) -> Commands:
        """A command that has commands of its own."""
        return Commands(self._adder.add_parser(name, **_texts(about, examples)), self._shared)


def _texts(about: str, examples: str) -> dict[str, Any]:
    return {
        "help": about,
        "description": about[0].upper() + about[1:] + ".",
        "epilog": "examples:\n" + _indented(examples),
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def _indented(lines: str) -> str:
    return "\n".join(f"  {line}" for line in lines.splitlines())
