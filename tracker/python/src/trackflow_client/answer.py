"""What an answer means for the events that were sent. No I/O.

Only two kinds of answer settle an event: a 200 that accounts for every event of the request, and a refusal in the
daemon's own words that names the event, or came for it alone. Whatever else comes (a proxy's error page, a
redirect, a portal's 200, 404 because a path is wrong) may be mended, so the events are kept and sent again.
"""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

#: Codes of docs/protocol.md that speak of an event or of what a request holds.
_NAMES_EVENT = frozenset(
    "event_too_large missing_key unknown_key forbidden_key bad_type bad_value "
    "empty bad_json bad_utf8 too_deep body_too_large inflated_too_large too_many_events".split()
)
#: Codes with a status of ``_CONTENT`` that speak of the way here instead: a proxy's doing.
_NAMES_WAY = frozenset("malformed bad_host bad_transfer upgrade bad_encoding".split())
#: With these a code unknown to this version is taken to speak of the content.
_CONTENT = (400, 413, 422)
#: Statuses that say nothing about what was sent: credentials, wrong path or method, haste.
_NOT_CONTENT = (401, 404, 405, 407, 408, 421, 425, 429)
#: Those with which ``X-Trackflow-Refused`` is final; every other refusal has the header, too.
_POLICY = (200, 403)
#: No server's wish to wait longer than this is followed to the end.
MAX_WAIT = 3600.0


class Refusal(NamedTuple):
    """An event that is never to be stored.

    Args:
        at: its place in the request, from 0.
        error: code of docs/protocol.md.
        reason: text for people.
    """

    at: int
    error: str
    reason: str


class Verdict(NamedTuple):
    """What to do with the events of a request.

    Args:
        settled: True: each is stored or in ``refused``. False: send all of them again.
        refused: those that are not stored.
        alone: send them one by one: one of them may be why all were refused.
        fewer: the request held too many.
        behind: others first: it may be these events that are not let through.
        wait: seconds the server asks to wait before the next request.
        trouble: why it is not settled, for people.
    """

    settled: bool
    refused: tuple[Refusal, ...] = ()
    alone: bool = False
    fewer: bool = False
    behind: bool = False
    wait: float = 0.0
    trouble: str = ""


def judge(status: int, headers: Mapping[str, str], body: bytes, count: int) -> Verdict:
    """What an answer to a request with so many events means; headers by lower-case name."""
    answer = _object(body)
    policy = headers.get("x-trackflow-refused")
    if policy is not None and status in _POLICY:
        return Verdict(True, tuple(Refusal(index, policy, "not counted") for index in range(count)))
    listed = _listed(answer, count)
    if status == 200 and listed is not None:
        return Verdict(True, listed)
    code, reason = answer.get("error"), str(answer.get("reason", ""))
    trouble = f"answer {status}" + (f": {code}: {reason}" if isinstance(code, str) else "")
    if not 400 <= status < 500:
        return Verdict(False, wait=_wait(headers), trouble=trouble)
    if listed is not None and len(listed) == count:
        return Verdict(True, listed)
    if isinstance(code, str) and (code in _NAMES_EVENT or (status in _CONTENT and code not in _NAMES_WAY)):
        if count == 1:
            return Verdict(True, (Refusal(0, code, reason),))
        return Verdict(False, alone=status != 413, fewer=status == 413, trouble=trouble)
    suspect = status not in _NOT_CONTENT
    return Verdict(False, alone=suspect, behind=suspect, wait=_wait(headers), trouble=trouble)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _listed(answer: Mapping[str, Any], count: int) -> tuple[Refusal, ...] | None:
    """The refused ones, if the answer accounts for exactly the events that were sent."""
    accepted, rows = answer.get("accepted"), answer.get("refused")
    if type(accepted) is not int or not isinstance(rows, list) or accepted + len(rows) != count:
        return None
    found = {}
    for row in rows:
        if not isinstance(row, dict) or type(row.get("index")) is not int or not 0 <= row["index"] < count:
            return None
        found[row["index"]] = Refusal(row["index"], str(row.get("error")), str(row.get("reason")))
    return tuple(found.values()) if len(found) == len(rows) else None


def _wait(headers: Mapping[str, str]) -> float:
    """Seconds of Retry-After (RFC 9110 §10.2.3: a number, or a date)."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_WAIT)
    try:
        until = email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return 0.0
    return min(max(until - time.time(), 0.0), MAX_WAIT)
