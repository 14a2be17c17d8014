"""The daemon with something of it replaced: ``python -m tests.daemon run …`` takes what ``trackflowd run`` takes.

It starts the product's own supervisor, which starts workers and flusher through this module too
(``python -m tests.daemon worker …``): there the failpoints are laid (see ``failpoints``) before the
product's own entry of the process is called. A child that died is replaced at once, however often it
did. The builds of ``tests/broken`` are started the same way, each with one function exchanged.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from tests import failpoints
from trackflowd import children, cli, fleet


def main(module: str = "tests.daemon", target: str = "", wrong: Callable[[Any], Any] | None = None) -> int:
    """Entry of the launcher and of its children.

    Args:
        module: what children are started by: the caller's own name.
        target: "module:Class.name" of a function to exchange in the children, or "".
        wrong: gives its replacement from the function that is there.

    Returns:
        The exit code.
    """
    role = sys.argv[1] if len(sys.argv) > 1 else ""
    if role in ("worker", "flusher"):
        if wrong is not None:
            failpoints.replace(target, wrong)
        failpoints.install(role)
        code: int = importlib.import_module(f"trackflowd.{role}").main(sys.argv[2:])
        return code
    try:
        failpoints.carry(os.environ)
    except ValueError as error:
        print(f"{module}: ${failpoints.VARIABLE}: {error}", file=sys.stderr)
        return cli.USAGE
    fleet.BACKOFF_FIRST = fleet.BACKOFF_MOST = 0.0  # what is tried is how a child recovers, not the wait before
    children.COMMANDS["worker"] = [sys.executable, "-m", module, "worker", "--slot", "{slot}"]
    children.COMMANDS["flusher"] = [sys.executable, "-m", module, "flusher"]
    return cli.daemon()


if __name__ == "__main__":
    sys.exit(main())
