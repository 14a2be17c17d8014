"""trackflowd.trial: it says what the intake does, and leaves nothing behind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests import geo_files, intakes
from trackflowd.enrich.finish import Finisher
from trackflowd.enrich.geo import Geo
from trackflowd.enrich.visitor import Salt
from trackflowd.intake import Intake, Peer
from trackflowd.limits import Limit, Want
from trackflowd.policy import Key, Policy
from trackflowd.proto import dialects
from trackflowd.proto.control import BadRequest
from trackflowd.proto.http import Connection
from trackflowd.proto.http import Limits as HttpLimits
from trackflowd.ring import file
from trackflowd.sections import Http
from trackflowd.site import REGISTERED, Site
from trackflowd.trial import Trial

SECRET = "s" * 43
BEARER = f"Authorization: Bearer tfk_7_{SECRET}"
CHROME = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36"
HERE = "Origin: https://a.example"
GOOD = {"site": "a.example", "name": "n", "url": "https://a.example/x?utm_source=letter&utm_campaign=may&q=1"}
NOON = 43_200_000  # of 1970-01-01
DAY = 86_400_000
HTTP = Http(trusted_proxies=("10.0.0.0/8",), max_events=3)


class Spy:
    """A meter that lets nobody take."""

    def take(self, wants: Sequence[Want]) -> tuple[Limit, int] | None:
        raise AssertionError(wants)

    def forget(self) -> None:
        """Nothing to."""


def policy() -> Policy:
    sites = [
        Site("a.example", origins=("https://a.example",), gpc="refuse", query_params=(), rate=1.0, salt_hour=13),
        Site("plain.example", bot_policy="refuse"),
    ]
    made = Policy(REGISTERED, sites, [Key(7, "a.example", hashlib.sha256(SECRET.encode()).digest(), None)])
    made.meter = Spy()
    return made


class Both:
    """A trial, and an intake that does it."""

    def __init__(self, directory: Path) -> None:
        (directory / "geo").mkdir()
        geo_files.write(directory / "geo" / "country.mmdb", geo_files.COUNTRY)
        self.geo = Geo(str(directory / "geo"))
        self.salts = [Salt("day", n * DAY, (n + 1) * DAY, bytes([n + 1]) * 32) for n in range(3)]
        self.policy = policy()
        self.ring = file.create(directory, 0, 1 << 20)
        self.intake = Intake(HTTP, dialects.load(), Finisher(self.geo, self.salts), self.ring.writer, self.now)
        self.intake.policy = self.policy.apart()

    now = (DAY + NOON) / 1000

    def trial(self, ring_failed: bool = False) -> Trial:
        return Trial(HTTP, self.policy, self.geo, self.salts, 1 << 20, self.now, ring_failed)

    def tried(self, raw: bytes, peer: str = "81.2.69.142") -> dict[str, Any]:
        return self.trial().raw(raw, peer)

    def done(self, raw: bytes, peer: str = "81.2.69.142") -> tuple[int, str, list[dict[str, Any]]]:
        """Status, X-Trackflow-Refused and rows."""
        [request] = Connection(HttpLimits()).receive(raw)
        answer = self.intake.answer(request, Peer(peer, self.intake.trusts(peer)))
        self.intake.publish()
        lines = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        code = next((line.split(": ")[1] for line in lines if line.startswith("X-Trackflow-Refused")), "")
        rows = intakes.rows(self.ring)
        return int(answer[9:12]), code, rows


@pytest.fixture
def both(tmp_path: Path) -> Both:
    return Both(tmp_path)


def request(event: object, *headers: str, path: str = "/v1/events", method: str = "POST") -> bytes:
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *headers, *([f"Content-Length: {len(body)}"] if body else [])]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    ("raw", "peer"),
    [
        (request(GOOD, HERE, CHROME), "81.2.69.142"),
        (request(GOOD, HERE, CHROME, "X-Forwarded-For: 1.2.3.4, 81.2.69.9, 10.0.0.3"), "10.1.1.1"),
        (request(GOOD, HERE, "Forwarded: for=81.2.69.9;proto=https"), "10.1.1.1"),
        (request(GOOD, HERE, "X-Forwarded-For: 81.2.69.9"), "192.0.2.1"),
        (request({**GOOD, "age_ms": 2 * NOON}, HERE), "2a02:c7f::1"),
        (request([GOOD, {**GOOD, "title": 5}, {**GOOD, "site": "b"}], HERE), "81.2.69.142"),
        (request(GOOD, "Origin: https://elsewhere.example"), "81.2.69.142"),
        (request(GOOD, HERE, "Sec-GPC: 1"), "81.2.69.142"),
        (request({"site": "plain.example", "name": "n"}, "User-Agent: curl/8"), "81.2.69.142"),
        (request({**GOOD, "ip": "81.2.69.7"}, BEARER), "192.0.2.1"),
        (request(GOOD, "Authorization: Bearer tfk_7_x"), "192.0.2.1"),
        (request([GOOD] * 4, HERE), "81.2.69.142"),
        (request({**GOOD, "props": {"a": "b" * 10}}, HERE, "Content-Encoding: br"), "81.2.69.142"),
        (request(b"{", HERE), "81.2.69.142"),
        (request(b"", path="/v1/pixel.gif?site=plain.example&name=n", method="GET"), "81.2.69.142"),
        (request(b"", path="/t.js", method="GET"), "81.2.69.142"),
        (request(b"", path="/nowhere", method="GET"), "81.2.69.142"),
        (request(b"", path="/v1/events", method="GET"), "81.2.69.142"),
    ],
)
def test_what_is_told_is_what_is_done(raw: bytes, peer: str, both: Both) -> None:
    told = both.tried(raw, peer)
    status, code, rows = both.done(raw, peer)
    assert told["answer"]["status"] == status
    refused = [event["refused"] for event in told["events"] if "refused" in event]
    none_taken = refused[0] if refused and len(refused) == len(told["events"]) else ""
    assert (told["answer"]["refused"] or none_taken) == code
    own = ("index", "salt_day", "event_id", "visitor")
    taken = [event for event in told["events"] if "refused" not in event]
    assert [event["visitor"] for event in taken] == [f"{row['visitor']:016x}" for row in rows]
    assert [{k: v for k, v in event.items() if k not in own} for event in taken] == [
        {k: v for k, v in row.items() if k not in own} for row in rows
    ]
    assert [event["index"] for event in told["events"]] == list(range(len(told["events"])))
    json.dumps(told)


def test_why_is_told(both: Both) -> None:
    told = both.tried(request(GOOD, HERE, CHROME, "X-Forwarded-For: 1.2.3.4, 81.2.69.9, 10.0.0.3"), "10.1.1.1")
    assert told["client"] == {
        "peer": "10.1.1.1", "trusted": True, "address": "81.2.69.9", "header": "x-forwarded-for", "hop": 2,
    }  # fmt: skip
    assert (told["place"]["country"], told["agent"]["browser"], told["agent"]["bot"]) == ("GB", "Chrome", "")
    assert told["request"] == {"method": "POST", "path": "/v1/events", "dialect": "native"}
    [event] = told["events"]
    assert (event["source"], event["utm_campaign"], event["country"]) == ("letter", "may", "GB")
    assert event["salt_day"] == "1970-01-01"  # the site's day begins at 13:00, and it is noon
    [event] = both.tried(request({"site": "plain.example", "name": "n"}, CHROME))["events"]
    assert event["salt_day"] == "1970-01-02"
    [event] = both.tried(request(GOOD, "Origin: https://elsewhere.example"))["events"]
    assert (event["index"], event["refused"]) == (0, "origin")
    assert event["reason"] and "origins" in event["meaning"]


def test_nothing_is_left_behind(both: Both) -> None:
    for raw in (request(GOOD, BEARER), request(GOOD, HERE, "User-Agent: curl/8")):
        assert both.tried(raw)["events"]
    assert both.policy.used == set()
    assert both.ring.writer.used == 0
    assert both.intake.requests == both.intake.accepted == 0


def test_a_ring_that_has_failed_takes_nothing(both: Both) -> None:
    assert both.trial(ring_failed=True).raw(request(GOOD, HERE), "192.0.2.1")["answer"]["refused"] == "ring_failed"


def test_what_is_too_large_for_the_ring_is_refused(both: Both) -> None:
    small = Trial(HTTP, both.policy, both.geo, both.salts, 4096, both.now, False)
    told = small.raw(request({**GOOD, "props": {"a": "b" * 400}}, HERE), "192.0.2.1")
    assert told["answer"]["refused"] == "event_too_large"


def test_what_is_no_http_is_told_as_it_would_be_answered(both: Both) -> None:
    told = both.tried(b"BREW / HTTP/1.1\r\n\r\n")
    assert (told["answer"]["status"], told["answer"]["refused"], told["events"]) == (400, "malformed", [])
    assert told["client"]["address"] == "81.2.69.142"


@pytest.mark.parametrize(
    ("raw", "peer", "said"),
    [
        (request(GOOD), "nobody", "peer is no"),
        (b"", "192.0.2.1", "its head has no end"),
        (b"POST /v1/events HTTP/1.1\r\nHost: x\r\n", "192.0.2.1", "its head has no end"),
        (request(GOOD)[:-1], "192.0.2.1", "its body has no end"),
        (request(GOOD) + request(GOOD), "192.0.2.1", "something follows"),
        (request(GOOD) + b"x", "192.0.2.1", "something follows"),
        (request(GOOD) + b"\x00\x01", "192.0.2.1", "something follows"),
    ],
)
def test_what_is_no_one_request_is_said(raw: bytes, peer: str, said: str, both: Both) -> None:
    with pytest.raises(BadRequest, match=said):
        both.tried(raw, peer)
