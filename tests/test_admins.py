"""trackflowd.admins: only a token that is there and lives lets anybody pass."""

from __future__ import annotations

import hashlib

import pytest

from trackflowd.admins import Admin, Admins
from trackflowd.errors import Refused

SECRET = b"s" * 43
ADMINS = Admins([Admin(7, hashlib.sha256(SECRET).digest(), None), Admin(8, hashlib.sha256(SECRET).digest(), 1000)])


@pytest.mark.parametrize("shown", [b"tft_7_" + SECRET, b"tft_8_" + SECRET])
def test_a_token_that_works_passes(shown: bytes) -> None:
    ADMINS.check(shown, 999)


@pytest.mark.parametrize(
    ("shown", "now_ms"),
    [
        (b"tft_8_" + SECRET, 1000),
        (b"tft_9_" + SECRET, 0),
        (b"tft_7_" + SECRET[:-1] + b"t", 0),
        (b"tft_7_" + SECRET + b"\n", 0),
        (b"tft_7_", 0),
        (b"tfk_7_" + SECRET, 0),
        (b"Bearer tft_7_" + SECRET, 0),
        (b"tft_0_" + SECRET, 0),
        (b"tft_" + b"9" * 500 + b"_" + SECRET, 0),
        (b"\xff", 0),
        (b"", 0),
    ],
)
def test_any_other_does_not(shown: bytes, now_ms: int) -> None:
    with pytest.raises(Refused) as caught:
        ADMINS.check(shown, now_ms)
    assert (caught.value.status, caught.value.code) == (401, "bad_token")
    with pytest.raises(Refused):
        Admins().check(shown, now_ms)
