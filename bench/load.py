"""What measurements of whole servers share: traffic by wrk, cores, and the CPU time of a server's processes.

One generator for all of them, so that no server is sent anything easier than another. wrk prints
requests answered; the kernel says what a process tree used.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

#: What a current desktop browser sends with fetch(keepalive), in its order.
HEADERS = {
    "Connection": "keep-alive",
    "sec-ch-ua-platform": '"Windows"',
    "User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36",
    "sec-ch-ua": '"Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"',
    "Content-Type": "text/plain;charset=UTF-8",
    "sec-ch-ua-mobile": "?0",
    "Accept": "*/*",
    "Origin": "https://shop.example",
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Dest": "empty",
    "Referer": "https://shop.example/",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "de-DE,de;q=0.9,en;q=0.8",
}

#: Which of the cores this process may use serve, and which generate (and store).
SERVER_CORE, GENERATOR_CORE = 0, 1

#: wrk's script: 2000 pages of one site, the request made anew each time, in Lua.
_SCRIPT = """
wrk.method = "POST"
{headers}
local n = 0
local run = {run}
function setup(thread) thread:set("id", math.random(1, 1000000)) end
function request()
  n = n + 1
  local page = n % 2000
  {request}
end
"""

#: One page view as the native wire format has it; ids are made in Lua, none comes twice.
EVENT = """
  local body = string.format(
    '{"site":"shop.example","name":"pageview","id":"%08x-%04x-4000-8000-%012x",' ..
    '"url":"https://shop.example/product/%d?utm_source=mail&utm_campaign=autumn","title":"Product %d",' ..
    '"referrer":"https://www.google.com/","screen":"1920x1080","viewport":"1280x720","lang":"de-DE","tz":"Europe/Berlin"}',
    run, id % 65536, n, page, page)
  return wrk.format(nil, "/v1/events", nil, body)
"""


class BenchFailed(Exception):
    """A measurement cannot be made; the text says why and, where something helps, what to do."""


_RUNS = iter(range(1, 2**31))


def load(work: Path, url: str, seconds: int, connections: int, request: str = EVENT) -> tuple[int, float]:
    """Send as fast as answers come.

    Args:
        work: directory for wrk's script.
        url: of the server, ending with "/".
        request: Lua, the body of wrk's request(); it has n, page, run and id.

    Returns:
        requests answered with 2xx or 3xx, and how many a second.

    Raises:
        BenchFailed: some were refused or nothing was answered; with wrk's words.
    """
    script = work / "load.lua"
    headers = "\n".join(f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in HEADERS.items())
    script.write_text(_SCRIPT.format(headers=headers, run=next(_RUNS), request=request))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as wrk:
        try:
            pin(psutil.Process(wrk.pid), GENERATOR_CORE)
            said = wrk.communicate()[0]
        except BaseException:
            wrk.kill()
            raise
    return answered(said)


def answered(said: str) -> tuple[int, float]:
    """Requests and requests a second from what wrk said. Raises BenchFailed."""
    found = re.search(r"(\d+) requests in", said)
    rate = re.search(r"Requests/sec:\s*([\d.]+)", said)
    if not found or not rate or "Non-2xx" in said or not int(found[1]):
        raise BenchFailed(f"not every request was answered well; wrk says\n{said}")
    return int(found[1]), float(rate[1])


def cores() -> list[int]:
    """Cores this process may use."""
    return sorted(os.sched_getaffinity(0))


def pin(process: psutil.Process, core: int) -> None:
    """Keep all threads of a process on one core, where the machine has two."""
    mine = cores()
    if len(mine) > 1:
        for thread in process.threads():
            os.sched_setaffinity(thread.id, {mine[core]})


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started in here is born on that core, with all it starts itself; the caller is not moved for good."""
    mine = cores()
    if len(mine) > 1:
        os.sched_setaffinity(0, {mine[core]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, set(mine))


def cpu_s(roots: Iterable[psutil.Process]) -> float:
    """CPU seconds (user + system) of these processes, of all below them, and of those that ended and were reaped."""
    total = 0.0
    for root in roots:
        for process in (root, *root.children(recursive=True)):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue  # ended since it was listed: its time is its parent's from now on
            total += times.user + times.system + times.children_user + times.children_system
    return total


def program(name: str) -> str:
    """Path of a program, also where only root looks; empty: not here."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin") or ""


def free_port() -> int:
    """A TCP port of loopback that nobody has right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
