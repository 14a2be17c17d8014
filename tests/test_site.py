"""site: every setting read from texts and from JSON, what is wrong with one, and the page that lists them."""

from __future__ import annotations

import dataclasses
import json

import pytest

from trackflowd.site import ANY, DEFAULT, SETTINGS, Site, check_name, settings_of, with_settings

SITE = Site("example.com")


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("origins", "https://Example.com/, https://*.example.com", ("https://example.com", "https://*.example.com")),
        ("origins", ["http://localhost:3000", "https://a.example:443"], ("http://localhost:3000", "https://a.example")),
        ("origins", ["http://[::1]:8080", "app://id"], ("http://[::1]:8080", "app://id")),
        ("origins", "", ()),
        ("paths", "/blog/*,/pricing", ("/blog/*", "/pricing")),
        ("paths", ["*.html"], ("*.html",)),
        ("gpc", "refuse", "refuse"),
        ("dnt", "ignore", "ignore"),
        ("store_ip", "true", True),
        ("store_ip", False, False),
        ("salt_hour", "23", 23),
        ("bot_policy", "refuse", "refuse"),
        ("rate", "0.5", 0.5),
        ("rate", 200, 200.0),
        ("address_rate", 3.5, 3.5),
        ("retention_days", "400", 400),
        ("exclude_addresses", "198.51.100.0/24,2001:DB8::/32", ("198.51.100.0/24", "2001:db8::/32")),
        ("exclude_addresses", ["192.0.2.7"], ("192.0.2.7/32",)),
        ("exclude_paths", ["/admin/*"], ("/admin/*",)),
        ("query_params", "q,page,q", ("q", "page")),
        ("query_params", "*", None),
        ("query_params", None, None),
        ("query_params", "", ()),
        ("query_params", [], ()),
        ("note", "the shop, since 2024", "the shop, since 2024"),
    ],
)  # fmt: skip
def test_a_value_is_read_and_written_so_that_it_is_read_again(name: str, raw: object, value: object) -> None:
    made = with_settings(SITE, {name: raw})
    assert getattr(made, name) == value
    assert SETTINGS[name].read(SETTINGS[name].write(value)) == value
    assert with_settings(SITE, json.loads(json.dumps(settings_of(made)))) == made
    assert with_settings(SITE, settings_of(made, sparse=True)) == made
    assert with_settings(made, {name: None}) == SITE


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"orgins": ""}, "no setting is called 'orgins'; origins?"),
        ({"site": "b"}, "no setting is called 'site'"),
        ({"origins": "example.com"}, "origins must be a list of origins as browsers send them"),
        ({"origins": "https://example.com/shop"}, "no path"),
        ({"origins": "https://münchen.example"}, "punycode"),
        ({"origins": "https://a:99999"}, "origins must be"),
        ({"origins": "https://*.[::1]"}, "origins must be"),
        ({"origins": "https://[::g]"}, "origins must be"),
        ({"origins": "https://a..b"}, "origins must be"),
        ({"origins": 7}, "origins must be a list of texts"),
        ({"paths": "blog/*"}, "paths must be a list of paths"),
        ({"paths": ["/a?b=1"]}, "no ? or #"),
        ({"gpc": "maybe"}, 'gpc must be one of "ignore", "refuse"'),
        ({"store_ip": "yes"}, "store_ip must be true or false"),
        ({"salt_hour": 24}, "salt_hour must be at most 23"),
        ({"rate": "fast"}, "rate must be a number"),
        ({"rate": "nan"}, "rate must be a number"),
        ({"rate": True}, "rate must be a number"),
        ({"rate": -1}, "rate must be a number"),
        ({"rate": 1e10}, "rate must be at most"),
        ({"burst": 10}, "burst must be at least 1, and goes with rate"),
        ({"address_rate": 1, "address_burst": 0.5}, "address_burst must be at least 1"),
        ({"retention_days": 1.5}, "retention_days must be a whole number"),
        ({"exclude_addresses": "198.51.100.7/24"}, 'the network is "198.51.100.0/24"'),
        ({"exclude_addresses": "here"}, "exclude_addresses must be a list of networks"),
        ({"query_params": "a&b"}, "query_params must be a list of names"),
        ({"note": "a\nb"}, "note must be at most 200 printable characters"),
        ({"paths": ["/a"] + [f"/{n}" for n in range(200)]}, "paths must have at most 200 items"),
        ({"exclude_paths": ["/" + "x" * 255]}, "of 255 characters"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else None,
)
def test_what_is_wrong_is_said_with_what_would_be_right(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        with_settings(SITE, given)
    assert said in str(caught.value)


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(ValueError, match=r"gpc must be .*; dnt must be .*; no setting is called 'x'"):
        with_settings(SITE, {"gpc": 1, "dnt": "", "x": 0})


def test_ids_of_sites() -> None:
    for good in ("example.com", "a", "shop:de", "x" * 64, ANY):
        assert check_name(good) == good
    for bad in ("", "a b", "x" * 65, "ä", "**", "a/b", None, 3):
        with pytest.raises(ValueError, match="a site is 1 to 64 letters"):
            check_name(bad)


def test_every_default_is_what_its_own_row_reads() -> None:
    assert [field.name for field in dataclasses.fields(Site)] == ["site", *SETTINGS]
    assert settings_of(DEFAULT, sparse=True) == {}
    for setting in SETTINGS.values():
        assert setting.read(setting.write(setting.default)) == setting.default
        assert setting.spec.help.endswith(".")
