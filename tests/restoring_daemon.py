"""The daemon whose flusher is killed once at each step of a restore: ``python -m tests.restoring_daemon run …``.

Steps: parts moved and not attached; attached, and nobody told; the third bucket merged, and nobody told; the table of
the parts gone, its directory not. Buckets are small. $TESTS_MARKS names a directory where each kill leaves its mark.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests import daemon
from tests.failpoints import Function, replace
from trackflowd.sink import archive

STEPS = {"moved": "_move", "attached": "Archive.stage", "merged": "Archive.merge", "dropped": "Archive.drop"}
#: At which of its calls in one process a step kills, where it is not the first.
_LATER = {"merged": 3}


def killing(step: str, real: Function) -> Function:
    """The function, which kills its process behind itself, once."""
    calls = 0

    @functools.wraps(real)
    def wrapped(*args: Any) -> Any:
        nonlocal calls
        value = real(*args)
        calls += 1
        mark = Path(os.environ["TESTS_MARKS"]) / step
        after_others = step != "dropped" or mark.with_name("merged").exists()  # a restore begins with one, too
        if calls >= _LATER.get(step, 1) and after_others and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return value

    return wrapped


if __name__ == "__main__":
    if sys.argv[1] == "flusher":
        archive.BUCKET = 300
        for step, name in STEPS.items():
            replace(f"trackflowd.sink.archive:{name}", functools.partial(killing, step))
    sys.exit(daemon.main("tests.restoring_daemon"))
