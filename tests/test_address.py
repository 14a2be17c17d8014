"""trackflowd.proto.address: whose request it is."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackflowd.proto.address import Proxies, Walk, normal
from trackflowd.proto.http import Connection, Limits

PROXIES = Proxies(["10.0.0.0/8", "192.168.1.1/32", "2001:db8:1::/48", "::ffff:172.16.0.0/108"])


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        (" 203.0.113.9 ", "203.0.113.9"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("2001:DB8::0:1", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("::ffff:cb00:7109", "203.0.113.9"),
        ("[::ffff:203.0.113.9]:80", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_an_address_has_one_form(text: str, address: str) -> None:
    assert normal(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unknown",
        "_hidden",
        "203.0.113",
        "203.0.113.256",
        "203.0.113.09",
        "1.2.3.4.5",
        "a:b",
        "::1::",
        "1.2.3.4\n5",
        "١.٢.٣.٤",
    ],
)
def test_what_is_no_address_is_none(text: str) -> None:
    assert normal(text) is None


@given(st.ip_addresses())
def test_every_address_is_its_own_normal_form_and_trusted_where_ipaddress_says_so(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    text = str(mapped or address)
    assert normal(str(address)) == text
    networks = ["10.0.0.0/8", "2000::/4", "192.0.0.0/5"]
    want = any(ipaddress.ip_address(text) in ipaddress.ip_network(network) for network in networks)
    assert Proxies(networks).trusts(text) == want


def test_nobody_is_trusted_by_default() -> None:
    assert not Proxies([]).trusts("127.0.0.1")
    assert not Proxies([]).trusts("::1")


def test_mapped_networks_are_ipv4() -> None:
    assert PROXIES.trusts("172.16.3.4")
    assert not PROXIES.trusts("172.32.0.1")


@pytest.mark.parametrize(
    ("header", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9, 10.1.2.3, 192.168.1.1", "203.0.113.9"),
        ("203.0.113.9:5555, [2001:db8:1::5]:1", "203.0.113.9"),
        ("10.0.0.1, 10.0.0.2", "10.0.0.1"),
        ("6.6.6.6, unknown, 10.0.0.2", "10.0.0.2"),
        ("6.6.6.6, , 10.0.0.2", "10.0.0.2"),
        ("unknown", "10.9.9.9"),
        ("", "10.9.9.9"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("6.6.6.6, " + "10.0.0.1, " * 40 + "10.0.0.1", "10.0.0.1"),
    ],
)
def test_the_client_is_the_right_most_hop_that_is_not_trusted(header: str, client: str) -> None:
    assert PROXIES.client("10.9.9.9", header.encode(), None) == client


@pytest.mark.parametrize(
    ("header", "client"),
    [
        ("for=203.0.113.9", "203.0.113.9"),
        ('For="[2001:db8:cafe::17]:4711";proto=https;by=10.0.0.1', "2001:db8:cafe::17"),
        ("for=6.6.6.6, for=203.0.113.9;proto=http, by=1.1.1.1;for=10.0.0.1", "203.0.113.9"),
        ("for=6.6.6.6, for=_hidden, for=10.0.0.1", "10.0.0.1"),
        ("for=unknown", "10.9.9.9"),
        ("proto=https", "10.9.9.9"),
        ("before=6.6.6.6", "10.9.9.9"),
        ('for="203.0.113.9:4711"', "203.0.113.9"),
        ('for="[::ffff:203.0.113.9]:80"', "203.0.113.9"),
        ('for=6.6.6.6, for="_gazonk"', "10.9.9.9"),
        ('for=6.6.6.6, for="unknown:80", for=10.0.0.1', "10.0.0.1"),
        ("for = 203.0.113.9 ; proto = https", "203.0.113.9"),
        # An element that names nobody ends the walk: what is left of it is not the proxy's.
        ("for=6.6.6.6, proto=https", "10.9.9.9"),
        ("for=6.6.6.6, for=203.0.113.9;for=7.7.7.7", "10.9.9.9"),
        # The proxy has put the client's own words into quotes, or behind the client's own line.
        ('for=203.0.113.9;host="a;for=6.6.6.6"', "203.0.113.9"),
        ('host="a, for=6.6.6.6";for=203.0.113.9', "203.0.113.9"),
        ('for=203.0.113.9;host="a\\", for=6.6.6.6;x=\\""', "203.0.113.9"),
        ('for="6.6.6.6, for="[2001:db8::5]"', "2001:db8::5"),
        ('for=6.6.6.6, a=", for="[2001:db8::5]"', "2001:db8::5"),
    ],
)
def test_forwarded_says_the_same(header: str, client: str) -> None:
    assert PROXIES.client("10.9.9.9", None, header.encode()) == client


def test_x_forwarded_for_goes_before_forwarded() -> None:
    assert PROXIES.client("10.9.9.9", b"203.0.113.9", b"for=6.6.6.6") == "203.0.113.9"


@pytest.mark.parametrize("name", [b"X-Forwarded-For", b"Forwarded"])
def test_several_lines_are_one_list(name: bytes) -> None:
    form = b"for=%s" if name == b"Forwarded" else b"%s"
    hops = [form % hop for hop in (b"6.6.6.6", b"203.0.113.9", b"10.0.0.1", b"10.0.0.2")]
    for cut in range(1, 1 << 3):
        lines: list[list[bytes]] = [[hops[0]]]
        for at, hop in enumerate(hops[1:]):
            lines.append([hop]) if cut >> at & 1 else lines[-1].append(hop)
        head = b"".join(b"%s: %s\r\n" % (name, b", ".join(line)) for line in lines)
        (request,) = Connection(Limits()).receive(b"GET / HTTP/1.1\r\nHost: h\r\n" + head + b"\r\n")
        sent = [request.headers.get(key) for key in (b"x-forwarded-for", b"forwarded")]
        assert PROXIES.client("10.9.9.9", *sent) == "203.0.113.9"


@given(st.binary(max_size=80), st.booleans())
def test_no_header_breaks_it(header: bytes, old: bool) -> None:
    client = PROXIES.client("10.9.9.9", header if old else None, header)
    assert normal(client) == client


@pytest.mark.parametrize(
    ("sent", "old", "walk"),
    [
        (None, None, Walk("10.9.9.9", "", 0)),
        (b"1.2.3.4, 203.0.113.9, 10.0.0.3", b"for=5.6.7.8", Walk("203.0.113.9", "x-forwarded-for", 2)),
        (None, b"for=5.6.7.8", Walk("5.6.7.8", "forwarded", 1)),
        (b"unknown, 10.0.0.3", None, Walk("10.0.0.3", "x-forwarded-for", 1)),
        (b"unknown", None, Walk("10.9.9.9", "", 0)),
    ],
)
def test_it_is_told_which_hop_named_the_client(sent: bytes | None, old: bytes | None, walk: Walk) -> None:
    assert PROXIES.walk("10.9.9.9", sent, old) == walk


def test_a_client_is_looked_up_once_and_forgotten_when_it_has_not_come_for_two_turns() -> None:
    proxies = Proxies(["10.0.0.0/8"])
    known = proxies._known
    for peer, sent in (("10.0.0.1", b"203.0.113.9"), ("10.0.0.2", b"unknown"), ("10.0.0.1", b"203.0.113.9")):
        assert proxies.client(peer, sent, None) == {b"unknown": peer}.get(sent, "203.0.113.9")
    assert len(known) == 2
    proxies.forget()
    assert proxies.client("10.0.0.1", b"203.0.113.9", None) == "203.0.113.9"
    proxies.forget()
    assert len(known) == 1
    proxies.forget()
    assert len(known) == 0
    proxies.client("10.0.0.1", b"1" * 1000, None)
    assert len(known) == 0
