"""Visitor numbers: what makes them differ, and which day's salt they are under."""

from __future__ import annotations

import hashlib

import pytest

from trackflowd.enrich.visitor import Salt, Visitors, site_hash

DAY = 24 * 3600 * 1000
SALTS = [Salt(f"day {n}", n * DAY, (n + 1) * DAY, bytes([n]) * 32) for n in range(1, 4)]


def _number(visitors: Visitors, time_ms: int, who: tuple[str, str, bytes] = ("site", "81.2.69.142", b"agent")) -> int:
    return visitors.number(*who, time_ms)


def _expected(salt: Salt, time_ms: int) -> int:
    material = b"site\x0081.2.69.142\0agent"
    hashed = int.from_bytes(hashlib.blake2b(material, key=salt.salt, digest_size=8).digest(), "little")
    return (hashed >> 10 << 10) + time_ms // DAY % 1024


@pytest.mark.parametrize(
    ("time_ms", "day"),
    [(DAY, 0), (2 * DAY - 1, 0), (2 * DAY, 1), (3 * DAY + 5, 2), (0, 0), (99 * DAY, 2)],
)
def test_the_events_time_chooses_the_salt(time_ms: int, day: int) -> None:
    for first in (DAY, 3 * DAY):  # whatever came before
        visitors = Visitors(SALTS)
        _number(visitors, first)
        assert _number(visitors, time_ms) == _expected(SALTS[day], time_ms)
        assert _number(visitors, time_ms) == _expected(SALTS[day], time_ms)


def test_late_events_of_yesterday_do_not_disturb_todays_numbers() -> None:
    visitors = Visitors(SALTS)
    for time_ms, day in [(2 * DAY, 1), (DAY, 0), (2 * DAY, 1), (DAY, 0), (3 * DAY, 2), (2 * DAY, 1), (3 * DAY, 2)]:
        assert _number(visitors, time_ms) == _expected(SALTS[day], time_ms)
    visitors = Visitors(SALTS[1:])
    _number(visitors, 2 * DAY)
    _number(visitors, DAY)
    assert len(visitors._known) == 1


def test_nobody_is_seen_on_two_days_even_under_one_salt() -> None:
    """As where events come so late that their days' salts are gone, or one salt is for all times."""
    visitors = Visitors([Salt("all", 0, 9 * DAY, bytes(32))])
    numbers = [_number(visitors, time_ms) for time_ms in (5, DAY - 1, DAY, 8 * DAY, 2 * DAY, 2 * DAY + 7, 20 * DAY)]
    assert [number % 1024 for number in numbers] == [0, 0, 1, 8, 2, 2, 20]
    assert len({number >> 10 for number in numbers}) == 1
    assert [_number(visitors, 8 * DAY) % 1024, len(visitors._known)] == [8, 1], "only the latest day's are remembered"


def test_site_address_and_agent_each_make_another_visitor_and_are_kept_apart() -> None:
    people = [
        ("site", "81.2.69.142", b"agent"),
        ("site2", "81.2.69.142", b"agent"),
        ("site", "281.2.69.142", b"agent"),
        ("site", "81.2.69.14", b"2agent"),
        ("site", "81.2.69.142", b"agent2"),
    ]
    visitors = Visitors(SALTS)
    assert len({_number(visitors, DAY, who) for who in people}) == len(people)


def test_two_with_the_same_salts_agree() -> None:
    assert _number(Visitors(SALTS), DAY) == _number(Visitors(list(reversed(SALTS))), DAY)


def test_a_salt_that_is_gone_is_used_no_more() -> None:
    visitors = Visitors(SALTS)
    assert _number(visitors, DAY) == _expected(SALTS[0], DAY)
    visitors.swap(SALTS[1:])
    assert _number(visitors, DAY) == _expected(SALTS[1], DAY)


def test_no_salt_is_refused_and_the_old_ones_stay() -> None:
    visitors = Visitors(SALTS)
    for wrong in ([], [Salt("short", 0, DAY, b"x" * 8)]):
        with pytest.raises(ValueError):
            visitors.swap(wrong)
    assert _number(visitors, DAY) == _expected(SALTS[0], DAY)


def test_after_two_turns_nobody_is_remembered() -> None:
    visitors = Visitors(SALTS[:1])
    _number(visitors, DAY)
    assert len(visitors._known) == 1
    visitors.turn()
    visitors.turn()
    assert len(visitors._known) == 0
    assert _number(visitors, DAY) == _expected(SALTS[0], DAY)


def test_a_site_hash_is_64_bits_and_of_the_site_alone() -> None:
    assert site_hash("a.example") == site_hash("a.example") != site_hash("b.example")
    assert 0 <= site_hash("a.example") < 2**64
