"""The daemon with a window of event ids that takes every repeat for new: what must make ``bench faults`` fail.

``python -m tests.doubling_daemon run …`` takes what ``trackflowd`` takes.
"""

from __future__ import annotations

import sys

from trackflowd import children, cli, flusher
from trackflowd.window import Window

_add = Window.add


def _always_new(self: Window, event_id: bytes, site: int, now_ms: int) -> bool:
    _add(self, event_id, site, now_ms)
    return True


def main() -> int:
    if sys.argv[1] == "flusher":
        Window.add = _always_new  # type: ignore[method-assign]
        return flusher.main(sys.argv[2:])
    children.COMMANDS["flusher"] = [sys.executable, "-m", "tests.doubling_daemon", "flusher"]
    return cli.daemon(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
