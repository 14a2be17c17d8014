"""The daemon with a cluster's batches in doubt sent to any host that answers: what must make the test of binding fail.

``python -m tests.straying_daemon run …`` takes what ``trackflowd`` takes.
"""

from __future__ import annotations

import sys

from trackflowd import children, cli, flusher
from trackflowd.lander_cluster import ClusterLander, Side
from trackflowd.openbatch import Open


def _anybody(self: ClusterLander, one: Open, now: float) -> Side | None:
    return next((side for side in self._preferred(one.cut) if side.free(now)), None)


def main() -> int:
    if sys.argv[1] == "flusher":
        ClusterLander._teller = _anybody  # type: ignore[method-assign]
        return flusher.main(sys.argv[2:])
    children.COMMANDS["flusher"] = [sys.executable, "-m", "tests.straying_daemon", "flusher"]
    return cli.daemon(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
