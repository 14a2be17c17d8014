"""Whole rows: what is in them, what the caches change (nothing), and what is not in them (the address)."""

from __future__ import annotations

import base64
import ipaddress
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.geo_files import COUNTRY, write
from trackflowd.enrich.finish import FORGET_EVERY, MAX_AGE_MS, Finisher, as_dict
from trackflowd.enrich.geo import Geo
from trackflowd.enrich.visitor import Salt, site_hash
from trackflowd.event import BY_NAME, FIELDS
from trackflowd.proto import record
from trackflowd.proto.dialects import Event
from trackflowd.ring.layout import ATTEMPT, CLIENT_ID

CHROME = b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
ADDRESS = "81.2.69.142"
NOW = 1_795_000_000_000
SALTS = [Salt("day", 0, 2**60, b"s" * 32)]


@pytest.fixture
def finisher(tmp_path: Path) -> Finisher:
    return Finisher(Geo(str(write(tmp_path / "geo.mmdb", COUNTRY)), check_every=0), SALTS)


def _event(**said: Any) -> Event:
    return Event(**{"site": "shop.example", "name": "pageview", "dialect": "native", **said})


def _row(finisher: Finisher, event: Event, **request: Any) -> dict[str, Any]:
    given = {
        "agent": CHROME,
        "address": ADDRESS,
        "lang_header": "",
        "referer_header": "",
        "received_ms": NOW,
        **request,
    }
    return as_dict(finisher.row(event, **given))


def test_a_row_has_every_column_the_worker_fills(finisher: Finisher) -> None:
    event = _event(
        url="https://shop.example/p?x=1&utm_source=june&utm_medium=email&gclid=1",
        referrer="https://www.google.com/",
        title="Shirt",
        id=b"i" * 16,
        client_id=True,
        props={"size": "m"},
        revenue_e4=123_400,
        currency="EUR",
        user="u1",
        session="s1",
        screen="1920x1080",
        viewport="1200x800",
        lang="de-AT",
        tz="Europe/Vienna",
        engaged_ms=1500,
        scroll=80,
        age_ms=1000,
    )
    row = _row(finisher, event, lang_header="en")
    assert set(row) == {field.name for field in FIELDS} - {"_batch"}
    number = row.pop("visitor")
    assert 0 <= number < 2**64
    assert row == {
        "event_id": str(uuid.UUID(bytes=b"i" * 16)), "site": "shop.example", "name": "pageview", "received": NOW,
        "time": NOW - 1000, "url": "https://shop.example/p?x=1", "hostname": "shop.example", "path": "/p",
        "query": "x=1",
        "title": "Shirt", "referrer": "https://www.google.com/", "referrer_host": "google.com", "source": "june",
        "medium": "email", "channel": "Paid Other", "utm_source": "june", "utm_medium": "email", "utm_campaign": "",
        "utm_term": "", "utm_content": "", "click_id": "gclid", "user_id": "u1", "session": "s1", "country": "GB",
        "region": "", "city": "", "asn": 0, "browser": "Chrome", "browser_version": "140", "os": "Linux",
        "os_version": "", "device": "desktop", "bot": "", "language": "de-AT", "timezone": "Europe/Vienna",
        "screen": "1920x1080", "viewport": "1200x800", "engaged_ms": 1500, "scroll": 80, "revenue": "12.3400",
        "currency": "EUR", "props": {"size": "m"}, "dialect": "native", "ip": "",
    }  # fmt: skip
    json.dumps(row)


def test_the_address_is_in_a_row_only_where_it_is_to_be_stored(finisher: Finisher) -> None:
    plain = finisher.row(_event(), CHROME, ADDRESS, "", "", NOW)
    whole = finisher.row(_event(), CHROME, ADDRESS, "", "", NOW, with_address=True)
    assert (as_dict(plain)["ip"], as_dict(whole)["ip"]) == ("", ADDRESS)
    assert ADDRESS.encode() not in plain[4] and ADDRESS.encode() in whole[4]


