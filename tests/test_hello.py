"""trackflowd.proto.hello: the name in a ClientHello as real clients send it, cut anywhere; and what is none."""

from __future__ import annotations

import ssl
import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackflowd.proto.hello import MAX_HELLO, MAX_RECORDS, NotTls, server_name


def hello(name: str | None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """What this Python's TLS library sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.maximum_version = version
    sent = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return sent.read()


def records(message: bytes, sizes: Sequence[int]) -> bytes:
    """A message in records of these sizes; the rest in one more."""
    parts, at = [], 0
    for size in (*sizes, len(message)):
        if part := message[at : at + size]:
            parts.append(b"\x16\x03\x01" + struct.pack("!H", len(part)) + part)
        at += size
    return b"".join(parts)


HELLO = hello("Shop.Example.ORG")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("name", "read"), [("Shop.Example.ORG", "shop.example.org"), ("x" * 60 + ".de",) * 2, (None, "")]
)
def test_the_name_is_read_wherever_the_hello_is_cut(name: str | None, read: str, version: ssl.TLSVersion) -> None:
    raw = hello(name, version)
    for cut in range(len(raw)):
        assert server_name(raw[:cut]) is None
    assert server_name(raw) == server_name(raw + b"\0more") == read


@given(st.lists(st.integers(1, 300), max_size=MAX_RECORDS - 1))
def test_it_may_come_in_several_records(sizes: list[int]) -> None:
    raw = records(HELLO[5:], sizes)
    assert server_name(raw) == "shop.example.org"
    assert server_name(raw[:-1]) is None


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"GET / HTTP/1.1\r\n", "does not begin with a TLS handshake"),
        (b"PROXY TCP4", "does not begin with a TLS handshake"),
        (b"\x80\x2e\x01\x03\x01", "does not begin with a TLS handshake"),
        (b"\x16\x02", "version"),
        (b"\x16\x03\x01\0\0", "broken"),
        (b"\x16\x03\x01\xff\xff", "broken"),
        (records(b"\x02\0\0\x02ab", []), "no hello"),
        (records(b"\x01\x01\0\0", []), f"longer than {MAX_HELLO}"),
        (records(HELLO[5:], [1] * MAX_RECORDS), f"more than {MAX_RECORDS} pieces"),
        (records(b"\x01\0\0\x02\x03\x03", []), "broken"),
        (records(HELLO[5:], [50]).replace(b"\x16\x03\x01", b"\x17\x03\x01").replace(b"\x17", b"\x16", 1), "broken"),
    ],
)
def test_what_is_no_hello_is_told_so(raw: bytes, said: str) -> None:
    with pytest.raises(NotTls, match=said):
        server_name(raw)


@given(st.integers(5, len(HELLO) - 1), st.binary(min_size=1, max_size=4), st.binary(max_size=40))
def test_whatever_comes_there_is_a_verdict(at: int, patch: bytes, rest: bytes) -> None:
    for raw in (HELLO[:at] + patch + HELLO[at + len(patch) :], HELLO[:at] + rest, records(rest, [2, 3])):
        try:
            name = server_name(raw)
        except NotTls:
            continue
        assert name is None or name == name.lower()
