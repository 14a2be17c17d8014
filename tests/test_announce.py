"""trackflowd.proto.announce: PROXY headers, cut anywhere, and what is none."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackflowd.proto.announce import MAX_LENGTH, MAX_LINE, Announced, Announcement, NotAnnounced

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
REST = b"GET / HTTP/1.1\r\n\r\n"


def binary(command: int, kind: int, payload: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, kind, len(payload)) + payload


def addresses(source: str, target: str) -> bytes:
    packed = (ipaddress.ip_address(source).packed, ipaddress.ip_address(target).packed)
    return b"".join(packed) + struct.pack("!HH", 4711, 443)


V4 = addresses("203.0.113.9", "198.51.100.1")
V6 = addresses("2001:db8::9", "2001:db8::1")
UNIX = b"/run/x".ljust(108, b"\0") * 2
#: PP2_TYPE_ALPN and PP2_TYPE_NOOP.
TLVS = b"\x01\x00\x08http/1.1\x04\x00\x03\0\0\0"

HEADERS = [
    (b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 443\r\n", "203.0.113.9"),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 0\r\n", "255.255.255.255"),
    (b"PROXY TCP6 2001:DB8::0:9 2001:db8::1 4711 443\r\n", "2001:db8::9"),
    (b"PROXY TCP6 ::ffff:203.0.113.9 ::1 1 2\r\n", "203.0.113.9"),
    (b"PROXY UNKNOWN\r\n", ""),
    (b"PROXY UNKNOWN " + b"f" * (MAX_LINE - 16) + b"\r\n", ""),
    (binary(0x21, 0x11, V4), "203.0.113.9"),
    (binary(0x21, 0x11, V4 + TLVS), "203.0.113.9"),
    (binary(0x21, 0x21, V6 + TLVS), "2001:db8::9"),
    (binary(0x21, 0x21, addresses("::ffff:203.0.113.9", "::1")), "203.0.113.9"),
    (binary(0x21, 0x31, UNIX), ""),
    (binary(0x21, 0x00, b""), ""),
    (binary(0x21, 0x00, TLVS), ""),
    (binary(0x20, 0x00, b""), ""),
    (binary(0x20, 0x11, V4), ""),
    (binary(0x20, 0xFF, b"\0" * MAX_LENGTH), ""),
    (binary(0x21, 0x11, V4.ljust(MAX_LENGTH, b"\0")), "203.0.113.9"),
]


def read(pieces: list[bytes]) -> Announced | None:
    """What comes of these reads; what is behind the header, of all of them."""
    header = Announcement()
    for number, piece in enumerate(pieces):
        found = header.receive(piece)
        if found is not None:
            return found._replace(rest=found.rest + b"".join(pieces[number + 1 :]))
    return None


@pytest.mark.parametrize(("header", "client"), HEADERS)
def test_a_header_says_the_same_wherever_it_is_cut(header: bytes, client: str) -> None:
    raw = header + REST
    for cut in range(len(raw) + 1):
        assert read([raw[:cut], raw[cut:]]) == (client, REST)
    assert read([raw[at : at + 1] for at in range(len(raw))]) == (client, REST)
    for cut in range(len(header)):
        assert read([header[:cut]]) is None, "a header that is not whole is none yet"


@given(st.sampled_from(HEADERS), st.binary(max_size=40), st.lists(st.integers(1, 60), max_size=20))
def test_no_cut_of_several_changes_what_is_read(pair: tuple[bytes, str], rest: bytes, sizes: list[int]) -> None:
    raw, pieces = pair[0] + rest, []
    for size in sizes:
        pieces.append(raw[:size])
        raw = raw[size:]
    assert read([*pieces, raw]) == (pair[1], rest)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"G", "does not begin with"),
        (REST, "does not begin with"),
        (b"PROXY\t", "does not begin with"),
        (b"\r\n\r\n\0\r\nQUIT\r", "does not begin with"),
        (b"PROXY UNKNOWN " + b"f" * MAX_LINE, f"longer than {MAX_LINE}"),
        (b"PROXY UNKNOWN " + b"f" * (MAX_LINE - 15) + b"\r\n", f"longer than {MAX_LINE}"),
        (b"PROXY \r\n", "not of the form"),
        (b"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", "not of the form"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", "not of the form"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", "not of the form"),
        (b"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n", "not of the form"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", "a port"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", "a port"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n", "a port"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 \xb2\r\n", "a port"),
        (b"PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n", "none of its family"),
        (b"PROXY TCP4 ::1 ::1 1 2\r\n", "none of its family"),
        (b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", "none of its family"),
        (b"PROXY TCP4 1.2.3.4 \xd9\xa1.2.3.4 1 2\r\n", "none of its family"),
        (binary(0x11, 0x11, V4), "0x11"),
        (binary(0x22, 0x11, V4), "0x22"),
        (binary(0x21, 0x12, V4), "0x12"),
        (binary(0x21, 0x41, V4), "0x41"),
        (binary(0x21, 0x11, V4[:-1]), "too short"),
        (binary(0x21, 0x21, V6[:-1]), "too short"),
        (binary(0x21, 0x31, UNIX[:-1]), "too short"),
        (SIGNATURE + b"\x21\x11" + struct.pack("!H", MAX_LENGTH + 1), f"longer than {MAX_LENGTH}"),
        (SIGNATURE + b"\x20\x00\xff\xff", f"longer than {MAX_LENGTH}"),
    ],
)
def test_what_is_no_header_is_refused_wherever_it_is_cut(raw: bytes, said: str) -> None:
    for pieces in ([raw], [raw[at : at + 1] for at in range(len(raw))]):
        with pytest.raises(NotAnnounced, match=said):
            read(pieces)


@given(
    st.lists(st.binary(max_size=200), max_size=8), st.sampled_from([b"", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"!"])
)
def test_whatever_comes_there_is_a_verdict_within_the_bound(pieces: list[bytes], first: bytes) -> None:
    try:
        found = read([first, *pieces])
    except NotAnnounced:
        return
    if found is None:
        assert len(first) + sum(map(len, pieces)) < 16 + MAX_LENGTH