def test_the_same_again_is_the_same_row_from_the_caches(finisher: Finisher) -> None:
    event = _event(url="https://shop.example/", id=b"i" * 16)
    request = (CHROME, ADDRESS, "en", "", NOW)
    first = finisher.row(event, *request)
    assert finisher.row(event, *request) == first
    finisher.tick(0.0)
    finisher.tick(FORGET_EVERY)
    assert finisher.row(event, *request) == first


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 3)] * 6), max_size=20))
def test_no_order_of_events_mixes_the_parts_of_rows_up(choices: list[tuple[int, ...]]) -> None:
    geo = Geo("/nonexistent")
    shared = Finisher(geo, SALTS)
    pages = ["https://shop.example/a", "https://shop.example/a?utm_source=x", "https://other.example/a", ""]
    referrers = ["", "https://shop.example/", "https://other.example/", "https://google.com/"]
    agents = [CHROME, b"", b"curl/8", CHROME + b" Edg/140.0"]
    for url, referrer, agent, address, lang, title in choices:
        event = _event(url=pages[url], referrer=referrers[referrer], title=str(title), id=b"i" * 16)
        request = (agents[agent], f"81.2.69.{address}", ("en", "", "de;q=1", "*")[lang], "", NOW)
        assert shared.row(event, *request) == Finisher(geo, SALTS).row(event, *request)


@pytest.mark.parametrize("address", [ADDRESS, "2a02:c7f::1234", "::ffff:81.2.69.142", "10.20.30.40"])
def test_the_address_is_in_no_row_in_any_form(finisher: Finisher, address: str) -> None:
    parsed = ipaddress.ip_address(address)
    forms = {
        address.encode(),
        parsed.exploded.encode(),
        parsed.packed,
        parsed.packed[::-1],
        parsed.packed.hex().encode(),
    }
    forms |= {base64.b64encode(parsed.packed).rstrip(b"="), base64.b64encode(address.encode()).rstrip(b"=")}
    if parsed.version == 6 and parsed.ipv4_mapped:
        forms |= {str(parsed.ipv4_mapped).encode(), parsed.ipv4_mapped.packed}
    event = _event(url="https://shop.example/", referrer="https://a.example/")
    *_, payload = finisher.row(event, CHROME, address, "en", "", NOW)
    assert [form for form in forms if form in payload] == []


def test_the_ring_gets_id_site_hash_time_and_flags(finisher: Finisher) -> None:
    def head(event: Event) -> tuple[Any, ...]:
        return finisher.row(event, CHROME, ADDRESS, "", "", NOW)[:4]

    site = site_hash("shop.example")
    assert head(_event(id=b"i" * 16, client_id=True)) == (b"i" * 16, site, NOW, CLIENT_ID)
    assert head(_event(id=b"i" * 16, client_id=True, attempt=2)) == (b"i" * 16, site, NOW, CLIENT_ID | ATTEMPT)
    assert head(_event(attempt=2))[1:] == (site, NOW, 0)


def test_ids_made_here_are_version_7_and_never_twice_the_same(finisher: Finisher) -> None:
    made = [uuid.UUID(bytes=finisher.row(_event(), CHROME, ADDRESS, "", "", NOW)[0]) for _ in range(1500)]
    assert len(set(made)) == len(made)
    assert {(each.version, each.variant, each.int >> 80) for each in made} == {(7, uuid.RFC_4122, NOW)}


@pytest.mark.parametrize(
    ("age", "time"), [(0, NOW), (5, NOW - 5), (MAX_AGE_MS, NOW - MAX_AGE_MS), (10**15, NOW - MAX_AGE_MS), (-5, NOW)]
)
def test_the_events_time_is_bounded_and_never_in_the_future(finisher: Finisher, age: int, time: int) -> None:
    assert _row(finisher, _event(age_ms=age))["time"] == time


