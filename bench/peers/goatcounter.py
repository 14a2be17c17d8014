"""GoatCounter (Go, EUPL): page views counted into SQLite, by one program. The nearest to trackflowd in purpose."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.load import BenchFailed, free_port, program
from bench.peers.base import Peer, Server, installing, said, started, until_idle

_COMMAND = "zgo.at/goatcounter/v2/cmd/goatcounter@latest"
#: Its own wire format: everything in the query, as its script sends it with a beacon; the body is empty.
_REQUEST = """
  local path = string.format(
    "/count?p=%%2Fproduct%%2F%d&t=Product%%20%d&r=https%%3A%%2F%%2Fwww.google.com%%2F" ..
    "&q=utm_source%%3Dmail%%26utm_campaign%%3Dautumn&s=1920%%2C1080%%2C1&b=0&rnd=%x", page, page, run * 16777216 + n)
  return wrk.format(nil, path, nil, "")
"""


def _binary(cache: Path) -> str:
    own = cache / "go" / "goatcounter"
    return str(own) if own.exists() else program("goatcounter")


def _lacks(cache: Path) -> str:
    if _binary(cache):
        return ""
    if not program("go"):
        return f"goatcounter is not here, nor is Go to build it: apt-get install golang, then go install {_COMMAND}"
    return f"goatcounter is not here: python -m bench peers --install, or go install {_COMMAND}"


def _install(cache: Path) -> None:
    installing(["go", "install", _COMMAND], env={**os.environ, "GOBIN": str(cache / "go")})


@contextmanager
def _serve(work: Path, cache: Path) -> Iterator[Server]:
    own = work / "goatcounter"
    own.mkdir()
    port = free_port()
    database = f"sqlite+{own / 'goatcounter.sqlite3'}"
    site = ["-vhost=shop.example", "-user.email=bench@shop.example", "-user.password=not-a-secret"]
    try:
        installing([_binary(cache), "db", "create", "site", "-createdb", f"-db={database}", *site], cwd=own)
    except BenchFailed as error:
        raise BenchFailed(f"goatcounter's database could not be made: {error}") from error
    options = [f"-listen=127.0.0.1:{port}", "-tls=http", f"-db={database}", "-ratelimit=count:1000000000/1"]
    command = [_binary(cache), "serve", *options, "-store-every=1"]
    with started(command, own, "goatcounter", port) as server:
        server.settle = lambda: until_idle(server.roots, quiet_s=1.2)
        yield server


def _version(cache: Path) -> str:
    return said([_binary(cache), "version"])


PEER = Peer(
    name="goatcounter",
    about="GoatCounter with SQLite, defaults but for the rate limit (off) and -store-every=1 (10, so that storing "
    "falls within a turn): its /count request with the same headers; it closes the connection after each answer",
    durability="memory of the process for up to store-every seconds, then SQLite",
    serve=_serve,
    lacks=_lacks,
    version=_version,
    install=_install,
    request=_REQUEST,
)
