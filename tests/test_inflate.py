"""trackflowd.proto.inflate: compressed bodies."""

from __future__ import annotations

import gzip
import zlib

import pytest

from trackflowd.errors import Refused
from trackflowd.proto.inflate import plain

TEXT = b'{"site":"s"}' * 100
PACKED = gzip.compress(TEXT)


def code_of(body: bytes, encoding: bytes, limit: int = 10_000) -> str:
    with pytest.raises(Refused) as caught:
        plain(body, encoding, limit)
    return caught.value.code


@pytest.mark.parametrize("encoding", [b"gzip", b" GZip ", b"x-gzip", b"", b"identity"])
def test_gzip_is_inflated_whatever_is_said_of_it(encoding: bytes) -> None:
    assert plain(PACKED, encoding, len(TEXT)) == TEXT


def test_what_is_not_compressed_stays() -> None:
    assert plain(TEXT, b"", 1) == TEXT
    assert plain(TEXT, b"identity", 1) == TEXT


@pytest.mark.parametrize("encoding", [b"br", b"deflate", b"zstd", b"gzip, gzip", b"gzip, br"])
def test_other_encodings_are_not_known(encoding: bytes) -> None:
    assert code_of(PACKED, encoding) == "unsupported_encoding"


@pytest.mark.parametrize("size", [1, 9, 10, 20, len(PACKED) - 1])
def test_a_body_that_is_cut_off_is_refused(size: int) -> None:
    assert code_of(PACKED[:size], b"gzip") == "bad_encoding"


def test_something_behind_the_member_is_refused() -> None:
    assert code_of(PACKED + b"x", b"gzip") == "bad_encoding"
    assert code_of(PACKED + PACKED, b"") == "bad_encoding"


def test_damage_is_refused() -> None:
    assert code_of(b"", b"gzip") == "bad_encoding"
    assert code_of(zlib.compress(TEXT), b"gzip") == "bad_encoding"
    assert code_of(PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:], b"gzip") == "bad_encoding"


def test_a_bomb_is_refused_at_the_limit() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    assert code_of(bomb, b"gzip") == "inflated_too_large"
    assert code_of(gzip.compress(bytes(10_001)), b"gzip") == "inflated_too_large"
    assert len(plain(gzip.compress(bytes(10_000)), b"gzip", 10_000)) == 10_000
