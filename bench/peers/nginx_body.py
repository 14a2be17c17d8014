"""nginx that reads the body and logs it: the least that a server can do which keeps the event."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers.base import Peer, Server
from bench.peers.nginx import lacks_nginx, nginx, version

#: Where Debian's package puts the module.
_MODULE = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")
_LOG = (
    'log_format body escape=json \'$remote_addr $msec "$request" $status "$http_user_agent" $request_body\';'
    " access_log {dir}/access.log body;"
)
#: `return` would answer before the body is read: it belongs to an earlier phase.
_ANSWER = "echo_read_request_body; echo_status 204; echo_flush;"


def _lacks(cache: Path) -> str:
    if missing := lacks_nginx(cache):
        return missing
    return "" if _MODULE.exists() else "nginx's echo module is not here: apt-get install libnginx-mod-http-echo"


@contextmanager
def _serve(work: Path, cache: Path) -> Iterator[Server]:
    with nginx(work, "nginx-body", _LOG, _ANSWER, f"load_module {_MODULE};") as server:
        yield server


PEER = Peer(
    name="nginx-body",
    about="the same nginx with libnginx-mod-http-echo: reads the body and logs it with agent and address, without a "
    "buffer; decodes nothing",
    durability="the event as a log line by write() before the answer: survives the death of nginx, not a power cut",
    serve=_serve,
    lacks=_lacks,
    version=version,
)
