"""Words of the admin listener: a request, an answer, a refusal, and the reading of query parameters.

An error of any part becomes one JSON object, ``{"error": code, "reason": text, "hint": what to do}``; the code is the
one the control socket answers, and ``STATUS`` says which HTTP status goes with it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from trackflowd.errors import TrackflowError
from trackflowd.proto.control import BadRequest
from trackflowd.proto.target import Target
from trackflowd.tokens import Token

JSON, CSV, NDJSON = "application/json", "text/csv; charset=utf-8", "application/x-ndjson"

#: Status of each code that is the asker's or will pass; any other is ours: 500.
STATUS: Mapping[str, int] = {
    **dict.fromkeys(("bad_arguments", "bad_target", "bad_request", "bad_body", "query"), 400),
    **dict.fromkeys(("token_missing", "token_unknown", "token_expired", "token_revoked"), 401),
    "scope": 403,
    **dict.fromkeys(("not_found", "no_event", "no_task", "no_site", "no_key"), 404),
    "method": 405,
    "too_slow": 408,
    **dict.fromkeys(("ambiguous", "task_state", "site_exists", "site_has_keys", "too_many_sites"), 409),
    **dict.fromkeys(("key_exists", "too_many_keys"), 409),
    "too_large": 413,
    "head_too_large": 431,
    **dict.fromkeys(("busy", "unavailable", "stopping", "too_many_tasks", "too_many_connections"), 503),
    **dict.fromkeys(("store_away", "store_doubt", "store_failed"), 503),
}
#: Seconds named by Retry-After where an answer is 503: a statistic takes about as long.
RETRY_AFTER = 2


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as it came.

    Args:
        method: upper case.
        target: of the request line.
        authorization: values of the header of that name.
        body: all of it.
    """

    method: str
    target: bytes
    authorization: Sequence[str] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Call:
    """A request that a route answers.

    Args:
        target: its path and query.
        path: what stands in the path for the route's {names}.
        body: as it came.
        token: who asks; None where no token was needed.
    """

    target: Target
    path: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    token: Token | None = None

    @property
    def who(self) -> str:
        """Who asks, for log and audit: never a secret."""
        return f"token {self.token.number} ({self.token.name})" if self.token else "nobody"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered.

    Args:
        status: of HTTP.
        body: bytes, or where they come piece by piece.
        kind: Content-Type.
        headers: others.
    """

    status: int
    body: bytes | AsyncIterator[bytes]
    kind: str = JSON
    headers: Sequence[tuple[str, str]] = ()


def json_answer(value: Any, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> Answer:
    """A value as JSON."""
    return Answer(status, msgspec.json.encode(value) + b"\n", JSON, headers)


class HttpError(TrackflowError):
    """A refusal that only HTTP knows.

    Args:
        code: one of ``STATUS``.
        text, hint: see ``TrackflowError``.
        headers: beside the usual ones.
    """

    def __init__(self, code: str, text: str, hint: str = "", headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(text, hint)
        self.code = code
        self.headers = headers


def refusal(error: TrackflowError) -> Answer:
    """The answer that tells of an error."""
    status = STATUS.get(error.code, 500)
    headers = list(error.headers) if isinstance(error, HttpError) else []
    if status == 503:
        headers.append(("Retry-After", str(RETRY_AFTER)))
    value = {"error": error.code, "reason": error.text, **({"hint": error.hint} if error.hint else {})}
    return json_answer(value, status, headers)


def next_page(target: Target, name: str, value: object) -> list[tuple[str, str]]:
    """The header that links to the next page (RFC 8288): the same target with a parameter of another value.

    Args:
        target: of this page.
        name: of the parameter.
        value: falsy: there is no next page.
    """
    if not value:
        return []
    query = urlencode([*((key, text) for key, text in target.query if key != name), (name, value)])
    return [("Link", f'<{quote("/" + "/".join(target.segments))}?{query}>; rel="next"')]


class Parameters:
    """Query parameters, each asked for by name and kind.

    Args:
        target: of the request.
        once: names that may be given, once.
        many: names that may be given again and again.

    Raises:
        BadRequest: another name is given, or one of ``once`` twice. So does every method, for a value that makes no
            sense.
    """

    def __init__(self, target: Target, once: Collection[str], many: Collection[str] = ()) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in target.query:
            if name not in once and name not in many:
                known = ", ".join([*once, *many])
                raise _bad(f"no parameter is called {name[:80]!r}", f"known: {known}" if known else "none is known")
            if name in self._values and name not in many:
                raise _bad(f"{name} is given twice")
            self._values.setdefault(name, []).append(value)

    def text(self, name: str, default: str = "") -> str:
        """A text."""
        return self._values.get(name, [default])[0]

    def texts(self, name: str) -> list[str]:
        """All there are of a name."""
        return self._values.get(name, [])

    def given(self, names: Collection[str]) -> dict[str, str]:
        """Those of the names that are there and not empty."""
        return {name: self.text(name) for name in names if self.text(name)}

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number within bounds."""
        text = self.text(name) or str(default)
        if not (text.isascii() and text.isdigit() and len(text) < 16 and low <= int(text) <= high):
            raise _bad(f"{name}: a whole number from {low} to {high} was expected")
        return int(text)

    def flag(self, name: str) -> bool:
        """True or false; absent: false."""
        text = self.text(name) or "false"
        if text not in ("true", "false", "1", "0"):
            raise _bad(f"{name}: true or false was expected")
        return text in ("true", "1")

    def one_of(self, name: str, choices: Sequence[str]) -> str:
        """One of some words; absent: the first."""
        text = self.text(name) or choices[0]
        if text not in choices:
            raise _bad(f"{name}: {' or '.join(choices)} was expected")
        return text


def _bad(text: str, hint: str = "") -> BadRequest:
    return BadRequest("bad_arguments", text, hint)
