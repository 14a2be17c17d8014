"""Places from databases of every maker's shape, and what happens when their files change."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.geo_files import COUNTRY, write
from trackflowd.enrich.geo import NOWHERE, Geo, open_checked, place
from trackflowd.errors import GeoError

BRITISH = "81.2.69.142"


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        # MaxMind, GeoLite2 City
        (
            {
                "city": {"names": {"de": "Köln", "en": "Cologne"}},
                "country": {"iso_code": "DE", "names": {"en": "Germany"}},
                "subdivisions": [{"iso_code": "NW", "names": {"en": "North Rhine-Westphalia"}}, {"iso_code": "X"}],
            },
            ("DE", "North Rhine-Westphalia", "Cologne", 0),
        ),
        # names in one other language only; a subdivision known by its code
        (
            {
                "city": {"names": {"fr": "Lyon"}},
                "country": {"iso_code": "FR"},
                "subdivisions": [{"iso_code": "ARA"}],
            },
            ("FR", "ARA", "Lyon", 0),
        ),
        # GeoLite2 Country, DB-IP country
        ({"country": {"iso_code": "GB", "geoname_id": 1}, "continent": {"code": "EU"}}, ("GB", "", "", 0)),
        # GeoLite2 ASN, DB-IP ASN
        (
            {"autonomous_system_number": 20712, "autonomous_system_organization": "Andrews & Arnold"},
            ("", "", "", 20712),
        ),
        # MaxMind Enterprise, ISP inside
        ({"country": {"iso_code": "US"}, "traits": {"autonomous_system_number": 15169}}, ("US", "", "", 15169)),
        # IPinfo: old country, lite, location
        ({"country": "US", "asn": "AS15169"}, ("US", "", "", 15169)),
        ({"country": "United States", "country_code": "US", "asn": "AS15169"}, ("US", "", "", 15169)),
        (
            {"country": "DE", "region": "Bavaria", "city": "Munich", "asn": 3320},
            ("DE", "Bavaria", "Munich", 3320),
        ),
        # ip-location-db
        ({"country_code": "gb"}, ("GB", "", "", 0)),
        ({"country_code": "DE", "state1": "Hessen", "city": "Fulda"}, ("DE", "Hessen", "Fulda", 0)),
        # nothing, and nonsense
        (None, NOWHERE),
        ({}, NOWHERE),
        ({"country": {"iso_code": "ZZ"}}, NOWHERE),
        ({"country_code": "United Kingdom", "city": 5, "region": ["x"], "asn": "AS"}, NOWHERE),
        ({"country": {"iso_code": None}, "city": {"names": []}, "subdivisions": [], "asn": -4}, NOWHERE),
        ({"asn": "AS99999999999", "subdivisions": "x"}, NOWHERE),
        ("GB", NOWHERE),
        ([], NOWHERE),
    ],
)
def test_every_makers_record_is_understood(record: Any, expected: tuple[Any, ...]) -> None:
    assert place(record) == expected


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["country", "iso_code", "names", "en", "city", "subdivisions", "asn"]), inner)
    ),
    max_leaves=8,
)


@given(_JSON)
def test_no_record_makes_it_raise(record: Any) -> None:
    assert isinstance(place(record).asn, int)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    records = {**COUNTRY, "10.0.0.0/8": {"country_code": "XA"}, "fd00::/8": {"country_code": "XA"}}
    return write(tmp_path / "one.mmdb", records)


@pytest.mark.parametrize(
    "address", [BRITISH, "2a02:c7f::1", "::ffff:81.2.69.142", "::FFFF:5102:458e", "2a02:c7f::1%eth0"]
)
def test_addresses_of_both_families_are_found(database: Path, address: str) -> None:
    assert Geo(str(database)).lookup(address).country == "GB"


@pytest.mark.parametrize(
    "address",
    ["", "10.1.2.3", "127.0.0.1", "192.168.1.1", "::1", "fd00::1", "fe80::1%2", "::ffff:10.1.2.3", "8.8.8.8", "unix",
     "1", "81.2.69", "81.2.69.142:80", "[2a02:c7f::1]", "81.2.69.0/24", "\0", "9" * 5000, "ä", "\ud800"],
)  # fmt: skip
def test_private_odd_and_unknown_addresses_are_nowhere(database: Path, address: str) -> None:
    assert Geo(str(database)).lookup(address) == NOWHERE


def test_a_database_without_ipv6_answers_for_ipv4_only(tmp_path: Path) -> None:
    path = write(tmp_path / "four.mmdb", {"81.2.69.0/24": {"country_code": "GB"}}, version=4)
    geo = Geo(str(path))
    assert geo.lookup(BRITISH).country == "GB"
    assert geo.lookup("::ffff:81.2.69.142").country == "GB"
    assert geo.lookup("2a02:c7f::1") == NOWHERE


def test_what_is_open_is_told(database: Path) -> None:
    (info,) = Geo(str(database.parent)).info()
    assert (info.path, info.kind, info.asn_only) == (str(database), "Test-Country", False)
    assert abs(info.built - time.time()) < 3600


def test_without_a_file_nothing_is_known_and_nothing_is_wrong(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none", tmp_path / "none.mmdb"):
        geo = Geo(str(path))
        assert geo.lookup(BRITISH) == NOWHERE
        assert (geo.info(), geo.error, geo.errors) == ([], "", 0)


def test_a_file_that_appears_is_taken_at_the_next_check(tmp_path: Path) -> None:
    geo = Geo(str(tmp_path), check_every=10)
    assert not geo.tick(100.0)
    write(tmp_path / "one.mmdb", COUNTRY)
    assert not geo.tick(109.9)
    assert geo.tick(110.0)
    assert geo.lookup(BRITISH).country == "GB"
    assert not geo.tick(120.0)


def test_a_replaced_file_is_swapped_in(database: Path) -> None:
    geo = Geo(str(database), check_every=0)
    before = geo.generation
    write(database, {"81.2.69.0/24": {"country_code": "FR"}})
    assert geo.tick(1.0)
    assert geo.lookup(BRITISH).country == "FR"
    assert geo.generation == before + 1


@pytest.mark.parametrize("wrong", [b"", b"no database", b"\0" * 100_000, None])
def test_a_bad_file_is_reported_and_the_last_good_one_stays(database: Path, wrong: bytes | None) -> None:
    geo = Geo(str(database), check_every=0)
    new = database.with_suffix(".new")
    new.write_bytes(database.read_bytes()[:-200] if wrong is None else wrong)  # None: cut short
    new.rename(database)
    assert not geo.tick(1.0)
    assert geo.lookup(BRITISH).country == "GB"
    assert str(database) in geo.error
    assert geo.errors == 1
    assert not geo.tick(2.0)
    assert geo.errors == 1  # one bad file is one error
    write(database, {"81.2.69.0/24": {"country_code": "FR"}})
    assert geo.tick(3.0)
    assert (geo.lookup(BRITISH).country, geo.error) == ("FR", "")


def test_a_file_that_is_gone_stays_in_use(database: Path) -> None:
    geo = Geo(str(database.parent), check_every=0)
    database.unlink()
    assert not geo.tick(1.0)
    assert geo.lookup(BRITISH).country == "GB"
    assert "gone" in geo.error


def test_the_newest_good_file_of_a_directory_counts(tmp_path: Path) -> None:
    write(tmp_path / "old.mmdb", {"81.2.69.0/24": {"country_code": "FR"}}, mtime=1000)
    write(tmp_path / "new.mmdb", COUNTRY, mtime=2000)
    (tmp_path / "readme.txt").write_text("not a database")
    assert Geo(str(tmp_path)).lookup(BRITISH).country == "GB"
    (tmp_path / "newest.mmdb").write_bytes(b"half")
    geo = Geo(str(tmp_path))
    assert geo.lookup(BRITISH).country == "GB"
    assert "newest.mmdb" in geo.error


def test_a_bad_newer_file_does_not_bring_back_an_older_one(tmp_path: Path) -> None:
    write(tmp_path / "old.mmdb", {"81.2.69.0/24": {"country_code": "FR"}}, mtime=1000)
    path = write(tmp_path / "new.mmdb", COUNTRY, mtime=2000)
    geo = Geo(str(tmp_path), check_every=0)
    broken = tmp_path / "broken"
    broken.write_bytes(b"half")
    broken.rename(path)
    geo.tick(1.0)
    assert geo.lookup(BRITISH).country == "GB"


def test_a_database_of_networks_is_used_beside_one_of_places(tmp_path: Path) -> None:
    write(tmp_path / "places.mmdb", COUNTRY, mtime=1000)
    write(tmp_path / "asn.mmdb", {"81.2.69.0/24": {"autonomous_system_number": 20712}}, "GeoLite2-ASN", mtime=2000)
    geo = Geo(str(tmp_path))
    assert geo.lookup(BRITISH) == ("GB", "", "", 20712)
    assert [info.asn_only for info in geo.info()] == [False, True]


def test_a_database_without_places_or_networks_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "other.mmdb", {"81.2.69.0/24": {"is_tor": True}}, "Proxies")
    with pytest.raises(GeoError, match="Proxies"):
        open_checked(str(path))


def test_damage_in_the_data_gives_nowhere_and_never_an_exception(database: Path) -> None:
    raw = bytearray(database.read_bytes())
    geo = Geo(str(database))
    mark = raw.rindex(b"\xab\xcd\xefMaxMind.com")
    raw[mark // 2 : mark] = os.urandom(mark - mark // 2)
    new = database.with_suffix(".new")
    new.write_bytes(raw)
    new.rename(database)
    geo.tick(100.0)
    assert geo.lookup(BRITISH).country in ("GB", "")
