"""bench/traffic's model and requests: a function of the seed, with the shares it claims."""

from __future__ import annotations

import ipaddress
import itertools
import json
import os
import re
import subprocess
import sys
import uuid
from collections import Counter, defaultdict
from pathlib import Path
from random import Random
from urllib.parse import parse_qs

import pytest

from bench.traffic import tables
from bench.traffic.draw import Zipf, below
from bench.traffic.model import EVENT_FAULTS, FAULTS, PAGE_EXPONENT, Hit, Model, Options
from bench.traffic.visitors import address_of, person
from bench.traffic.wire import Format, Pool, Shape, events_in, serials
from trackflowd.enrich import agent, bots
from trackflowd.errors import Refused
from trackflowd.proto import http, native, pixel
from trackflowd.proto.dialects import Limits
from trackflowd.proto.http import Connection

ROOT = Path(__file__).parent.parent
HITS = list(itertools.islice(Model(Options()).hits(), 12_000))


def pool(form: Format, options: Options | None = None, events: int = 1500) -> Pool:
    """A small pool."""
    options = options or Options()
    return Pool.of(Model(options).hits(), form, options.seed, events)


# ------------------------------------------------------------------- the seed


def digest(seed: int, hash_seed: str) -> str:
    """A digest of the first requests, made in a process whose sets and dicts may be in another order."""
    code = (
        "import hashlib, itertools; from bench.traffic.model import Model, Options; from bench.traffic.wire import *\n"
        f"pool = Pool.of(Model(Options(seed={seed})).hits(), Format('mixed'), {seed}, 800)\n"
        f"print(hashlib.sha256(b''.join(itertools.islice(pool.ready({seed}, 0), 2000))).hexdigest())"
    )
    env = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, check=True
    ).stdout.decode()


def test_what_is_sent_is_a_function_of_the_seed() -> None:
    assert digest(7, "1") == digest(7, "2") != digest(8, "1")


def test_two_runs_of_a_seed_send_other_ids() -> None:
    one, other = ({*itertools.islice(serials(1, run), 40_000)} for run in (0, 1))
    assert len(one) == len(other) == 40_000 and not one & other


# ----------------------------------------------------------------- the shares


def test_ranks_are_drawn_by_zipf_s_law() -> None:
    rng, law = Random(1), Zipf(1000, 1.0)
    seen = Counter(law.draw(rng) for _ in range(100_000))
    assert seen[0] / seen[9] == pytest.approx(10, rel=0.15)
    assert seen[1] / seen[99] == pytest.approx(50, rel=0.3)


def test_pages_and_sites_are_seen_by_zipf_s_law() -> None:
    sites = Counter(hit.event["site"] for hit in HITS)
    assert len(sites) == 50
    assert sites.most_common(1)[0][1] / len(HITS) == pytest.approx(1 / sum(1 / k for k in range(1, 51)), abs=0.05)
    top = Model(Options()).sites[0]
    people = [hit.event for hit in HITS if hit.visitor.country and hit.event["name"] == "pageview"]
    views = Counter(event["url"].partition("?")[0] for event in people)
    seen = [views[f"https://{top.name}{top.page(rank)[0]}"] for rank in range(top.pages)]
    law = [(rank + 1) ** -PAGE_EXPONENT for rank in range(1, top.pages)]  # the first is also where the typed arrive
    assert sum(seen[1:11]) / sum(seen[1:]) == pytest.approx(sum(law[:10]) / sum(law), abs=0.05)
    assert sum(seen[1:101]) / sum(seen[1:]) == pytest.approx(sum(law[:100]) / sum(law), abs=0.05)


def test_agents_and_countries_have_their_shares() -> None:
    rng = Random(1)
    people = [person(rng) for _ in range(20_000)]
    for shares, seen in (
        ([(family.name, share) for family, share in tables.FAMILIES], Counter(one.family for one in people)),
        ([(country.code, share) for country, share in tables.COUNTRIES], Counter(one.country for one in people)),
    ):
        total = sum(share for _, share in shares)
        for name, share in shares:
            assert seen[name] / len(people) == pytest.approx(share / total, abs=0.012), name


@pytest.mark.parametrize(("made", "bad"), [(0.0, 0.0), (0.06, 0.01), (0.4, 0.2)])
def test_bots_and_bad_hits_have_their_shares(made: float, bad: float) -> None:
    hits = list(itertools.islice(Model(Options(bots=made, bad=bad)).hits(), 8000))
    assert sum(not hit.visitor.country for hit in hits) / len(hits) == pytest.approx(made, abs=0.015)
    assert sum(bool(hit.fault) for hit in hits) / len(hits) == pytest.approx(bad, abs=0.015)


def test_every_agent_is_what_the_table_says() -> None:
    rng = Random(3)
    for family, _ in tables.FAMILIES:
        text = family.agent.replace("{v}", family.versions.draw(rng)).replace("{d}", "18.6").replace("{m}", "SM-S928B")
        found = agent.parse(text)
        assert (found.device, found.bot, bool(found.browser)) == (family.device, "", True), text
    for text, _ in tables.BOTS.things:
        assert bots.rule(text), text


def test_addresses_are_of_the_country_s_networks() -> None:
    rng = Random(1)
    blocks = {c.code: [ipaddress.ip_network(n) for n in (*c.blocks, c.six) if n] for c, _ in tables.COUNTRIES}
    for _ in range(3000):
        visitor = person(rng)
        address = ipaddress.ip_address(visitor.address)
        assert address.is_global
        assert any(address in block for block in blocks[visitor.country] if block.version == address.version)
    assert len({address_of(rng, "2003::/19") for _ in range(500)}) == 500


