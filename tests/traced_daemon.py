"""The daemon with its flusher under strace from the first instruction on: each life of it by the next line of a plan.

``TESTS_PLAN`` names a directory with a file ``plan``, whose lines are what strace's ``inject`` takes; lives that
were begun by one leave a file named after its number there, lives after the last are the product's own. Without
the variable all are. Whatever child dies is replaced at once, however often it did.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from trackflowd import children, cli, fleet

VARIABLE = "TESTS_PLAN"


def main() -> int:
    """Entry of the launcher and of the flusher it starts."""
    if sys.argv[1:2] == ["flusher"]:
        command = [sys.executable, "-m", "trackflowd.flusher", *sys.argv[2:]]
        if what := _next(Path(os.environ[VARIABLE])):
            # -D: strace is the flusher's child, not its parent: the supervisor's child is the flusher.
            calls, _, _ = what.partition(":")
            command = [
                "strace",
                "-D",
                "-f",
                "-qq",
                "-o",
                "/dev/null",
                "-e",
                f"trace={calls}",
                "-e",
                f"inject={what}",
                *command,
            ]
        os.execvp(command[0], command)
    fleet.BACKOFF_FIRST = fleet.BACKOFF_MOST = 0.0
    if VARIABLE in os.environ:
        children.COMMANDS["flusher"] = [sys.executable, "-m", "tests.traced_daemon", "flusher"]
    return cli.daemon()


def _next(directory: Path) -> str:
    lines = (directory / "plan").read_text().splitlines()
    begun = len(list(directory.iterdir())) - 1
    if begun == len(lines):
        return ""
    (directory / str(begun)).touch()
    return lines[begun]


if __name__ == "__main__":
    sys.exit(main())
