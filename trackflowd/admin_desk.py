"""How routes of the admin listener get their answers: the commands of the control socket, run for somebody else.

What reads the store is let through by ``RUNNING`` at a time and waits in a line of ``WAITING``, no longer than a query
may take; more are answered 503. The flusher answers two queries at once, first come, first served: so many from here
leave an operator's `trackflow query` next in turn.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from trackflowd.admin_words import HttpError
from trackflowd.audit import Audit, Entry, noted
from trackflowd.errors import TrackflowError
from trackflowd.proto.command_table import COMMANDS
from trackflowd.proto.control import read_args

#: Questions to the store at one time, and waiting for their turn: a dashboard with 16 panels is answered.
RUNNING = 2
WAITING = 16

Handlers = Mapping[str, Callable[..., Awaitable[Any]]]


class Desk:
    """Runs commands.

    Args:
        handlers: by command name, as the control socket has them.
        max_seconds: gives the longest a question to the store may wait for its turn.
        audit: where acting commands are noted.
    """

    def __init__(self, handlers: Handlers, max_seconds: Callable[[], float], audit: Audit) -> None:
        self._handlers = handlers
        self._max_seconds = max_seconds
        self._audit = audit
        self._running = asyncio.Semaphore(RUNNING)
        self._waiting = 0

    async def ask(self, name: str, /, **args: Any) -> Any:
        """The answer of a command that answers at once.

        Raises:
            TrackflowError: what the command answers.
        """
        return await self._handlers[name](**read_args(name, COMMANDS[name].args, args))

    async def ask_store(self, name: str, /, **args: Any) -> Any:
        """The same for one that reads the store, in its turn.

        Raises:
            HttpError: ``busy``.
        """
        async with self._turn():
            return await self.ask(name, **args)

    async def act(self, who: str, name: str, /, **args: Any) -> Any:
        """The answer of a command that changes something; it is noted, with what came of it.

        Args:
            who: asks for it, for the audit log.
        """
        command = COMMANDS[name]
        checked = read_args(name, command.args, args)
        at_ms, code = time.time_ns() // 1_000_000, "interrupted"
        try:
            value = await self._handlers[name](**checked)
            code = ""
            return value
        except TrackflowError as error:
            code = error.code
            raise
        except Exception:
            code = "internal"
            raise
        finally:
            self._audit.note(Entry(at_ms, None, who, None, name, noted(command, checked), not code, code))

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._waiting >= WAITING:
            raise _busy(f"{RUNNING} questions to the store are being answered, {WAITING} wait")
        self._waiting += 1
        try:
            async with asyncio.timeout(most := self._max_seconds()):
                await self._running.acquire()
        except TimeoutError:
            raise _busy(f"the store was busy with other questions for {most:g} s") from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._running.release()


def _busy(text: str) -> HttpError:
    return HttpError("busy", text, "ask again later, or for less at a time")
