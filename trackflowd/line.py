"""A worker's end of the channel to the supervisor: what it is asked, and what it says by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

from trackflowd.errors import ControlError, TrackflowError
from trackflowd.proto.control import Decoder, encode

log = logging.getLogger(__name__)


class Line(asyncio.Protocol):
    """This end of the socketpair with the supervisor.

    Args:
        calls: what it may ask, by name; arguments come by keyword.
        lost: called when its end is closed.
    """

    def __init__(self, calls: dict[str, Callable[..., Any]], lost: Callable[[], None]) -> None:
        self._calls = calls
        self._lost = lost
        self._decoder = Decoder()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Bytes from the supervisor."""
        try:
            messages = self._decoder.feed(data)
        except ControlError as error:
            log.error("channel: %s", error)
            if self._transport is not None:
                self._transport.abort()
            return
        for message in messages:
            if message.get("type") == "call":
                self._answer(message)

    def _answer(self, message: dict[str, Any]) -> None:
        number, name = message.get("id", 0), str(message.get("name"))
        call = self._calls.get(name)
        if call is None:
            self._refuse(number, "unknown_command", f"a worker knows no {name!r}")
            return
        try:
            value = call(**(message.get("args") or {}))
        except TypeError as error:
            self._refuse(number, "bad_arguments", str(error))
        except TrackflowError as error:
            self._refuse(number, error.code, str(error))
        else:
            self.say({"type": "reply", "id": number, "ok": True, "value": value})

    def _refuse(self, number: object, code: str, text: str) -> None:
        self.say({"type": "reply", "id": number, "ok": False, "error": {"code": code, "text": text, "hint": ""}})

    def say(self, message: dict[str, Any]) -> None:
        """Send a message."""
        if self._transport is not None:
            self._transport.write(encode(message))

    @property
    def unread(self) -> int:
        """Bytes the supervisor has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def connection_lost(self, exc: Exception | None) -> None:
        """The supervisor is gone."""
        self._transport = None
        self._lost()
