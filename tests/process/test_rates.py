"""Limits of how fast to send, held by four real workers against many connections that send as fast as they can."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import json
import time
from collections import Counter
from pathlib import Path

from tests.process.harness import PATIENCE, Daemon

#: Workers; of each kind of sender so many connections.
WORKERS, EACH = 4, 8
#: Of the site's limit.
BURST = 100
FLOOD, SHARED = "flood.example", "shared.example"
LOUD = ("203.0.113.1", "203.0.113.2", "2001:db8:0:1::1")
QUIET = "203.0.113.99"
#: A crowd of which each sends once.
EVERYBODY = "everybody"
ADDRESSES = (str(ipaddress.IPv4Address(0x0A000000 + n)) for n in itertools.count())


class Crowd:
    """Connections that send until they are told to stop; what they were answered, by who sent."""

    def __init__(self, daemon: Daemon) -> None:
        self._port = int(daemon.http.rpartition(":")[2])
        self._stopped = False
        #: Of each request that was accepted: sent when, answered when, sender, events.
        self.accepted: list[tuple[float, float, str, int]] = []
        #: Events refused, by code; of each sender.
        self.refused: Counter[str] = Counter()
        self.turned_away: Counter[str] = Counter()
        self.waits: set[bytes] = set()

    async def send(self, sender: str, site: str, events: int = 1, pause: float = 0) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        event = {"site": site, "name": "n"}
        body = json.dumps(event if events == 1 else [event] * events).encode()
        head = f"POST /v1/events HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\nX-Forwarded-For: "
        while not self._stopped:
            address = next(ADDRESSES) if sender == EVERYBODY else sender
            sent = time.monotonic()
            writer.write(f"{head}{address}\r\n\r\n".encode() + body)
            status, headers, answer = await _answer(reader)
            if status == 200:
                assert answer == {"accepted": events, "refused": []}
                self.accepted.append((sent, time.monotonic(), sender, events))
            else:
                assert status == 429 and headers[b"x-trackflow-refused"].decode() == answer["error"]
                self.refused[str(answer["error"])] += events
                self.turned_away[sender] += events
                self.waits.add(headers[b"retry-after"])
            await asyncio.sleep(pause)
        writer.close()

    async def during(self, senders: list[asyncio.Task[None]], seconds: float) -> tuple[float, float]:
        """Let them send for so long; from when to when."""
        began = time.monotonic()
        await asyncio.sleep(seconds)
        assert not any(task.done() for task in senders)
        return began, time.monotonic()

    async def reach(self, senders: list[asyncio.Task[None]], sender: str, rate: float) -> None:
        """Let them send until this one had its rate for a second: a machine that stands still gives less in some."""
        until = time.monotonic() + PATIENCE
        while self.taken(sender, *(second := await self.during(senders, 1))) < 0.9 * rate * (second[1] - second[0]):
            assert time.monotonic() < until, f"{sender} never had {rate} a second"

    async def stop(self, senders: list[asyncio.Task[None]]) -> None:
        self._stopped = True
        await asyncio.gather(*senders)

    def taken(self, sender: str, began: float = 0, ended: float = float("inf")) -> int:
        """Events that were accepted within this time for certain: sent in it and answered in it."""
        return sum(n for sent, at, who, n in self.accepted if who == sender and began <= sent and at < ended)


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[bytes, bytes], dict[str, object]]:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].split(b"\r\n")
    headers = {name.lower(): value for name, value in (line.split(b": ", 1) for line in lines)}
    return int(first.split()[1]), headers, json.loads(await reader.readexactly(int(headers[b"content-length"])))


def most(rate: float, seconds: float, burst: float) -> float:
    """Most events that a limit may have let through."""
    return 1.1 * (rate * seconds + burst)


def spawn(
    crowd: Crowd, sender: str, site: str, count: int, events: int = 1, pause: float = 0
) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(crowd.send(sender, site, events, pause)) for _ in range(count)]


def refusals_are(daemon: Daemon, expected: Counter[str]) -> None:
    status = daemon.await_status(lambda status: sum(status["refusals"].values()) >= sum(expected.values()))
    assert status["refusals"] == expected


def test_limits_hold_for_the_daemon_as_a_whole_and_change_under_load(tmp_path: Path) -> None:
    sets = (f"daemon.workers={WORKERS}", "store.url=null:", "http.trusted_proxies=127.0.0.0/8", "ring.size=16MiB")
    with Daemon(tmp_path, *sets, "sites.address_rate=60", "sites.address_burst=60") as daemon:
        daemon.call("site_add", site=SHARED, settings={})
        daemon.call("site_add", site=FLOOD, settings={"rate": 200, "burst": BURST})
        refused = asyncio.run(addresses(daemon))
        refused += asyncio.run(sites(daemon))
        refusals_are(daemon, refused)


async def addresses(daemon: Daemon) -> Counter[str]:
    """Three addresses that flood have what one may have, each; one that does not is never refused."""
    crowd = Crowd(daemon)
    began = time.monotonic()
    senders = [task for loud in LOUD for task in spawn(crowd, loud, SHARED, EACH)]
    senders += spawn(crowd, QUIET, SHARED, 1, pause=0.05)
    await crowd.during(senders, 3)
    for loud in LOUD:
        await crowd.reach(senders, loud, 60)
    await crowd.stop(senders)
    seconds = time.monotonic() - began
    for loud in LOUD:
        # The least is for a machine that stood still for half of the time.
        assert 30 * seconds <= crowd.taken(loud) <= most(60, seconds, 60), (loud, crowd.taken(loud), seconds)
        assert crowd.turned_away[loud] > crowd.taken(loud)
    assert crowd.taken(QUIET) > 10 and not crowd.turned_away[QUIET]
    assert set(crowd.refused) == {"address_rate_limited"} and crowd.waits == {b"1"}
    return crowd.refused


async def sites(daemon: Daemon) -> Counter[str]:
    """A site has its rate, whoever sends for it and however many at once; another rate holds within a second."""
    crowd = Crowd(daemon)
    senders = spawn(crowd, EVERYBODY, FLOOD, 2 * EACH) + spawn(crowd, EVERYBODY, FLOOD, EACH, events=3)
    await within(crowd, senders, 200, time.monotonic())
    for rate in (300, 100):
        change = {"site": FLOOD, "settings": {"rate": rate}}
        await asyncio.to_thread(lambda change=change: daemon.call("site_set", **change))  # type: ignore[misc]
        began, _ = await crowd.during(senders, 1)
        await within(crowd, senders, rate, began + 1)
    await crowd.stop(senders)
    assert set(crowd.refused) == {"rate_limited"}
    return crowd.refused


async def within(crowd: Crowd, senders: list[asyncio.Task[None]], rate: float, began: float) -> None:
    """They have this rate, and no more than it from then on; the bucket may have been full then."""
    await crowd.reach(senders, EVERYBODY, rate)
    _, ended = await crowd.during(senders, 2)
    taken = crowd.taken(EVERYBODY, began, ended)
    assert rate / 2 * (ended - began) <= taken <= most(rate, ended - began, BURST), (rate, taken, ended - began)
