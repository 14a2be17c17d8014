"""admin_events: what commands are given by requests about events, and how their answers are passed on.
tests/process/test_admin_api.py has the events.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from trackflowd import admin_events
from trackflowd.admin_desk import Desk
from trackflowd.admin_events import EventRoutes
from trackflowd.admin_words import Answer, Call
from trackflowd.audit import Audit
from trackflowd.errors import QueryError, TrackflowError
from trackflowd.proto import target
from trackflowd.tokens import Token

EVENT = {"event_id": "0193b0c2-a7d8-7e6f-a4c1-d2e3f4051627", "site": "shop", "props": {"a": "b"}}
OPS = Token(3, "ops", "admin", b"", 0)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where changes are noted."""
    monkeypatch.chdir(tmp_path)


class Commands:
    """Commands that note what they were given.

    Args:
        answers: by name; a function is called with the arguments.
    """

    def __init__(self, **answers: Any) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._answers = answers

    def handlers(self) -> dict[str, Callable[..., Any]]:
        return {
            name: self._handler(name) for name in ("events", "event_correct", "erase", "erase_count", "tasks", "task")
        }

    def _handler(self, name: str) -> Callable[..., Any]:
        async def handler(**args: Any) -> Any:
            self.asked.append((name, args))
            answer = self._answers[name]
            return answer(**args) if callable(answer) else answer

        return handler


def answer(commands: Commands, route: str, url: str, body: bytes = b"", /, **path: str) -> Answer:
    """What a route answers."""

    async def run() -> Answer:
        routes = EventRoutes(Desk(commands.handlers(), lambda: 1.0, Audit(Path())))
        found: Answer = await getattr(routes, route)(Call(target.read(url.encode()), path, body, OPS))
        if isinstance(found.body, AsyncIterator):
            return Answer(found.status, b"".join([piece async for piece in found.body]), found.kind)
        return found

    return asyncio.run(run())


def value(found: Answer) -> Any:
    assert isinstance(found.body, bytes)
    return json.loads(found.body)


def refused(commands: Commands, route: str, url: str, body: bytes = b"", **path: str) -> str:
    with pytest.raises(TrackflowError) as caught:
        answer(commands, route, url, body, **path)
    return caught.value.code


PAGE = {"rows": [EVENT], "next": ""}
TASK = {"id": 7, "kind": "erase", "state": "running"}


def test_a_page_is_asked_for_with_what_was_said() -> None:
    commands = Commands(events={"rows": [EVENT], "next": '[1,"a"]'})
    url = "/v1/events?site=shop&name=buy&user=a%40b&from=2026-11-01&to=5000&zone=UTC&limit=7&after=%5B2%5D&order=oldest"
    found = answer(commands, "events", url)
    what = {"site": "shop", "name": "buy", "user": "a@b", "from": 1_793_491_200_000, "to": 5000}
    assert commands.asked == [("events", {"what": what, "limit": 7, "after": "[2]", "newest": False})]
    assert value(found) == {"events": [EVENT], "next": '[1,"a"]'}
    ((name, link),) = found.headers
    assert (name, link.endswith('&limit=7&order=oldest&after=%5B1%2C%22a%22%5D>; rel="next"')) == ("Link", True)


def test_the_last_page_has_no_next() -> None:
    found = answer(Commands(events=PAGE), "events", "/v1/events?id=x")
    assert (value(found), list(found.headers)) == ({"events": [EVENT]}, [])


@pytest.mark.parametrize(
    ("query", "hours"),
    [("", 24), ("site=a&name=b", 24), ("period=2h&user=a", 2), ("user=a", None), ("id=a", None), ("visitor=a", None)],
)
def test_without_a_period_a_person_or_an_id_a_day_is_looked_at(query: str, hours: int | None) -> None:
    commands = Commands(events=PAGE)
    answer(commands, "events", f"/v1/events?{query}")
    what = commands.asked[0][1]["what"]
    if hours is None:
        assert "from" not in what and "to" not in what
    else:
        assert what["to"] - what["from"] == hours * 3_600_000
        assert abs(what["to"] - time.time() * 1000) < 60_000


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "order=best", "colour=red", "from=soon", "period=soon", "zone=Mars", "dry_run=1"]
)
def test_a_page_that_makes_no_sense_is_not_asked_for(query: str) -> None:
    assert refused(Commands(), "events", f"/v1/events?{query}") in ("bad_arguments", "query")


def test_one_event_is_found_by_its_id() -> None:
    commands = Commands(events=PAGE)
    assert value(answer(commands, "event", "/v1/events/x?site=shop", id="order 7")) == EVENT
    assert commands.asked[0][1]["what"] == {"id": "order 7", "site": "shop"}
    nothing, twice = ({"rows": rows, "next": ""} for rows in ([], [EVENT, EVENT]))
    assert refused(Commands(events=nothing), "event", "/v1/events/x", id="x") == "no_event"
    assert refused(Commands(events=twice), "event", "/v1/events/x", id="x") == "ambiguous"