def test_headers_stand_in_for_what_the_event_does_not_say(finisher: Finisher) -> None:
    page = "https://shop.example/pixel"
    row = _row(finisher, _event(), referer_header=page, lang_header="de-CH,de;q=0.9,en;q=0.5")
    assert (row["url"], row["path"], row["referrer"], row["language"]) == (page, "/pixel", "", "de-CH")
    row = _row(finisher, _event(url="https://shop.example/p", lang="fr"), referer_header=page, lang_header="de")
    assert (row["path"], row["referrer"], row["language"]) == ("/p", "", "fr")


@pytest.mark.parametrize(
    ("header", "language"), [("*", ""), (" en-GB ;q=1", "en-GB"), (",", ""), ("x" * 500, "x" * 35)]
)
def test_odd_language_headers_are_bounded(finisher: Finisher, header: str, language: str) -> None:
    assert _row(finisher, _event(), lang_header=header)["language"] == language


def test_bots_and_unplaced_rows_are_counted_each_time(finisher: Finisher) -> None:
    for _ in range(3):
        _row(finisher, _event(), agent=b"curl/8.5.0")
        _row(finisher, _event(), address="10.0.0.1")
    assert (finisher.bots, finisher.geo_missing) == (3, 3)


def test_an_agent_may_be_text_or_bytes(finisher: Finisher) -> None:
    event = _event(id=b"i" * 16)
    assert _row(finisher, event, agent=CHROME.decode()) == _row(finisher, event, agent=CHROME)
    long = b"\xff\xfe" * 5000
    assert _row(finisher, event, agent=long)["browser"] == ""


def test_a_new_geo_database_reaches_addresses_already_known(finisher: Finisher) -> None:
    assert _row(finisher, _event())["country"] == "GB"
    write(Path(finisher.geo.info()[0].path), {"81.2.69.0/24": {"country_code": "FR"}})
    finisher.tick(1.0)
    assert _row(finisher, _event())["country"] == "FR"


def test_an_address_is_forgotten_when_it_did_not_come_again(finisher: Finisher) -> None:
    finisher.tick(0.0)
    _row(finisher, _event())
    assert len(finisher._places) == 1
    finisher.tick(FORGET_EVERY)
    finisher.tick(2 * FORGET_EVERY)
    assert len(finisher._places) == 0
    assert len(finisher._visitors._known) == 0


def test_new_salts_make_new_visitors(finisher: Finisher) -> None:
    before = _row(finisher, _event())["visitor"]
    finisher.swap_salts([Salt("other", 0, 2**60, b"t" * 32)])
    assert _row(finisher, _event())["visitor"] != before


def test_large_parts_are_made_but_not_kept(finisher: Finisher) -> None:
    long = "https://shop.example/" + "a" * 5000
    row = _row(finisher, _event(url=long, referrer=long, title="t" * 5000, tz="z" * 5000), agent=b"x" * 5000)
    assert len(row["url"]) == BY_NAME["url"].bound
    for cache in (finisher._pages, finisher._sources, finisher._clients, finisher._agent_parts):
        assert len(cache) == 0


def test_lone_surrogates_do_not_reach_the_record(finisher: Finisher) -> None:
    bad = "https://shop.example/\ud800"
    row = _row(
        finisher, _event(url=bad, referrer=bad, title="\ud800", tz="\udfff"), agent="\ud800", lang_header="\ud800"
    )
    json.dumps(row, ensure_ascii=False).encode()


def test_a_negative_revenue_is_told_as_such(finisher: Finisher) -> None:
    assert _row(finisher, _event(revenue_e4=-15_000))["revenue"] == "-1.5000"


def test_the_event_part_is_in_the_tables_order() -> None:
    assert record.EVENT_FIELDS == (
        "site", "name", "time", "visitor", "user_id", "session", "engaged_ms", "scroll", "revenue", "currency", "props",
        "dialect", "ip",
    )  # fmt: skip
