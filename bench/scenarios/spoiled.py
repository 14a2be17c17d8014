"""A daemon whose store can be slowed and cut off: the store, the proxy before it, what waits in the spool."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bench.faults.proxy import Mode
from bench.faults.store import StoreProcess
from bench.scenarios.figures import Series, percentiles
from bench.scenarios.frame import Skipped, Stage
from bench.scenarios.processes import GENERATOR_CORE, on
from bench.scenarios.server import Server, server
from bench.traffic.loop import Loop
from bench.traffic.target import TargetFailed
from trackflowd import segment
from trackflowd.errors import TrackflowError

#: A small ring that gives way early, and small batches: the spool is used within a second.
SETS = {"ring.size": "4MiB", "spool.start_at": "2", "batch.max_age": "0.2"}
_ROOT = Path(__file__).parent.parent.parent
#: In a checkout: chDB with a server's face, as the tests have it.
_FRONT = "tests.clickhouse_front"
_FRONT_URL = "clickhouse://default@127.0.0.1/trackflow"
_SECOND = 10**9
#: ns between two points of a line.
_STEP = _SECOND // 2


class Spoiler:
    """The proxy's process.

    Args:
        host, port: of the store.

    Attributes:
        port: where it listens, on 127.0.0.1.
    """

    def __init__(self, host: str, port: int) -> None:
        command = [sys.executable, "-m", "bench.scenarios.spoiler", host, str(port)]
        self._process = subprocess.Popen(
            command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            self.port = int(self._answer())
        except BaseException:
            self.close()
            raise

    def set(self, mode: Mode | None) -> None:
        """Spoil requests from now on; None: no more. Raises TargetFailed."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(mode) if mode else None) + "\n")
        self._process.stdin.flush()
        self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise TargetFailed("the proxy before the store has ended")
        return line

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def spoiled(stage: Stage) -> Iterator[tuple[Server, Spoiler]]:
    """A daemon, and what stands between it and its store.

    Raises:
        Skipped: there is no store that can be slowed.
        StoreFailed, TargetFailed: one of them does not start.
    """
    url, command = _store(stage)
    with stage.lend("spoiler", lambda: _spoiler(stage, url, command)) as spoiler:
        parts = urlsplit(url)
        user = "".join(parts.netloc.rpartition("@")[:2])
        before = parts._replace(netloc=f"{user}127.0.0.1:{spoiler.port}").geturl()
        with server(stage, SETS, before) as one:
            yield one, spoiler


@contextmanager
def _spoiler(stage: Stage, url: str, command: str) -> Iterator[Spoiler]:
    """The store, if it is to be started, and the proxy before it."""
    parts = urlsplit(url)
    port = parts.port or 0
    stage.say("starting a store")
    with ExitStack() as stack:
        with on(GENERATOR_CORE):  # in service it is another machine's
            if command:
                store = StoreProcess(command, stage.work / "store", port, stage.work / "store.log")
                stack.callback(store.kill)
                port = store.port
            spoiler = Spoiler(parts.hostname or "127.0.0.1", port or 8123)
            stack.callback(spoiler.close)
        yield spoiler


def _store(stage: Stage) -> tuple[str, str]:
    """Url of the store, and the command that starts it, "" for one that runs. Raises Skipped."""
    options = stage.options
    if options.server:
        return options.server, options.server_command
    # Only a checkout has the tests; and theirs must be those beside this package.
    found = importlib.util.find_spec(_FRONT) if (_ROOT / "tests" / "clickhouse_front.py").exists() else None
    if found is None:
        raise Skipped(
            "a ClickHouse server is needed, for an embedded store cannot be slowed: --server "
            "clickhouse://user:password@host:8123/database, with --server-command for one that is to be started"
        )
    return _FRONT_URL, f"{sys.executable} -m {_FRONT} --data {{dir}}/engine --port {{port}}"


@dataclass
class SpoolWatch:
    """Looks into the spool's directory, and what latencies come, while traffic flows.

    Args:
        directory: the spool's.

    Attributes:
        rows, size: of all batches seen so far; bytes.
        peak: most bytes at a time.
    """

    directory: Path
    rows: int = 0
    size: int = 0
    peak: int = 0
    _known: set[str] = field(default_factory=set)
    _held: list[tuple[float, float]] = field(default_factory=list)
    _latency: list[tuple[float, float]] = field(default_factory=list)
    _seen: list[int] = field(default_factory=list)
    _since: int = 0

    def tick(self, passed: int, loop: Loop) -> None:
        """To be called often while traffic flows, with the ns that have passed."""
        held = self.look()
        if passed - self._since < _STEP:
            return
        self._held.append((passed / _SECOND, held / 1e6))
        loop.fold()
        recent = loop.tally.latency.since(self._seen or [0] * len(loop.tally.latency.counts))
        if recent.total:
            self._latency.append((passed / _SECOND, percentiles(recent)["p99"]))
        self._seen, self._since = list(loop.tally.latency.counts), passed

    def look(self) -> int:
        """Bytes in the spool now; batches not seen before are taken in."""
        held = 0
        with suppress(FileNotFoundError):  # it is made with the first batch
            for path in self.directory.iterdir():
                if path.suffix != segment.SUFFIX:
                    continue
                with suppress(OSError, TrackflowError):  # one may have landed meanwhile
                    size = path.stat().st_size
                    held += size
                    if path.name not in self._known:
                        self.rows += segment.read_head(path).rows
                        self.size += size
                        self._known.add(path.name)
        self.peak = max(self.peak, held)
        return held

    def figures(self) -> dict[str, float]:
        """What it came to."""
        each = {"disk_bytes.spool": self.size / self.rows} if self.rows else {}
        return {**each, "spool_mb.peak": self.peak / 1e6}

    def points(self) -> dict[str, Series]:
        """How it went."""
        return {
            "p99 of each half second": Series("s", "ms", self._latency),
            "spool": Series("s", "MB", self._held),
        }
