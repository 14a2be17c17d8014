"""A collector in aiohttp that decodes and buffers, and no more. Usage: aiohttp_app.py PORT."""

from __future__ import annotations

import json
import sys
from typing import Any

import uvloop
from aiohttp import web

#: Events in the buffer when it is dropped, as a writer would take it away.
FULL = 10_000

buffer: list[dict[str, Any]] = []


async def take(request: web.Request) -> web.Response:
    """Decode one event."""
    buffer.append(json.loads(await request.read()))
    if len(buffer) >= FULL:
        buffer.clear()
    return web.Response(status=204)


if __name__ == "__main__":
    app = web.Application()
    app.router.add_post("/v1/events", take)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, loop=uvloop.new_event_loop())
