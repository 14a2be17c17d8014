"""``trackflow console``: the daemon on a screen, watched and steered by keys. docs/console.md shows it."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import time
from typing import TYPE_CHECKING

from trackflowd.cli_parser import Commands
from trackflowd.cli_text import say
from trackflowd.client import Client, find_socket
from trackflowd.errors import TrackflowError

if TYPE_CHECKING:
    from trackflowd.console.desk import Console
    from trackflowd.console.reader import Reader

#: Seconds that ``--once`` waits for what the tab shows.
PATIENCE = 5.0
#: Seconds that it waits on for what comes in one go with the first of it, such as lines of the log.
_GRACE = 0.2
#: Bounds of ``--every``, s: those of the command ``watch``.
_EVERY = (0.2, 60.0)
TABS = ("overview", "pipeline", "audience", "live", "processes", "tasks", "log")


def add_commands(commands: Commands) -> None:
    """Add this module's command."""
    console = commands.add(
        "console",
        "the daemon on a screen: rates, pipeline, audience, live events, processes, tasks, log; keys act",
        _console,
        "trackflow console\ntrackflow console --tab live\nssh -t stats.example.com trackflow console --every 5\n"
        "trackflow console --once --tab pipeline --size 120x40     # one screen as text, for scripts\n"
        "NO_COLOR=1 trackflow console --ascii",
    )
    console.add_argument("--tab", choices=TABS, default=TABS[0], help="the tab in front (default: overview)")
    console.add_argument("--site", default="", metavar="SITE", help="the tab Audience shows this site (default: all)")
    console.add_argument(
        "--every", type=_seconds, default=1.0, metavar="SECONDS", help="a frame each so many seconds (default: 1)"
    )
    console.add_argument(
        "--ascii",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="draw with ASCII characters only (default: unless the locale is UTF-8)",
    )
    console.add_argument("--mono", action="store_true", help="without colours ($NO_COLOR does the same)")
    console.add_argument("--no-mouse", action="store_true", help="leave the mouse to the terminal")
    console.add_argument("--once", action="store_true", help="print one screen as text and end")
    console.add_argument("--size", type=_size, metavar="WxH", help="of --once (default: the terminal's, or 80x24)")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: a number of seconds is needed") from None
    if not _EVERY[0] <= seconds <= _EVERY[1]:
        raise argparse.ArgumentTypeError(f"must be within {_EVERY[0]:g} and {_EVERY[1]:g} seconds")
    return seconds


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,3})[x×](\d{1,3})", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r}: columns and rows are needed, such as 120x40")
    return int(found[1]), int(found[2])


def _console(args: argparse.Namespace) -> int:
    beside = os.path.join(args.data_dir, "control.sock") if args.data_dir else None
    path = find_socket(args.socket or beside, os.environ)
    if not args.once and not (sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"):
        raise TrackflowError("the console needs a terminal that can place text", "--once prints one screen as text")
    Client.connect(path).close()  # nobody there: said in a line, as by the other commands, not on a screen
    # Only here: urwid takes longer to import than most commands take to answer.
    from trackflowd.console import terminal
    from trackflowd.console.desk import Console
    from trackflowd.console.knowledge import Knowledge
    from trackflowd.console.reader import Reader

    ascii_only = not terminal.utf8(os.environ) if args.ascii is None else args.ascii
    know = Knowledge(args.every)
    reader = Reader(path, know)
    desk = Console(know, reader, args.tab, args.site, ascii_only)
    reader.start()
    try:
        if args.once:
            _once(desk, reader, args.size or shutil.get_terminal_size((80, 24)))
        else:
            terminal.show(desk, reader, args.mono, not args.no_mouse)
    finally:
        desk.close()
        reader.close()
    return 0


def _once(desk: Console, reader: Reader, size: tuple[int, int]) -> None:
    """Print one screen, once what the tab shows has come, or after ``PATIENCE``."""
    deadline = time.monotonic() + PATIENCE
    while (desk.tab.waits or not desk.know.status) and time.monotonic() < deadline:
        desk.tick(time.monotonic())
        reader.take(0.05)
    reader.take(_GRACE)
    for line in desk.draw(*size):
        say("".join(segment.text for segment in line).rstrip())
