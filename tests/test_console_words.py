"""console.words: how the daemon is."""

from __future__ import annotations

import pytest

from tests.console_values import attr_of, known, older, status, texts
from trackflowd.console import words
from trackflowd.console.knowledge import Knowledge
from trackflowd.errors import ControlError

AT = 1_800_000_000.0
AWAY = "store away for 40 s: connection refused; rings and spool full in 12 min"
NOT_READY = {"ready": False, "reason": AWAY}


def lost() -> Knowledge:
    know = known(status(), at=AT)
    know.lose(ControlError("no trackflowd listens on /x", "start it"), AT)
    return know


@pytest.mark.parametrize(
    ("know", "later", "state"),
    [
        (known(status(), at=AT), 0, ("good", "ready")),
        (known(status(health=NOT_READY), at=AT), 0, ("bad", "not ready")),
        (known(status(sink={"paused": True}), at=AT), 0, ("odd", "paused")),
        (known(status(), at=AT), 12, ("bad", "silent for 12 s")),
        (lost(), 72, ("bad", "no connection for 1 m 12 s")),
        (Knowledge(), 0, ("odd", "connecting")),
    ],
    ids=["ready", "not ready", "paused", "silent", "away", "at the start"],
)
def test_the_header_says_it_in_a_word_or_two(know: Knowledge, later: float, state: tuple[str, str]) -> None:
    assert words.state(know, AT + later) == state


def test_health_is_the_daemons_reason() -> None:
    lines = words.health(known(status(health=NOT_READY)), 100)
    assert texts(lines) == [f"✖ not ready: {AWAY}"]
    assert attr_of(lines, "not ready") == "bad"
    assert len(words.health(known(status(health=NOT_READY)), 60)) == 2


def test_ready_says_how_old_the_oldest_is() -> None:
    assert texts(words.health(known(status()), 100)) == [
        "● ready: what is accepted reaches the store; the oldest event waits 800 ms"
    ]
    assert "nothing waits" in texts(words.health(known(status(oldest_pending_s=None)), 100))[0]


def test_paused_says_how_to_go_on() -> None:
    told = status(sink={"paused": True}, health={"ready": False, "reason": "paused by an operator for 3 s"})
    lines = words.health(known(told), 200)
    assert texts(lines)[0].startswith("▲ paused: nothing is sent to the store until it is resumed (P)")


def test_what_is_old_is_said_to_be_old() -> None:
    assert words.away(known(status(), at=AT), AT, 80) == []
    band = " ".join(texts(words.away(lost(), AT + 5, 80)))
    assert "no connection for 5.0 s: no trackflowd listens on /x" in band
    assert "from before" in band
    assert "nothing was heard for 30 s" in " ".join(texts(words.away(known(status(), at=AT), AT + 30, 80)))


def test_alerts_are_listed_with_their_hints_until_the_rows_end() -> None:
    alerts = [
        {"name": "store_away", "severity": "critical", "since_ms": (AT - 40) * 1000, "text": "refused", "hint": "look"},
        {"name": "geo_old", "severity": "warning", "since_ms": 0, "text": "90 days", "hint": ""},
        {"name": "disk_low", "severity": "warning", "since_ms": 0, "text": "1 GiB", "hint": "make room"},
    ]
    know = known(status(alerts=alerts), at=AT)
    lines = words.alerts(know, 40, 20, AT)
    assert texts(lines) == [
        "✖ store away for 40 s", "  refused", "  look",
        "▲ geo old", "  90 days", "▲ disk low", "  1 GiB", "  make room",
    ]  # fmt: skip
    assert (attr_of(lines, "store away"), attr_of(lines, "geo old")) == ("bad", "odd")
    assert texts(words.alerts(know, 40, 6, AT))[-1] == "and 1 more: trackflow status"
    assert texts(words.alerts(know, 40, 5, AT))[-1] == "and 2 more: trackflow status"


def test_without_alerts_it_says_so() -> None:
    assert texts(words.alerts(known(status()), 40, 5, AT)) == ["none"]
    assert "older version" in " ".join(texts(words.alerts(known(older("alerts")), 40, 5, AT)))
