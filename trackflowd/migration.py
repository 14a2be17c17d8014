"""The mover's process as the supervisor sees it: started when it is needed, asked, started again when it died."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trackflowd.children import Channel, describe_exit
from trackflowd.config import Config
from trackflowd.errors import TrackflowError
from trackflowd.job import FIRST_WAIT, LONGEST_WAIT, PASSING, Job
from trackflowd.proto.control import BadRequest
from trackflowd.sink.base import SinkOptions, masked, open_sink, sql_of

#: Command line of the process. Tests put their own there.
COMMAND = [sys.executable, "-m", "trackflowd.migrate.mover"]
#: Seconds for one call: a count of all rows of a large table is one.
CALL = 900.0
#: Seconds it has to let go of the stores.
CLOSING = 20.0
#: Processes in a row that ended without one answer in between.
MOST_DEATHS = 5
#: Codes of errors after which a fresh process may do better: it died, does not answer, or its engine is broken.
_ENDED = frozenset({"unavailable", "engine_broken"})


class Helper:
    """The mover of one job.

    Args:
        job: its own; asked whether to go on.
        source, target: urls; target "": only the source is opened.

    Attributes:
        started: processes so far.
    """

    def __init__(self, job: Job, source: str, target: str) -> None:
        self._job = job
        self._urls = {"source": source, "target": target}
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._opened: dict[str, Any] = {}
        self._deaths = 0
        self.started = 0

    async def up(self) -> Mapping[str, Any]:
        """What both stores said when they were opened; they are now, if they were not."""
        opened: dict[str, Any] = await self.ask("")
        return opened

    async def ask(self, name: str, **args: Any) -> Any:
        """One call; while the process is being started again or a store is away, wait and call again.

        Args:
            name: "": only see to it that it runs.

        Raises:
            Cancelled: the job is to end.
            TrackflowError: what does not pass by itself.
        """
        wait = FIRST_WAIT
        while True:
            self._job.check()
            try:
                if not self._opened:
                    await self._open()
                answer = await self._call(name, **args) if name else self._opened
                self._deaths = 0
                return answer
            except TrackflowError as error:
                if error.code in _ENDED:
                    await self._ended(error)
                elif error.code not in PASSING:
                    raise
                else:
                    self._job.waits(error.text)
            await self._job.pause(wait)
            wait = min(wait * 2, LONGEST_WAIT)

    async def _open(self) -> None:
        if self._process is None:
            await self._start()
        cfg = self._job.cfg
        self._opened = await self._call(
            "open",
            **self._urls,
            data_dir=cfg.daemon.data_dir,
            timeout=cfg.store.timeout,
            memory=cfg.store.memory,
            durable=cfg.ring.durability == "disk",
        )

    async def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            log = self._job.cfg.log
            command = [
                *COMMAND,
                "--channel",
                str(theirs.fileno()),
                "--log-level",
                log.level,
                "--log-format",
                log.format,
            ]
            try:
                self._process = subprocess.Popen(
                    command, pass_fds=[theirs.fileno()], process_group=0, stdin=subprocess.DEVNULL
                )
            except OSError as error:
                ours.close()
                raise TrackflowError(f"the mover cannot be started: {error.strerror}") from error
        ours.setblocking(False)
        channel = Channel("the mover", lambda message: None)
        self._channel = channel
        await asyncio.get_running_loop().create_unix_connection(lambda: channel, sock=ours)
        self.started += 1

    async def _call(self, name: str, **args: Any) -> Any:
        assert self._channel is not None
        return await self._channel.call(name, CALL, **args)

    async def _ended(self, error: TrackflowError) -> None:
        process = self._process
        await self.kill()
        self._deaths += 1
        how = describe_exit(process.returncode) if process is not None and process.returncode is not None else ""
        self._job.note(f"the mover {how or 'is started again'}: {error.text}")
        if self._deaths >= MOST_DEATHS:
            raise TrackflowError(
                f"the mover ended {self._deaths} times in a row: {error.text}", "what it said is in the daemon's log"
            )

    async def stop(self) -> None:
        """Have it let go of the stores and end; returns when it has."""
        if self._channel is not None and self._process is not None:
            try:
                await self._channel.call("close", CLOSING)
            except TrackflowError:
                pass  # it is killed
            self._channel.close()
            try:
                await asyncio.to_thread(self._process.wait, CLOSING)
            except subprocess.TimeoutExpired:
                pass
        await self.kill()

    async def kill(self) -> None:
        """Have it gone."""
        process, channel = self._process, self._channel
        self._process, self._channel, self._opened = None, None, {}
        if channel is not None:
            channel.close()
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.wait)


def identity_of(url: str) -> str:
    """Identity of the store of a url. Raises ConfigError: it makes no sense."""
    return open_sink(url, SinkOptions(Path("/"))).identity


def urls(args: Mapping[str, Any], cfg: Config) -> tuple[str, str]:
    """Source and target of a task, with what the options know of a password.

    Raises:
        ConfigError: one makes no sense.
    """
    own, source = cfg.store.url, str(args["source"])
    if not source or (identity_of(source) == identity_of(own) and masked(source) == source):
        source = own
    return source, str(args["target"])


def check_urls(args: Mapping[str, Any], cfg: Config) -> None:
    """Whether there is a way from source to target. Raises BadRequest or ConfigError: none."""
    source, target = urls(args, cfg)
    if sql_of(source) != "postgresql":
        raise BadRequest("bad_arguments", f"migrate: events are moved from PostgreSQL only, not from {masked(source)}",
                         "name it: --from postgresql://user@host:5432/database")  # fmt: skip
    if not target and not args["plan"]:
        raise BadRequest("bad_arguments", "migrate: where to?", "--to clickhouse://host:8123/database, or --to chdb:")
    if target and not target.startswith(("clickhouse:", "clickhouses:", "chdb:")):
        raise BadRequest("bad_arguments", f"migrate: events are not moved to {masked(target)}",
                         "--to clickhouse://host:8123/database, or --to chdb:")  # fmt: skip
    for url in filter(None, (source, target)):
        identity_of(url)
