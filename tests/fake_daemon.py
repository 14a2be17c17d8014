"""A supervisor with fake children as a process of its own, for tests that kill it.

::

    with FakeDaemon(tmp_path) as daemon:
        daemon.call("version")
        daemon.kill()
        daemon.start()
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.fake_replay import Replay
from tests.supervised import PATIENCE, settings, with_fakes
from trackflowd import supervisor
from trackflowd.client import Client
from trackflowd.errors import ControlError

_ROOT = Path(__file__).parent.parent
_LOOK = 0.01


class FakeDaemon:
    """The process.

    Args:
        directory: the test's own; the data dir is ``data`` in it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data_dir = directory / "data"
        self.replay = Replay(self.data_dir)
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> FakeDaemon:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        if error is not None:
            error.add_note((self.directory / "daemon.log").read_text(errors="replace")[-6000:])

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.directory / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.fake_daemon", str(self.directory)],
                cwd=_ROOT,
                env={**os.environ, "PYTHONPATH": str(_ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.until(self._answers)

    def _answers(self) -> bool:
        try:
            self.call("version")
        except ControlError:
            return False
        return True

    def kill(self) -> None:
        """SIGKILL, and reap; its children die with it."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE)

    def call(self, command: str, **args: Any) -> Any:
        """A command on a connection of its own."""
        with Client.connect(str(self.data_dir / "control.sock")) as client:
            return client.call(command, **args)

    def until(self, good: Callable[[], object]) -> None:
        """Return once good() is true; fail if the process ends before, or takes too long."""
        end = time.monotonic() + PATIENCE
        while not good():
            assert self.process is not None and self.process.poll() is None, "the daemon has ended"
            assert time.monotonic() < end
            time.sleep(_LOOK)

    def ended(self, number: int) -> dict[str, Any]:
        """A task, once it has ended."""
        self.until(lambda: self.call("task", id=number)["state"] not in ("pending", "running"))
        value: dict[str, Any] = self.call("task", id=number)
        return value


if __name__ == "__main__":
    with with_fakes():
        sys.exit(supervisor.run(settings(Path(sys.argv[1]))))
