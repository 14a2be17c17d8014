"""trackflowd.policy: who may send, what is counted, what of a url is kept."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from trackflowd import policy as policies
from trackflowd.errors import Refused
from trackflowd.limits import of_address
from trackflowd.policy import Key, Policy, Rules, Sender
from trackflowd.proto.refusals import TABLE
from trackflowd.site import OPEN, REGISTERED, Site

SECRET = b"s" * 43
KEY = Key(7, "shop.example", hashlib.sha256(SECRET).digest(), None)
BROWSER = Sender("https://shop.example", False, False, None)
SERVER = Sender("", False, False, KEY)


def verdict(site: Site, url: str = "https://shop.example/a", sender: Sender = BROWSER, address: str = "") -> str:
    return Rules(site).verdict(sender, address, url)[0]


def test_nothing_is_to_be_decided_where_nobody_set_anything() -> None:
    assert Policy().idle
    assert Policy(OPEN, [Site("*"), Site("shop.example", note="n", retention_days=3)]).idle
    assert not Policy(OPEN, [Site("shop.example", gpc="refuse")]).idle
    assert not Policy(REGISTERED, [Site("*")]).idle
    assert not Policy(OPEN, [Site("shop.example", rate=5)]).idle
    assert not Policy(address_limit=of_address(5, 0)).idle


def test_only_registered_sites_have_rules_in_registered_mode() -> None:
    policy = Policy(REGISTERED, [Site("*"), Site("shop.example")])
    assert policy.rules("shop.example") is not None and policy.rules("other.example") is None
    rules = Policy(OPEN, [Site("*", bot_policy="refuse"), Site("shop.example")]).rules("other.example")
    assert rules is not None and rules.refuses_bots


@pytest.mark.parametrize(
    ("origins", "origin", "good"),
    [
        ((), "https://evil.example", True),
        (("https://shop.example",), "https://shop.example", True),
        (("https://shop.example",), "HTTPS://Shop.Example:443", True),
        (("https://shop.example",), "http://shop.example", False),
        (("https://shop.example",), "https://shop.example:8443", False),
        (("https://shop.example",), "https://shop.example.evil.example", False),
        (("https://shop.example",), "https://notshop.example", False),
        (("https://shop.example",), "null", False),
        (("https://*.shop.example",), "https://a.b.shop.example", True),
        (("https://*.shop.example",), "https://shop.example", False),
        (("https://*.shop.example",), "https://evilshop.example", False),
        (("https://*.shop.example",), "https://evil.example/.shop.example", False),
    ],
)
def test_pages_of_other_origins_may_not_send(origins: tuple[str, ...], origin: str, good: bool) -> None:
    sender = policies.sender({b"origin": origin.encode()}, None)
    assert (verdict(Site("s", origins=origins), sender=sender) == "") == good


def test_without_origin_the_referer_counts_then_the_url() -> None:
    site = Site("s", origins=("https://shop.example",))
    nothing = policies.sender({}, None)
    assert verdict(site, sender=policies.sender({b"referer": b"https://evil.example/x"}, None)) == "origin"
    assert verdict(site, sender=nothing) == ""
    assert verdict(site, "https://evil.example/", nothing) == verdict(site, "", nothing) == "origin"
    assert verdict(site, "https://evil.example/", SERVER) == ""


@pytest.mark.parametrize(
    ("header", "site", "code"),
    [
        (b"sec-gpc", Site("s", gpc="refuse"), "opted_out"),
        (b"dnt", Site("s", dnt="refuse"), "opted_out"),
        (b"sec-gpc", Site("s", dnt="refuse"), ""),
        (b"dnt", Site("s", gpc="refuse"), ""),
        (b"dnt", Site("s"), ""),
    ],
)
def test_browsers_wishes_are_heeded_where_the_site_says_so(header: bytes, site: Site, code: str) -> None:
    assert verdict(site, sender=policies.sender({header: b"1"}, None)) == code
    assert verdict(site, sender=policies.sender({header: b"0"}, None)) == ""
    assert verdict(site, sender=policies.sender({header: b"1"}, KEY)) == ""


def test_paths_and_addresses() -> None:
    site = Site(
        "s", paths=("/blog/*", "/[x]"), exclude_paths=("*/draft*",), exclude_addresses=("10.0.0.0/8", "2001:db8::/32")
    )
    assert verdict(site, "https://h/blog/1") == verdict(site, "/[x]") == ""
    assert verdict(site, "https://h/shop") == verdict(site, "/x") == verdict(site, "https://h/blog") == "path"
    assert verdict(site, "https://h/blog/draft-1?x=1") == "excluded_path"
    assert verdict(site, "https://h/shop", SERVER) == "" and verdict(site, "/a/draft", SERVER) == "excluded_path"
    for address, code in (("10.1.2.3", "excluded_address"), ("11.1.2.3", ""), ("2001:db8::1", "excluded_address")):
        assert verdict(site, "/blog/1", address=address) == code


def test_a_path_that_many_stars_nearly_fit_is_decided_at_once() -> None:
    site = Site("s", paths=("/" + "*a" * 100 + "b",))
    assert verdict(site, "/" + "a" * 1000) == "path"


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://h/a?q=1&x=2&page=3#f", "https://h/a?q=1&page=3#f"),
        ("https://h/a?x=2", "https://h/a"),
        ("https://h/a?utm_source=m&gclid=1&x=2", "https://h/a?utm_source=m&gclid=1"),
        ("https://h/a?%71=1&Q=2", "https://h/a?%71=1"),
        ("https://h/a#b?x=1", "https://h/a#b?x=1"),
        ("/a?&&", "/a"),
        ("/a", "/a"),
    ],
)
def test_parameters_that_are_not_kept_are_cut_out(url: str, kept: str) -> None:
    rules = Rules(Site("s", query_params=("q", "page")))
    assert rules.verdict(BROWSER, "", url)[1] == kept
    assert rules.verdict(BROWSER, "", url)[1] == kept  # from the cache, too
    assert Rules(Site("s")).verdict(BROWSER, "", url)[1] == url


def test_a_key_is_known_by_its_hash_until_it_expires() -> None:
    policy = Policy(OPEN, (), [KEY._replace(expires_ms=1000)])
    for _ in range(2):
        assert policy.key(b"tfk_7_" + SECRET, 999).number == 7
        assert policy.used == {7}
        with pytest.raises(Refused, match="expired") as caught:
            policy.key(b"tfk_7_" + SECRET, 1000)
        assert (caught.value.status, caught.value.code) == (401, "bad_key")
    for wrong in (
        b"tfk_7_" + b"x" * 43,
        b"tfk_8_" + SECRET,
        b"tft_7_" + SECRET,
        b"",
        b"tfk_7_",
        b"tfk_7_" + SECRET + b"\n",
    ):
        with pytest.raises(Refused, match="does not work here"):
            policy.key(wrong, 0)


def test_hashes_of_known_and_unknown_keys_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(policies, "compare_digest", compare)
    for shown in (b"tfk_7_" + b"x" * 43, b"tfk_8_" + SECRET, b"nonsense"):
        with pytest.raises(Refused):
            Policy(OPEN, (), [KEY]).key(shown, 0)
    assert len(compared) == 3 and all(len(one) == len(other) == 32 for one, other in compared)


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        (b"Bearer tfk_1_x", b"tfk_1_x"),
        (b"bearer  tfk_1_x ", b"tfk_1_x"),
        (b"Basic abc", None),
        (b"", None),
        (b"Bearer", b""),
    ],
)
def test_only_a_bearer_shows_a_key(header: bytes, shown: bytes | None) -> None:
    assert policies.bearer({b"authorization": header} if header else {}) == shown


def test_every_code_has_a_status_and_those_not_counted_are_200() -> None:
    statuses = {code.name: code.status for code in TABLE}
    for code in policies._REASONS:
        assert statuses[code] == (200 if code in ("opted_out", "bot") or code.startswith("excluded") else 403)
        assert policies.reason(code).code == code


def test_a_snapshot_of_another_version_is_no_policy(tmp_path: Path) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Policy.of({"mode": OPEN, "sites": [{"site": "s", "origins": 5}], "keys": []})
    with pytest.raises((ValueError, KeyError, TypeError)):
        Policy.of({})
