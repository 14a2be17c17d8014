"""trackflowd.admission: requests under a policy, as the intake answers them."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import intakes
from tests.test_intake import PEER, Answer, Made, ask
from trackflowd.buckets import Buckets
from trackflowd.enrich.visitor import Salt
from trackflowd.intake import Peer
from trackflowd.limits import of_address
from trackflowd.policy import Key, Policy
from trackflowd.proto.pixel import GIF
from trackflowd.site import OPEN, REGISTERED, Site

SECRET = "s" * 43
HASH = hashlib.sha256(SECRET.encode()).digest()
SITE = "shop.example"
BEARER = f"Bearer tfk_7_{SECRET}"
BOT = "Googlebot/2.1 (+http://www.google.com/bot.html)"
PERSON = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    intake, ring = intakes.make(tmp_path, 65536)
    yield intake, ring
    ring.close()


def event(**more: object) -> dict[str, object]:
    return {"site": SITE, "name": "n", **more}


def post(made: Made, *events: dict[str, object], **headers: Any) -> tuple[int, str, dict[str, Any]]:
    body = json.dumps(events[0] if len(events) == 1 else list(events)).encode()
    return told(ask(made[0], "POST", "/v1/events", body, **headers))


def told(answer: Answer) -> tuple[int, str, dict[str, Any]]:
    status, headers, body = answer
    return status, headers.get(b"x-trackflow-refused", b"").decode(), json.loads(body)


def rule(made: Made, mode: str, *sites: Site, expires_ms: int | None = None) -> None:
    keys = [Key(7, SITE, HASH, expires_ms), Key(8, "*", HASH, None)]
    made[0].policy = Policy(mode, sites, keys)


def test_a_site_nobody_registered_is_refused(made: Made) -> None:
    rule(made, REGISTERED, Site("*"), Site(SITE))
    assert post(made, event())[:2] == (200, "")
    status, code, body = post(made, event(site="other.example"))
    assert (status, code, body["error"]) == (403, "unknown_site", "unknown_site") and "sites add" in body["reason"]
    status, code, body = post(made, event(), event(site="other.example"), event(name=5), event())
    assert (status, code, body["accepted"]) == (200, "", 2)
    assert [(one["index"], one["error"]) for one in body["refused"]] == [(1, "unknown_site"), (2, "bad_type")]
    assert len(intakes.rows(made[1])) == 3
    assert made[0].refusals == {"unknown_site": 2, "bad_type": 1} and made[0].accepted == 3


@pytest.mark.parametrize(
    ("mode", "site"), [(OPEN, Site(SITE)), (OPEN, Site(SITE, gpc="refuse")), (REGISTERED, Site(SITE))]
)
def test_events_that_cannot_be_read_count_as_those_of_the_registered_site_they_name(
    mode: str, site: Site, made: Made
) -> None:
    intake, _ = made
    rule(made, mode, site)
    assert post(made, event(name=5))[:2] == (400, "bad_type")
    assert post(made, event(site="made.up", name=5))[:2] == (400, "bad_type")
    assert (
        post(made, event(), event(color=1), {"name": "n"}, event(site="made.up", name=5), event(scroll=101))[0] == 200
    )
    assert post(made, event(time=[]), authorization=BEARER)[:2] == (400, "bad_type")
    assert ask(intake, "GET", f"/v1/pixel.gif?site={SITE}&name=n&scroll=x")[0] == 400
    assert ask(intake, "POST", "/v1/events", f'{{"site": "{SITE}"'.encode())[0] == 400
    named = {"bad_type": 3, "unknown_key": 1, "bad_value": 1}
    assert intake.refused_sites == {(SITE, code): number for code, number in named.items()}
    assert intake.refusals == {**named, "bad_type": 5, "missing_key": 1, "bad_json": 1}


def test_events_that_cannot_be_read_do_not_count_beside_one_that_found_no_room(tmp_path: Path) -> None:
    intake, ring = intakes.make(tmp_path, 4096)
    for mode in (OPEN, REGISTERED):
        rule((intake, ring), mode, Site(SITE))
        while post((intake, ring), event())[0] == 200:
            pass
        assert post((intake, ring), event(), event(name=5))[:2] == (503, "ring_full")
        assert intake.refused_sites == {}
    ring.close()


@pytest.mark.parametrize(
    ("site", "headers", "code"),
    [
        (Site(SITE, gpc="refuse"), {"sec_gpc": "1"}, "opted_out"),
        (Site(SITE, bot_policy="refuse"), {"user_agent": BOT}, "bot"),
        (Site(SITE, exclude_addresses=("203.0.113.0/24",)), {}, "excluded_address"),
        (Site(SITE, exclude_paths=("/admin/*",)), {"referer": "https://shop.example/admin/1"}, "excluded_path"),
    ],
)
def test_what_is_not_counted_is_answered_200_and_says_so(
    made: Made, site: Site, headers: dict[str, Any], code: str
) -> None:
    rule(made, OPEN, site)
    status, header, body = post(made, event(), **headers)
    assert (status, header, body["error"], body["accepted"]) == (200, code, code, 0)
    pixel = ask(made[0], "GET", f"/v1/pixel.gif?site={SITE}&name=n", **headers)
    assert (pixel[0], pixel[1][b"x-trackflow-refused"], pixel[2]) == (200, code.encode(), GIF)
    assert intakes.rows(made[1]) == [] and made[0].refusals[code] == 2
    assert post(made, event(site="other.example"), **headers)[:2] == (200, "")


def test_a_bot_is_stored_with_a_flag_where_it_is_not_refused(made: Made) -> None:
    rule(made, OPEN, Site(SITE, gpc="refuse"))
    post(made, event(), user_agent=BOT)
    assert intakes.rows(made[1])[0]["bot"]


def test_a_server_with_a_key_speaks_for_its_visitors(made: Made) -> None:
    rule(made, REGISTERED, Site(SITE, origins=("https://shop.example",), bot_policy="refuse"))
    made[0].tick(time.time())
    now = made[0].now_ms = time.time_ns() // 1_000_000
    at = now - 3_600_000
    sent = event(ip="2001:DB8:0::1", agent=PERSON, time=at, url="https://evil.example/")
    assert post(made, sent, authorization=BEARER, user_agent="python-requests/2")[:2] == (200, "")
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at // 1000))
    assert post(made, event(time=stamp), event(), authorization=f"bearer tfk_8_{SECRET}")[2]["accepted"] == 2
    first, second, third = intakes.rows(made[1])
    assert (first["time"], first["browser"], first["bot"]) == (at, "Firefox", "")
    assert second["time"] == at // 1000 * 1000 and third["time"] == now
    assert len({first["visitor"], third["visitor"]}) == 2
    assert made[0].policy.used == {7, 8}


def test_who_has_no_key_may_not(made: Made) -> None:
    for key in ("ip", "agent", "time"):
        status, code, body = post(made, event(**{key: "1"}))
        assert (status, code) == (403, "forbidden_key") and "server key" in body["reason"]
    assert intakes.rows(made[1]) == []


def test_wrong_expired_revoked_and_other_sites_keys(made: Made) -> None:
    rule(made, OPEN, expires_ms=1_000)
    made[0].now_ms = 999
    assert post(made, event(), authorization=BEARER)[0] == 200
    for now, header, code in [
        (1_000, BEARER, "bad_key"), (999, BEARER.replace("sss", "xxx"), "bad_key"),
        (999, BEARER.replace("7", "9"), "bad_key"), (999, "Bearer", "bad_key"),
    ]:  # fmt: skip
        made[0].now_ms = now
        assert post(made, event(), authorization=header)[:2] == (401, code)
    assert post(made, event(site="other.example"), authorization=BEARER)[:2] == (403, "key_site")
    assert post(made, event(), authorization="Basic eDp5")[0] == 200
    made[0].policy = Policy(OPEN)
    assert post(made, event(), authorization=BEARER)[:2] == (401, "bad_key")
    assert len(intakes.rows(made[1])) == 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ip", "nonsense"),
        ("ip", "1.2.3.4.5"),
        ("time", -1),
        ("time", 10**15),
        ("time", "2026-11-28T10:00:00"),
        ("time", "x"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_also_of_a_server(made: Made, key: str, value: object) -> None:
    rule(made, OPEN)
    status, _, body = post(made, event(**{key: value}), authorization=BEARER)
    assert status == 400 and key in body["reason"]


def test_a_time_too_long_ago_is_refused(made: Made) -> None:
    rule(made, OPEN)
    made[0].now_ms = time.time_ns() // 1_000_000
    status, _, body = post(made, event(time=made[0].now_ms - 8 * 86_400_000), authorization=BEARER)
    assert (status, body["reason"]) == (400, "time: at most 7 days ago was expected")


def test_parameters_that_are_not_kept_are_in_no_row(made: Made) -> None:
    rule(made, OPEN, Site(SITE, query_params=("q",)))
    post(made, event(url="https://shop.example/a?q=1&mail=a@b.example&utm_source=news"))
    (row,) = intakes.rows(made[1])
    assert (row["url"], row["query"], row["utm_source"]) == ("https://shop.example/a?q=1", "q=1", "news")


def test_a_visitors_day_begins_at_the_sites_hour(made: Made) -> None:
    midnight = time.time_ns() // 1_000_000 // 86_400_000 * 86_400_000
    days = [midnight + n * 86_400_000 for n in range(-2, 2)]
    salts = [Salt(str(day), day, day + 86_400_000, day.to_bytes(8, "big") * 2) for day in days]
    made[0]._finisher.swap_salts(salts)
    numbers = {}
    for hour in (0, 6):
        rule(made, OPEN, Site(SITE, salt_hour=hour))
        for offset in (-1, 1, 7):
            made[0].now_ms = midnight + offset * 3_600_000
            post(made, event(), user_agent=PERSON)
            numbers[hour, offset] = intakes.rows(made[1])[-1]["visitor"]
    assert numbers[6, -1] == numbers[6, 1] != numbers[6, 7]
    assert numbers[0, -1] != numbers[0, 1] == numbers[0, 7]


@pytest.fixture
def buckets() -> Iterator[Buckets]:
    memory = Buckets.create(1)
    own = Buckets(os.dup(memory.fd), 0, lambda: 10**12)
    yield own
    own.close()
    memory.close()


def limited(made: Made, buckets: Buckets, *sites: Site, address_rate: float = 0) -> None:
    made[0].policy = Policy(OPEN, sites, [Key(7, SITE, HASH, None)], of_address(address_rate, 0))
    made[0].policy.meter = buckets


def test_a_site_that_sends_too_fast_is_refused_as_a_whole_and_each_event_counts(made: Made, buckets: Buckets) -> None:
    limited(made, buckets, Site(SITE, rate=0.5, burst=3))
    assert post(made, event(name=5), event(), event())[2]["accepted"] == 2
    status, headers, body = ask(made[0], "POST", "/v1/events", json.dumps([event(), event(name=5), event()]).encode())
    assert (status, headers[b"retry-after"], headers[b"x-trackflow-refused"]) == (429, b"2", b"rate_limited")
    assert json.loads(body) == {
        "error": "rate_limited",
        "reason": "this site may send 0.5 events a second: `trackflow sites set shop.example rate=…` raises it",
    }
    assert post(made, event(site="other.example"), event(site="other.example"))[2]["accepted"] == 2
    assert post(made, event(), authorization=BEARER)[2]["accepted"] == 1
    assert post(made, event(), authorization=BEARER)[:2] == (429, "rate_limited")
    assert made[0].refusals == {"bad_type": 1, "rate_limited": 3} and made[0].refused == 4
    assert (len(intakes.rows(made[1])), made[0].accepted, made[0].answers[4]) == (5, 5, 2)


def test_an_address_that_sends_too_fast_is_refused_at_the_site_or_at_all(made: Made, buckets: Buckets) -> None:
    limited(made, buckets, Site(SITE, address_rate=1), address_rate=2)
    one, other = Peer("203.0.113.7", False), Peer("203.0.113.8", False)
    asked = [(one, SITE), (one, SITE), (other, SITE), (one, "b.example"), (one, "b.example"), (Peer("", False), SITE)]
    answers = [ask(made[0], "POST", "/v1/events", json.dumps(event(site=site)).encode(), peer) for peer, site in asked]
    assert [answer[0] for answer in answers] == [200, 429, 200, 200, 429, 200]
    reasons = [json.loads(answer[2])["reason"] for answer in answers if answer[0] == 429]
    assert "address_rate=…` raises it" in reasons[0] and "the option `sites.address_rate`" in reasons[1]
    assert all("203.0.113" not in reason for reason in reasons)
    assert post(made, *[event()] * 5, authorization=BEARER)[2]["accepted"] == 5  # a server speaks for many
    pixel = ask(made[0], "GET", f"/v1/pixel.gif?site={SITE}&name=n", b"", one)
    assert pixel[0] == 429 and made[0].refusals == {"address_rate_limited": 3}


def test_what_policy_refuses_takes_nothing_of_a_limit(made: Made, buckets: Buckets) -> None:
    limited(made, buckets, Site(SITE, rate=1, gpc="refuse"))
    assert [post(made, event(), sec_gpc="1")[1] for _ in range(3)] == ["opted_out"] * 3
    assert [post(made, event())[0] for _ in range(2)] == [200, 429]


def test_the_address_is_stored_for_sites_that_want_it_and_for_no_other(made: Made) -> None:
    rule(made, OPEN, Site(SITE, store_ip=True), Site("other.example"))
    sent = [({}, SITE), ({"ip": "2001:DB8:0::1"}, SITE), ({}, "other.example"), ({}, "unknown.example")]
    for more, site in sent:
        headers = {"authorization": BEARER} if more else {}
        assert post(made, event(site=site, **more), **headers)[:2] == (200, "")
    rows = intakes.rows(made[1])
    assert [row["ip"] for row in rows] == [PEER.address, "2001:db8::1", "", ""]
    rule(made, OPEN, Site(SITE))
    post(made, event())
    assert intakes.rows(made[1])[-1]["ip"] == ""