# --------------------------------------------------------------- the sequence


def test_a_visit_goes_from_page_to_page_with_pauses() -> None:
    assert [hit.at for hit in HITS] == sorted(hit.at for hit in HITS)
    of: defaultdict[tuple[str, str], list[Hit]] = defaultdict(list)
    for hit in HITS:
        if hit.visitor.country:
            of[hit.visitor.address, hit.event["site"]].append(hit)
    steps = pauses = 0
    for hits in of.values():
        pages = [hit for hit in hits if hit.event["name"] == "pageview"]
        for before, page in itertools.pairwise(pages):
            if page.event["referrer"] == before.event["url"].partition("?")[0]:
                steps += 1
                pauses += page.at - before.at > 3
    assert steps > 2000
    assert pauses / steps > 0.9


def test_a_shop_has_orders_with_revenue_after_a_cart_and_people_say_how_long_they_stayed() -> None:
    names = Counter(hit.event["name"] for hit in HITS)
    assert names["pageview"] > names["leave"] > names["cart_add"] > names["order"] > 50
    assert {"search", "signup", "video_play", "share", "outbound"} < names.keys()
    orders = [hit for hit in HITS if hit.event["name"] == "order"]
    assert all(float(hit.event["revenue"]["amount"]) > 0 and hit.event["props"]["items"] for hit in orders)
    assert len({hit.event["revenue"]["currency"] for hit in orders}) > 3
    urls = [hit.event["url"] for hit in HITS]
    assert any("utm_campaign=" in url for url in urls) and any("gclid=" in url for url in urls)
    assert all(hit.event["engaged_ms"] > 0 for hit in HITS if hit.event["name"] == "leave")


# --------------------------------------------------------------- the requests


def answers(shape: Shape, data: bytes) -> tuple[int, int]:
    """Good events and requests refused whole in what TrackFlow's own parsers make of bytes that were sent."""
    connection, dialect = Connection(http.Limits()), pixel if shape == "pixel" else native
    good = refused = 0
    for request in connection.receive(data):
        try:
            if request.path not in (b"/v1/events", b"/v1/pixel.gif"):
                raise Refused(404, "not_found", "")
            found, _ = dialect.read(request, Limits(500))
            good += len(found)
            refused += not found
        except Refused:
            refused += 1
    return good, refused + (connection.failure is not None)


@pytest.mark.parametrize("shape", ["single", "array", "pipeline", "pixel"])
def test_requests_hold_what_the_pool_says(shape: Shape) -> None:
    made = pool(Format(shape, array=20), Options(bad=0.1))
    assert {unit.refused > 0 for unit in made.units} == {True, False}
    sent = itertools.islice(made.ready(1, 0), len(made.units))
    for unit, data in zip(made.units, sent, strict=True):
        assert answers(shape, data) == (unit.events, unit.refused), data


def test_mixed_traffic_has_its_shares_of_shapes() -> None:
    made = pool(Format("mixed"), Options(bad=0.0), 6000)
    kinds = Counter(
        "pixel" if unit.pieces[0].startswith(b"GET") else "array" if unit.events > 1 else "single"
        for unit in made.units
    )
    assert kinds["pixel"] / len(made.units) == pytest.approx(0.10, abs=0.02)
    assert kinds["array"] / len(made.units) == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("shape", ["single", "array", "pipeline", "pixel", "mixed"])
def test_no_id_comes_twice_and_each_is_a_uuid(shape: Shape) -> None:
    made = pool(Format(shape, array=20), Options(bad=0.0), 800)
    seen: set[str] = set()
    total = 0
    for data in itertools.islice(made.ready(1, 0), 3 * len(made.units)):
        ids = [data[at + 6 : at + 42].decode() for at in _places(data, b'"id":"')]
        ids += [data[at + 4 : at + 40].decode() for at in _places(data, b"&id=")]
        assert len(ids) == events_in([data])
        total += len(ids)
        seen |= {str(uuid.UUID(text)) for text in ids}
    assert len(seen) == total == 3 * made.events


def _places(data: bytes, what: bytes) -> list[int]:
    return [found.start() for found in re.finditer(re.escape(what), data)]


def test_a_pool_knows_what_any_number_of_units_held() -> None:
    made = pool(Format("array", array=7), Options(bad=0.05), 600)
    for events in (0, 1, 100, made.events, 3 * made.events + 55):
        units = made.units_for(events)
        assert made.sent(units)[0] >= events
        assert units == 0 or made.sent(units - 1)[0] < events


def test_an_event_reads_the_same_as_json_and_as_a_query() -> None:
    hit = next(hit for hit in HITS if hit.event["name"] == "order" and not hit.fault)
    posted, seen = (
        next(pool_of_one(hit, shape).ready(1, 0)) for shape in ("single", "pixel")
    )  # fmt: skip
    event = json.loads(posted.partition(b"\r\n\r\n")[2])
    query = parse_qs(seen.partition(b" HTTP")[0].partition(b"?")[2].decode(), keep_blank_values=True)
    assert query["revenue.amount"] == [event["revenue"]["amount"]]
    assert query["url"] == [event["url"]] and query["id"] == [event["id"]]


def pool_of_one(hit: Hit, shape: Shape) -> Pool:
    """A pool of one hit over and over."""
    return Pool.of(itertools.repeat(hit), Format(shape), 1, 1)


def test_every_fault_is_met() -> None:
    rng = Random(1)
    assert {FAULTS.draw(rng) for _ in range(500)} == set(FAULTS.things) > EVENT_FAULTS
    assert {below(rng, 3) for _ in range(50)} == {0, 1, 2}
