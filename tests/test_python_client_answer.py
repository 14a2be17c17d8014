"""trackflow_client.answer: which answers settle an event, and what becomes of the others."""

from __future__ import annotations

import email.utils
import json
import time
from typing import Any

import pytest
from trackflow_client.answer import MAX_WAIT, Refusal, Verdict, judge


def say(status: int, answer: Any, count: int = 2, **headers: str) -> Verdict:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return judge(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, count)


def row(index: Any, error: str = "bad_type") -> dict[str, Any]:
    return {"index": index, "error": error, "reason": "why"}


def test_a_200_that_accounts_for_every_event_settles_them() -> None:
    assert say(200, {"accepted": 2, "refused": []}) == Verdict(True)
    assert say(200, {"accepted": 1, "refused": [row(1)]}) == Verdict(True, (Refusal(1, "bad_type", "why"),))


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>log in to the wifi</html>",
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        {},
        {"accepted": 1, "refused": []},
        {"accepted": True, "refused": [row(0)]},
        {"accepted": 2},
        {"accepted": 1, "refused": [row(2)]},
        {"accepted": 1, "refused": [row("1")]},
        {"accepted": 0, "refused": [row(1), row(1)]},
        {"accepted": 1, "refused": ["x"]},
    ],
)
def test_a_200_that_is_not_the_daemons_settles_nothing(answer: Any) -> None:
    assert not say(200, answer).settled


def test_an_array_of_which_none_is_good_is_settled_by_its_list() -> None:
    verdict = say(400, {"error": "bad_type", "reason": "why", "accepted": 0, "refused": [row(0), row(1, "too_deep")]})
    assert verdict.settled and [refusal.error for refusal in verdict.refused] == ["bad_type", "too_deep"]


@pytest.mark.parametrize("code", ["bad_json", "bad_utf8", "too_deep", "a_code_of_a_later_version"])
def test_a_refusal_of_a_whole_array_sends_each_alone(code: str) -> None:
    verdict = say(400, {"error": code, "reason": "why"})
    assert (verdict.settled, verdict.alone, verdict.behind) == (False, True, False)
    assert say(400, {"error": code, "reason": "why"}, count=1).refused == (Refusal(0, code, "why"),)


def test_too_large_a_request_is_sent_in_smaller_ones() -> None:
    verdict = say(413, {"error": "too_many_events", "reason": "why"})
    assert (verdict.settled, verdict.fewer, verdict.alone) == (False, True, False)
    assert say(413, {"error": "event_too_large", "reason": "why"}, count=1).settled
    assert say(403, {"error": "forbidden_key", "reason": "why"}, count=1).settled


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (400, {"error": "malformed", "reason": "why"}),
        (400, {"error": "bad_host", "reason": "why"}),
        (400, b"<html>nginx</html>"),
        (401, {"error": "bad_key", "reason": "why"}),
        (403, {"error": "bad_key", "reason": "why"}),
        (403, b"blocked by the firewall"),
        (404, {"error": "not_found", "reason": "why"}),
        (405, {"error": "method", "reason": "why"}),
        (408, {"error": "timeout", "reason": "why"}),
        (413, b"nginx's own limit"),
        (429, b""),
        (301, b""),
        (202, {"accepted": 1, "refused": []}),
        (500, {"error": "bad_type", "reason": "why"}),
        (502, b""),
        (503, {"error": "ring_full", "reason": "why"}),
    ],
)
def test_everything_else_keeps_the_events(status: int, answer: Any) -> None:
    assert not say(status, answer, count=1).settled
    assert say(status, answer, count=1).trouble.startswith(f"answer {status}")


def test_events_that_a_proxy_may_object_to_go_behind_the_others_and_alone() -> None:
    assert say(403, b"firewall")[2:5:2] == (True, True)
    assert say(404, b"")[2:5:2] == (False, False)


def test_an_event_that_policy_does_not_count_is_settled_and_said() -> None:
    for status in (200, 403):
        verdict = say(status, b"", x_trackflow_refused="bot")
        assert verdict.settled and [refusal.error for refusal in verdict.refused] == ["bot", "bot"]


def test_a_refusal_that_is_not_final_is_tried_again_though_it_has_the_header() -> None:
    for status, code in ((429, "rate_limited"), (503, "ring_full"), (404, "not_found"), (401, "bad_key")):
        body = b'{"error": "%s", "reason": "r"}' % code.encode()
        verdict = say(status, body, x_trackflow_refused=code, retry_after="7")
        assert not verdict.settled and not verdict.alone and verdict.wait == 7
    assert say(413, b'{"error": "too_many_events"}', x_trackflow_refused="too_many_events").fewer


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("7", 7, 7),
        (" 0 ", 0, 0),
        ("999999", MAX_WAIT, MAX_WAIT),
        (email.utils.formatdate(1000, usegmt=True), 0, 0),
        ("soon", 0, 0),
        ("-5", 0, 0),
        ("٣", 0, 0),
        ("", 0, 0),
    ],
)
def test_the_server_says_how_long_to_wait(text: str, low: float, high: float) -> None:
    assert low <= say(503, b"", retry_after=text).wait <= high


def test_a_date_to_come_is_waited_for() -> None:
    text = email.utils.formatdate(time.time() + 1000, usegmt=True)
    assert 900 <= say(503, b"", retry_after=text).wait <= 1000