def test_properties_are_put_and_dropped() -> None:
    commands = Commands(events=PAGE, event_correct={"event": EVENT, "stored": True})
    body = json.dumps({"props": {"plan": "pro", "coupon": None, "": "x"}}).encode()
    found = answer(commands, "correct", "/v1/events/x", body, id="x")
    assert (found.status, value(found)) == (200, {"event": EVENT, "stored": True})
    assert commands.asked[1] == (
        "event_correct",
        {"id": EVENT["event_id"], "site": "shop", "put": {"plan": "pro", "": "x"}, "drop": ["coupon"]},
    )
    slow = Commands(events=PAGE, event_correct={"event": EVENT, "stored": False})
    assert answer(slow, "correct", "/v1/events/x", body, id="x").status == 202


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"[]", b"{}", b'{"props": []}', b'{"props": {"a": 1}}', b'{"props": {}, "site": "x"}',
     b'{"props": {"a": "\xff"}}', b'{"props": {"a": "\\ud800"}}', b'{"props": {"a": "b"}} x', b"[" * 60_000],
)  # fmt: skip
def test_a_body_that_is_no_correction_is_refused(body: bytes) -> None:
    commands = Commands(events=PAGE)
    assert refused(commands, "correct", "/v1/events/x", body, id="x") == "bad_body"
    assert commands.asked == []


def test_an_erasure_is_begun_and_its_task_is_told() -> None:
    cases: tuple[tuple[str, str, dict[str, str], dict[str, Any]], ...] = (
        ("erase_event", "/v1/events/x?site=shop", {"id": "x"}, {"id": "x", "site": "shop"}),
        ("erase_events", "/v1/events?visitor=00ff&to=5000", {}, {"visitor": "00ff", "to": 5000}),
        ("erase_user", "/v1/users/a%40b", {"id": "a@b"}, {"user": "a@b"}),
    )
    for route, url, path, what in cases:
        commands = Commands(erase=TASK, erase_count={"events": 5})
        found = answer(commands, route, url, b"", **path)
        assert (found.status, value(found), found.headers) == (202, TASK, [("Location", "/v1/tasks/7")])
        found = answer(commands, route, url + ("&" if "?" in url else "?") + "dry_run=true", b"", **path)
        assert (found.status, value(found)) == (200, {"events": 5})
        assert commands.asked == [("erase", {"what": what}), ("erase_count", {"what": what})]


def test_what_is_changed_is_noted_without_names_of_people() -> None:
    answer(Commands(erase=TASK), "erase_user", "/v1/users/alice?site=shop", b"", id="alice")
    body = b'{"props": {"plan": "secret"}}'
    answer(Commands(events=PAGE, event_correct={"stored": True}), "correct", "/v1/events/x", body, id="x")
    second, first = Audit(Path()).last(10)
    assert (first["user"], first["uid"], first["pid"], first["command"]) == ("token 3 (ops)", None, None, "erase")
    assert (first["args"], first["ok"], first["code"]) == ({"what": {"user": "…", "site": "shop"}}, True, "")
    assert second["command"] == "event_correct"
    assert "secret" not in str(second)


def test_an_erasure_has_no_period_back_from_now() -> None:
    assert refused(Commands(), "erase_events", "/v1/events?period=24h") == "bad_arguments"
    assert refused(Commands(), "erase_events", "/v1/events?limit=5") == "bad_arguments"


def test_an_export_is_an_object_a_line_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_events, "EXPORT_PAGE", 2)
    pages = iter([{"rows": [EVENT, {"n": 1}], "next": "[1]"}, {"rows": [{"n": 2}], "next": ""}])
    commands = Commands(events=lambda **args: next(pages))
    found = answer(commands, "export_user", "/v1/users/a/export?site=shop", id="a")
    assert (found.status, found.kind) == (200, "application/x-ndjson")
    assert isinstance(found.body, bytes)
    assert [json.loads(line) for line in found.body.splitlines()] == [EVENT, {"n": 1}, {"n": 2}]
    what = {"user": "a", "site": "shop"}
    assert [args for _, args in commands.asked] == [
        {"what": what, "limit": 2, "after": after, "newest": False} for after in ("", "[1]")
    ]


def test_nobodys_export_is_empty_and_a_wrong_one_is_told_by_its_status() -> None:
    nothing = Commands(events={"rows": [], "next": ""})
    assert answer(nothing, "export_user", "/v1/users/a/export", id="a").body == b""

    def wrong(**args: Any) -> Any:
        raise QueryError("user: a text of at most 256 bytes was expected")

    assert refused(Commands(events=wrong), "export_user", "/v1/users/a/export", id="a") == "query"


def test_tasks_are_listed_and_shown() -> None:
    commands = Commands(tasks=[TASK], task=TASK)
    assert value(answer(commands, "tasks", "/v1/tasks")) == {"tasks": [TASK]}
    assert value(answer(commands, "task", "/v1/tasks/7", id="7")) == TASK
    assert commands.asked[1] == ("task", {"id": 7})
    for number in ("0", "x", "-1", "1e3", "9" * 20, "²", str(2**53)):
        assert refused(commands, "task", "/v1/tasks/x", id=number) == "no_task"
