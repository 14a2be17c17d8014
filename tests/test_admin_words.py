"""admin_words: errors as answers, query parameters by kind, links to the next page."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trackflowd.admin_words import STATUS, Call, HttpError, Parameters, json_answer, next_page, refusal
from trackflowd.errors import ControlError, DataDirError, QueryError, StoreAway, TrackflowError
from trackflowd.proto import target
from trackflowd.proto.control import BadRequest
from trackflowd.tokens import Token


def coded(code: str) -> ControlError:
    error = ControlError("text", "hint")
    error.code = code
    return error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (QueryError("no"), 400), (BadRequest("bad_arguments", "no"), 400), (HttpError("scope", "no"), 403),
        (coded("no_task"), 404), (coded("task_state"), 409), (coded("unavailable"), 503), (StoreAway("no"), 503),
        (DataDirError("disk full"), 500), (coded("something new"), 500),
    ],
)  # fmt: skip
def test_an_error_has_the_status_of_its_code(error: TrackflowError, status: int) -> None:
    answer = refusal(error)
    assert answer.status == status
    assert isinstance(answer.body, bytes)
    value = json.loads(answer.body)
    assert (value["error"], value["reason"]) == (error.code, error.text)
    assert ("hint" in value) == bool(error.hint)
    assert (("Retry-After", "2") in answer.headers) == (status == 503)


def test_a_refusal_keeps_its_own_headers() -> None:
    assert refusal(HttpError("method", "no", headers=[("Allow", "GET")])).headers == [("Allow", "GET")]
    assert all(400 <= status <= 503 for status in STATUS.values())


def test_a_value_is_answered_as_json() -> None:
    answer = json_answer({"ä": None, "n": 1.5}, 202)
    assert (answer.status, answer.kind) == (202, "application/json")
    assert isinstance(answer.body, bytes)
    assert json.loads(answer.body) == {"ä": None, "n": 1.5}


def parameters(query: str) -> Parameters:
    once = ("site", "limit", "bots", "order")
    return Parameters(target.read(b"/x?" + query.encode()), once, ("where",))


def test_parameters_are_read_by_their_kind() -> None:
    given = parameters("site=a&limit=7&bots=1&where=x&where=y&order=oldest")
    assert (given.text("site"), given.text("zone", "UTC")) == ("a", "UTC")
    assert (given.number("limit", 3, 1, 9), given.flag("bots"), given.texts("where")) == (7, True, ["x", "y"])
    assert given.one_of("order", ("newest", "oldest")) == "oldest"
    assert given.given(("site", "order", "zone")) == {"site": "a", "order": "oldest"}
    nothing = parameters("site=&limit=&bots=&order=")
    assert (nothing.text("site"), nothing.number("limit", 3, 1, 9), nothing.flag("bots")) == ("", 3, False)
    assert (nothing.one_of("order", ("newest", "oldest")), nothing.texts("where")) == ("newest", [])


@pytest.mark.parametrize(
    ("query", "read", "said"),
    [
        ("colour=red", (), "no parameter is called 'colour'"),
        ("site=a&site=b", (), "site is given twice"),
        ("limit=x", ("number", "limit", 3, 1, 9), "from 1 to 9"),
        ("limit=0", ("number", "limit", 3, 1, 9), "from 1 to 9"),
        ("limit=10", ("number", "limit", 3, 1, 9), "from 1 to 9"),
        ("limit=-1", ("number", "limit", 3, 1, 9), "from 1 to 9"),
        ("limit=%D9%A1", ("number", "limit", 3, 1, 9), "from 1 to 9"),
        ("limit=" + "9" * 5000, ("number", "limit", 3, 1, 9), "from 1 to 9"),
        ("bots=yes", ("flag", "bots"), "true or false"),
        ("order=best", ("one_of", "order", ("newest", "oldest")), "newest or oldest"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(query: str, read: tuple[Any, ...], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        given = parameters(query)
        getattr(given, read[0])(*read[1:])


def test_who_asks_is_named_without_a_secret() -> None:
    here = target.read(b"/")
    assert Call(here).who == "nobody"
    assert Call(here, token=Token(7, "grafana", "read", b"hash", 0)).who == "token 7 (grafana)"


def test_the_next_page_is_the_same_target_with_another_parameter() -> None:
    here = target.read(b"/v1/x/a%20b?limit=5&where=page+is+%2F&after=old&where=b")
    assert next_page(here, "after", '[1, "ä"]') == [
        ("Link", '</v1/x/a%20b?limit=5&where=page+is+%2F&where=b&after=%5B1%2C+%22%C3%A4%22%5D>; rel="next"')
    ]
    assert next_page(here, "after", "") == next_page(here, "after", None) == []
