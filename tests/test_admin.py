"""admin: who may ask what, which route answers, what is counted; by real requests on a real listener."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.admin_client import Asker, Reply
from trackflowd.admin import NEAR, Admin, Route
from trackflowd.admin_words import Answer, Call, json_answer
from trackflowd.errors import ControlError, QueryError
from trackflowd.state import State
from trackflowd.tokens import ADMIN, READ, Tokens


async def show(call: Call) -> Answer:
    return json_answer({"path": call.path, "query": call.target.query, "who": call.who, "body": call.body.decode()})


async def fail(call: Call) -> Answer:
    raise {"query": QueryError("wrong", "ask better"), "bug": KeyError("tft_1_secret")}[call.path["how"]]


async def odd(call: Call) -> Answer:
    error = ControlError("away")
    error.code = "something new"
    raise error


ROUTES = [
    Route("GET", "/healthz", show, ""),
    Route("GET", "/metrics", show, NEAR),
    Route("GET", "/v1/things", show),
    Route("DELETE", "/v1/things", show, ADMIN),
    Route("GET", "/v1/things/{id}", show),
    Route("PATCH", "/v1/things/{id}", show, ADMIN),
    Route("GET", "/v1/things/{id}/parts/{part}", show),
    Route("GET", "/v1/fail/{how}", fail),
    Route("GET", "/v1/odd", odd),
]


class Stage:
    """A listener with tokens of every sort."""

    def __init__(self, directory: Path) -> None:
        now_ms = time.time_ns() // 1_000_000
        self.tokens = Tokens(State(directory))
        self.admin = Admin("127.0.0.1:0", ROUTES, self.tokens)
        self.texts = {
            name: self.tokens.add(name, scope, lifetime, now_ms - 5000)[1]
            for name, scope, lifetime in (
                ("read", READ, 0),
                ("admin", ADMIN, 0),
                ("expired", ADMIN, 2),
                ("gone", READ, 0),
            )
        }
        self.tokens.revoke("gone", now_ms)

    async def ask(self, method: str, path: str, who: str = "", body: bytes | None = None, **headers: str) -> Reply:
        return await asyncio.to_thread(
            Asker(self.admin.address, self.texts.get(who, who)).ask, method, path, body, **headers
        )


@pytest.fixture
def served(tmp_path: Path) -> Callable[[Callable[[Stage], Awaitable[None]]], None]:
    def serve(story: Callable[[Stage], Awaitable[None]]) -> None:
        async def run() -> None:
            stage = Stage(tmp_path)
            await stage.admin.start()
            try:
                await story(stage)
            finally:
                stage.admin.close()

        asyncio.run(run())

    return serve


Served = Callable[[Callable[[Stage], Awaitable[None]]], None]


def test_a_route_gets_what_stands_in_path_and_query(served: Served) -> None:
    async def story(stage: Stage) -> None:
        reply = await stage.ask("GET", "/v1/things/a%20b/parts/7?x=1&x=2", "read")
        assert reply.json == {
            "path": {"id": "a b", "part": "7"}, "query": [["x", "1"], ["x", "2"]], "who": "token 1 (read)", "body": "",
        }  # fmt: skip
        reply = await stage.ask("PATCH", "/v1/things/7", "admin", b"new")
        assert (reply.json["body"], reply.json["who"]) == ("new", "token 2 (admin)")
        assert (await stage.ask("GET", "/healthz")).json["who"] == "nobody"
        assert (await stage.ask("HEAD", "/v1/things", "read")).status == 200

    served(story)


@pytest.mark.parametrize(
    ("who", "error", "says"),
    [
        ("", (401, "token_missing"), 'Bearer realm="trackflow"'),
        ("tft_1_" + "A" * 43, (401, "token_unknown"),
         'Bearer realm="trackflow", error="invalid_token", error_description="no such token"'),
        ("expired", (401, "token_expired"),
         'Bearer realm="trackflow", error="invalid_token", error_description="this token is expired"'),
        ("gone", (401, "token_revoked"),
         'Bearer realm="trackflow", error="invalid_token", error_description="this token is revoked"'),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/things"), ("DELETE", "/v1/things"), ("POST", "/v1/nothing"), ("GET", "/v1")]
)
def test_without_a_token_that_works_nothing_is_told(
    method: str, path: str, who: str, error: tuple[int, str], says: str, served: Served
) -> None:
    async def story(stage: Stage) -> None:
        reply = await stage.ask(method, path, who)
        assert (reply.error, reply.headers["www-authenticate"]) == (error, says)
        assert "tft_" not in str(reply)
        assert stage.admin.counts()["refused"][error[1]] == 1

    served(story)


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Basic {}", "{}", "Bearer: {}", "Token {}"])
def test_only_the_bearer_scheme_is_taken(header: str, served: Served) -> None:
    async def story(stage: Stage) -> None:
        sent = header.replace("{}", stage.texts["read"])
        assert (await stage.ask("GET", "/v1/things", Authorization=sent)).error == (401, "token_missing")
        sent = f"bEARER   {stage.texts['read']} "
        assert (await stage.ask("GET", "/v1/things", Authorization=sent)).status == 200
        raw = f"GET /v1/things HTTP/1.1\r\nHost: a\r\n{2 * ('Authorization: ' + sent + chr(13) + chr(10))}\r\n".encode()
        assert b"HTTP/1.1 400" in await asyncio.to_thread(Asker(stage.admin.address).raw, raw)
        assert (await stage.ask("GET", f"/v1/things?access_token={stage.texts['read']}")).error[0] == 401

    served(story)


def test_a_token_that_may_only_read_changes_nothing(served: Served) -> None:
    async def story(stage: Stage) -> None:
        for method, path in (("DELETE", "/v1/things"), ("PATCH", "/v1/things/7")):
            reply = await stage.ask(method, path, "read")
            assert reply.error == (403, "scope")
            assert reply.headers["www-authenticate"].endswith('error="insufficient_scope", scope="admin"')
            assert (await stage.ask(method, path, "admin")).status == 200
        assert (await stage.ask("GET", "/metrics", "admin")).status == 200

    served(story)


@pytest.mark.parametrize(
    ("method", "path", "error", "allow"),
    [
        ("GET", "/", (404, "not_found"), None),
        ("GET", "/healthz/", (404, "not_found"), None),
        ("GET", "/Healthz", (404, "not_found"), None),
        ("GET", "/v1", (404, "not_found"), None),
        ("GET", "/v1/things/", (404, "not_found"), None),
        ("GET", "/v1/things/7/parts", (404, "not_found"), None),
        ("POST", "/healthz", (405, "method"), "GET, HEAD"),
        ("POST", "/v1/things", (405, "method"), "DELETE, GET, HEAD"),
        ("OPTIONS", "/v1/things/7", (405, "method"), "GET, HEAD, PATCH"),
        ("BREW", "/v1/things/7", (405, "method"), "GET, HEAD, PATCH"),
        ("GET", "/healthz/../v1/things", (400, "bad_target"), None),
        ("GET", "/v1%2fthings", (400, "bad_target"), None),
        ("GET", "//v1/things", (400, "bad_target"), None),
        ("GET", "/healthz/%2e%2e/v1/things", (400, "bad_target"), None),
        ("GET", "http://a/v1/things", (400, "bad_target"), None),
        ("CONNECT", "a:80", (400, "bad_target"), None),
        ("OPTIONS", "*", (400, "bad_target"), None),
    ],
)
def test_what_is_not_there_is_told(
    method: str, path: str, error: tuple[int, str], allow: str | None, served: Served
) -> None:
    async def story(stage: Stage) -> None:
        reply = await stage.ask(method, path, "admin")
        assert (reply.error, reply.headers.get("allow")) == (error, allow)

    served(story)


def test_an_error_of_a_route_is_told_by_its_code_and_a_bug_without_its_text(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(stage: Stage) -> None:
        reply = await stage.ask("GET", "/v1/fail/query", "read")
        assert (reply.status, reply.json) == (400, {"error": "query", "reason": "wrong", "hint": "ask better"})
        reply = await stage.ask("GET", "/v1/fail/bug", "read")
        assert (reply.error, "secret" in str(reply)) == ((500, "internal"), False)
        assert (await stage.ask("GET", "/v1/odd", "read")).error == (500, "something new")
        assert stage.admin.counts()["refused"] == {"internal": 2, "query": 1}

    with caplog.at_level(logging.ERROR):
        served(story)
    assert "GET /v1/fail/{how}" in caplog.text


def test_what_is_for_the_neighbours_needs_a_token_from_afar(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(address: str, host: str) -> list[int]:
        (tmp_path / address).mkdir()
        stage = Stage(tmp_path / address)
        stage.admin = Admin(address, ROUTES, stage.tokens)
        await stage.admin.start()
        port = stage.admin.address.rpartition(":")[2]
        statuses = []
        for token in ("", stage.texts["read"], stage.texts["gone"]):
            statuses.append((await asyncio.to_thread(Asker(f"{host}:{port}", token).get, "/metrics")).status)
        stage.admin.close()
        return statuses

    assert asyncio.run(story("127.0.0.1:0", "127.0.0.1")) == [200, 200, 200]
    assert caplog.text == ""
    assert asyncio.run(story("0.0.0.0:0", "127.0.0.1")) == [401, 200, 401]
    assert "is not loopback" in caplog.text


def test_what_was_asked_is_counted_and_no_name_from_outside_makes_a_counter(served: Served) -> None:
    async def story(stage: Stage) -> None:
        for n in range(5):
            await stage.ask("GET", f"/v1/things/{n}", "read")
            await stage.ask("GET", f"/v1/nothing/{n}", "read")
            await stage.ask("GET", f"/{n}")
        await stage.ask("DELETE", "/v1/things", "read")
        await asyncio.to_thread(Asker(stage.admin.address).raw, b"nonsense\r\n\r\n")
        found = stage.admin.counts()
        assert found["requests"] == [
            {"route": "/v1/things", "status": 403, "count": 1},
            {"route": "/v1/things/{id}", "status": 200, "count": 5},
            {"route": "other", "status": 404, "count": 10},
        ]
        assert found["refused"] == {"bad_request": 1, "not_found": 10, "scope": 1}

    served(story)


def test_a_use_is_noted_and_a_refusal_is_none(served: Served) -> None:
    async def story(stage: Stage) -> None:
        await stage.ask("GET", "/v1/things", "read")
        await stage.ask("GET", "/v1/things", "expired")
        used = {token.name: token.used_ms is not None for token in stage.tokens.all()}
        assert used == {"read": True, "admin": False, "expired": False, "gone": False}

    served(story)


def test_a_listener_that_does_not_listen_has_no_address(tmp_path: Path) -> None:
    assert Admin("127.0.0.1:0", ROUTES, Tokens(State(tmp_path))).address == ""
