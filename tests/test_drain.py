"""The end of the daemon as a whole is in test_supervisor; here what it says."""

from __future__ import annotations

import pytest

from trackflowd.drain import LEFT, STORED, verdict
from trackflowd.ringview import RingFill
from trackflowd.spool import Room

EMPTY = RingFill("0-a.ring", 0, "a", 4096, 100, 100)


def test_with_everything_stored_the_code_is_0() -> None:
    assert verdict([EMPTY], Room(0, 0, 1000)) == STORED
    assert verdict([], Room(0, 0, 0)) == STORED


@pytest.mark.parametrize(
    ("rings", "room"),
    [
        ([EMPTY, RingFill("1-b.ring", 1, "b", 4096, 300, 100)], Room(0, 0, 0)),
        ([RingFill("1-b.ring", -1, "", 0, -1, -1, damage="not a ring")], Room(0, 0, 0)),
        ([EMPTY], Room(2, 900, 0)),
    ],
)
def test_what_is_left_is_said_and_has_its_own_code(
    rings: list[RingFill], room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    assert verdict(rings, room) == LEFT
    assert "the next start stores them" in caplog.text
