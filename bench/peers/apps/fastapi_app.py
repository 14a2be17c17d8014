"""A collector in FastAPI that decodes and buffers, and no more. Usage: fastapi_app.py PORT."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI, Request, Response
from pydantic import TypeAdapter

#: Events in the buffer when it is dropped, as a writer would take it away.
FULL = 10_000


@dataclass(slots=True)
class Event:
    """What the load sends."""

    site: str
    name: str
    id: str
    url: str
    title: str = ""
    referrer: str = ""
    screen: str = ""
    viewport: str = ""
    lang: str = ""
    tz: str = ""


buffer: list[Event] = []
decode = TypeAdapter(Event).validate_json


async def take(request: Request) -> Response:
    """Decode one event. The body is read by hand: browsers send it as text/plain."""
    buffer.append(decode(await request.body()))
    if len(buffer) >= FULL:
        buffer.clear()
    return Response(status_code=204)


app = FastAPI(openapi_url=None)
app.add_api_route("/v1/events", take, methods=["POST"])

if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False,
        log_level="warning",
    )  # fmt: skip
