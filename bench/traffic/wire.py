"""Hits as requests: bytes made beforehand, with room for fresh event ids. Pure.

A pool of requests is made once and sent over and over; each time with ids nobody has seen. An id is
a UUID whose first 24 characters, the *serial*, are new with every sending, and whose last 12 belong to
its event in the pool. So a request is kept as the pieces between its serials, and made ready by one
``serial.join(pieces)``, whether it holds one event or a hundred: a tenth of a µs.

Serials are two counters put through a bijection, so that they look drawn (ids in a row would compress
well, and real ones do not) and none comes twice within 2⁵⁴ requests of a run.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain, count, cycle, repeat
from random import Random
from typing import Any, Literal
from urllib.parse import quote, urlencode

from bench.traffic.draw import Shares, below
from bench.traffic.model import EVENT_FAULTS, Hit

Shape = Literal["single", "array", "pipeline", "pixel", "mixed"]

#: Stands where a serial goes, as long as one, in nothing else that is sent, and the same when percent-encoded.
MARK = "~serial~of~this~sending~"
#: Of mixed traffic: shares of the requests, and events of an array.
_MIXED: Shares[Shape] = Shares([("single", 85), ("pixel", 10), ("array", 5)])
_MIXED_ARRAY = (2, 10)
#: First parts of serials, made beforehand.
_FIRSTS = 16_384
_ODD_32, _ODD_40 = 0x9E3779B1, 0x9E3779B97F


@dataclass(frozen=True, slots=True)
class Format:
    """How hits are put into requests.

    Args:
        shape: single events, arrays, single events in pipelines, pixels, or a mixture of all but pipelines.
        host: the Host header.
        array: events of an array.
        pipeline: requests sent in one go.
        keep_alive: False: each request asks to close.
        event_path, pixel_path: routes.
    """

    shape: Shape = "single"
    host: str = "127.0.0.1"
    array: int = 100
    pipeline: int = 16
    keep_alive: bool = True
    event_path: str = "/v1/events"
    pixel_path: str = "/v1/pixel.gif"

    @property
    def depth(self) -> int:
        """Requests sent in one go."""
        return self.pipeline if self.shape == "pipeline" else 1


@dataclass(frozen=True, slots=True)
class Unit:
    """What is sent in one go.

    Args:
        pieces: of the bytes, a serial belongs between each two.
        events: good ones in it.
        refused: requests of it that are to be answered 4xx.
    """

    pieces: tuple[bytes, ...]
    events: int
    refused: int


@dataclass(frozen=True)
class Pool:
    """Units, to be sent round and round.

    Args:
        units: at least one.
    """

    units: tuple[Unit, ...]
    events: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "events", sum(unit.events for unit in self.units))

    @classmethod
    def of(cls, hits: Iterator[Hit], form: Format, seed: int, events: int) -> Pool:
        """A pool of about so many events (at least 64 units) of the stream."""
        units: list[Unit] = []
        made = 0
        for unit in units_of(hits, form, seed):
            units.append(unit)
            made += unit.events + unit.refused
            if made >= events and len(units) >= 64:
                return cls(tuple(units))
        raise ValueError("the stream has ended")

    def ready(self, seed: int, run: int) -> Iterator[bytes]:
        """The units as bytes, without end; ids are a function of seed, run and place in the sequence.

        All in C: nothing of it is Python's to interpret while traffic flows.
        """
        return map(bytes.join, serials(seed, run), cycle([unit.pieces for unit in self.units]))

    def units_for(self, events: int) -> int:
        """How many units to send so that they hold at least so many good events."""
        if not self.events:
            return 0
        rounds, rest = divmod(events, self.events)
        found = rounds * len(self.units)
        for unit in self.units:
            if rest <= 0:
                break
            found, rest = found + 1, rest - unit.events
        return found

    def sent(self, units: int) -> tuple[int, int]:
        """Good events, and requests to be refused, in the first so many units sent."""
        rounds, rest = divmod(units, len(self.units))
        part = self.units[:rest]
        events = rounds * self.events + sum(unit.events for unit in part)
        return events, rounds * sum(unit.refused for unit in self.units) + sum(unit.refused for unit in part)


def serials(seed: int, run: int) -> Iterator[bytes]:
    """24 characters each, ``xxxxxxxx-xxxx-4xxx-8xxx-``; those of another seed or run are others."""
    draw = blake2b(f"{seed} {run}".encode(), digest_size=16).digest()
    first, second = int.from_bytes(draw[:8], "big"), int.from_bytes(draw[8:], "big")
    firsts = [b"%08x-" % ((first + number * _ODD_32) % 2**32) for number in range(_FIRSTS)]
    return chain.from_iterable(map(operator.add, firsts, repeat(_second(second + n * _ODD_40))) for n in count())


def _second(number: int) -> bytes:
    return b"%04x-4%03x-8%03x-" % (number >> 24 & 0xFFFF, number >> 12 & 0xFFF, number & 0xFFF)


def units_of(hits: Iterator[Hit], form: Format, seed: int) -> Iterator[Unit]:
    """The stream as units."""
    rng = Random(seed + 1)
    while True:
        shape = _MIXED.draw(rng) if form.shape == "mixed" else form.shape
        if shape == "array":
            least, most = _MIXED_ARRAY if form.shape == "mixed" else (form.array, form.array)
            yield from _array(hits, least + below(rng, most - least + 1), form, rng)
        elif shape == "pipeline":
            yield _pipeline(hits, form, rng)
        else:
            yield _unit([_request(shape, [next(hits)], form, rng)])


def _pipeline(hits: Iterator[Hit], form: Format, rng: Random) -> Unit:
    """Requests in one go. What makes a server close would take those behind it along: not in here."""
    good = (hit for hit in hits if hit.fault != "bad_host")
    return _unit([_request("single", [next(good)], form, rng) for _ in range(form.pipeline)])


def _array(hits: Iterator[Hit], size: int, form: Format, rng: Random) -> Iterator[Unit]:
    """One array; before it each hit whose fault spoils a whole request, alone."""
    taken: list[Hit] = []
    while len(taken) < size:
        hit = next(hits)
        if hit.fault and hit.fault not in EVENT_FAULTS:
            yield _unit([_request("single", [hit], form, rng)])
        else:
            taken.append(hit)
    yield _unit([_request("array", taken, form, rng)])


_Made = tuple[bytes, int]


def _unit(made: list[_Made]) -> Unit:
    text = b"".join(request for request, _ in made)
    return Unit(
        tuple(text.split(MARK.encode())), sum(events for _, events in made), sum(not events for _, events in made)
    )  # fmt: skip


def _request(shape: Shape, hits: list[Hit], form: Format, rng: Random) -> _Made:
    """One request, and the good events in it."""
    events = [_event(hit, rng) for hit in hits]
    fault = hits[0].fault if len(hits) == 1 and hits[0].fault not in EVENT_FAULTS else ""
    good = 0 if fault else sum(not hit.fault for hit in hits)
    path = form.pixel_path if shape == "pixel" else form.event_path
    if fault == "not_found":
        path += "s"
    head = _head(hits[0], form, fault)
    if shape == "pixel":
        query = query_of(events[0])
        return f"GET {path}?{'%ff&' if fault == 'bad_json' else ''}{query} HTTP/1.1\r\n{head}\r\n".encode(), good
    body = json.dumps(events if shape == "array" else events[0], ensure_ascii=False, separators=(",", ":")).encode()
    if fault == "bad_json":
        body = body[:-1]
    kind = f"Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {len(body)}\r\n"
    return f"POST {path} HTTP/1.1\r\n{head}{kind}\r\n".encode() + body, good


def _head(hit: Hit, form: Format, fault: str) -> str:
    """Header lines: what a browser sends with a beacon to another site, and a proxy adds."""
    visitor, site = hit.visitor, hit.event["site"]
    lines = [("Host", form.host)] if fault != "bad_host" else []
    lines.append(("Connection", "keep-alive" if form.keep_alive else "close"))
    lines.append(("User-Agent", visitor.agent))
    lines += visitor.headers
    lines += [("Accept", "*/*")]
    if visitor.country:
        lines += [
            ("Accept-Encoding", "gzip, deflate, br, zstd"), ("Origin", f"https://{site}"),
            ("Referer", f"https://{site}/"), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "cors"),
            ("Sec-Fetch-Dest", "empty"),
        ]  # fmt: skip
    lines.append(("X-Forwarded-For", visitor.address))
    return "".join(f"{name}: {value}\r\n" for name, value in lines)


def _event(hit: Hit, rng: Random) -> dict[str, Any]:
    """The event as sent: with an id, and with its fault if that is one of events."""
    own = f"{MARK}{below(rng, 2**48):012x}"
    event = {"site": hit.event["site"], "name": hit.event["name"], "id": own, **hit.event}
    if spoil := _SPOILT.get(hit.fault):
        spoil(event)
    return event


_SPOILT: dict[str, Callable[[dict[str, Any]], Any]] = {
    "unknown_key": lambda event: event.update(color="red"),
    "missing_key": lambda event: event.pop("name"),
    "bad_value": lambda event: event.update(scroll=101),
    "bad_type": lambda event: event.update(engaged_ms="long"),
}


def query_of(event: dict[str, Any]) -> str:
    """An event as the pixel's parameters."""
    flat: list[tuple[str, str]] = []
    for key, value in event.items():
        if isinstance(value, dict):
            flat += [(f"{key}.{name}", _text(part)) for name, part in value.items()]
        else:
            flat.append((key, _text(value)))
    return urlencode(flat, quote_via=quote, safe="~")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def events_in(requests: Iterable[bytes]) -> int:
    """How many events with an id are in requests as sent: at most so many of them may have been stored."""
    return sum(one.count(b'"id":"') + one.count(b"&id=") for one in requests)
