"""The table of commands in ``docs/control.md``, written from ``proto.command_table``.

``python -m trackflowd.control_text docs/control.md`` puts it between the two marks of that page; ``make format`` does,
and a test holds the page equal to it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from trackflowd.proto.command_table import COMMANDS, Arg, Command

BEGIN = "<!-- from here on written by `make format` from trackflowd/proto/command_table.py -->"
END = "<!-- up to here -->"


def table() -> str:
    """The table as Markdown."""
    lines = ["| command | `trackflow` | what it does | arguments | acting | answer |", "|---|---|---|---|---|---|"]
    return "\n".join([*lines, *map(_row, COMMANDS.values())])


def _row(command: Command) -> str:
    args = "<br>".join(map(_arg, command.args))
    acting = "yes" if command.acting else ""
    cells = (f"`{command.name}`", f"`{command.tool}`", command.help, args, acting, command.answer)
    return f"| {' | '.join(cells)} |"


def _arg(arg: Arg) -> str:
    if arg.default is ...:
        given = " *"
    elif arg.default is None or arg.default == ():
        given = " none"
    else:
        given = f" {json.dumps(arg.default)}"
    return f"`{arg.name}`{given}: {arg.help}"


def filled(page: str) -> str:
    """A page with the table between its marks.

    Raises:
        ValueError: the marks are not there.
    """
    return between(page, BEGIN, table())


def between(page: str, mark: str, text: str) -> str:
    """A page with a text of ours between a mark and ``END``.

    Raises:
        ValueError: the marks are not there.
    """
    before, begin, rest = page.partition(mark)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has not both marks")
    return f"{before}{begin}\n\n{text}\n\n{END}{after}"


def main(arguments: Sequence[str]) -> None:
    """Rewrite the page whose path is given."""
    (path,) = map(Path, arguments)
    path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
