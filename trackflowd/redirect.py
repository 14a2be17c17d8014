"""Connections of a listener that only says where HTTPS is: 308 for everything, with path and query.

308 and not 301, so that a POST comes again as a POST: a page that still names the http:// address of the script sends
its events there, and browsers bring them on (RFC 9110 §15.4.9). For that each answer has the headers of CORS. A
preflight must not be redirected (Fetch, §4.8), so it is answered as everywhere else. Nothing is taken here: an
event counts where it is answered 2xx.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns

from trackflowd.door import Door
from trackflowd.endpoint import HTTPS
from trackflowd.hall import Hall
from trackflowd.histogram import GRAIN
from trackflowd.proto.refusals import refused
from trackflowd.proto.request import Request
from trackflowd.proto.responses import cors


class Signpost(Door):
    """One connection.

    Args:
        hall, call_soon: see ``Door``.
        port: where HTTPS is, on the host the client asked for.
    """

    __slots__ = ("_port",)

    def __init__(self, hall: Hall, call_soon: Callable[[Callable[[], None]], object], port: int) -> None:
        super().__init__(hall, call_soon)
        self._port = b"" if port == HTTPS else b":%d" % port

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        hall = self._hall
        hall.bytes_in += len(data)
        if self._lingering:
            return
        begun = monotonic_ns()
        try:
            requests = self._conn.receive(data)
            if self._backlog:
                self._backlog += requests
            else:
                self._serve(requests)
                hall.took[(monotonic_ns() - begun) >> GRAIN] += len(requests)
        except Exception:
            self._failed()

    def _answer(self, request: Request) -> bytes:
        intake = self._hall.intake
        if request.method == b"OPTIONS":
            return intake.answer(request, self.peer)
        intake.requests += 1
        host = request.headers.get(b"host", b"").strip()
        if not host:
            request.keep_alive = False
            return intake.refuse_connection(refused("bad_host", "without a Host there is nowhere to be sent to"))
        name = host[: host.index(b"]") + 1] if host.startswith(b"[") else host.partition(b":")[0]
        lines = b"Location: https://%s%s%s\r\n" % (name, self._port, request.target)
        return intake.write(request, 308, lines + cors(request.headers.get(b"origin")), b"")
