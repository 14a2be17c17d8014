from __future__ import annotations

import logging
import os

import pytest

from trackflowd.shared import Page
from trackflowd.statusview import SINK_STATES
from trackflowd.storestate import NUMBERS, StoreState


def test_a_state_is_counted_told_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    page, fd = Page.create(1, 1)
    slot = page.slot("flusher")
    state = StoreState(slot, lambda: "null:")
    before = state.as_dict()
    assert (before["state"], before["text"], before["url"]) == ("starting", "", "null:")
    with caplog.at_level(logging.INFO, "trackflowd"):
        state.report("away", "no route")
        since = state.as_dict()["since_ms"]
        state.report("away", "timeout")
    assert [record.getMessage() for record in caplog.records] == ["store null:: away: no route"]
    assert slot.get("sink_state") == 2
    assert state.as_dict() == {"url": "null:", "state": "away", "text": "timeout", "since_ms": since}
    page.close()
    os.close(fd)


def test_the_supervisor_has_a_word_for_each() -> None:
    assert sorted(NUMBERS.values()) == list(range(len(SINK_STATES)))
