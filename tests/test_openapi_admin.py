"""openapi_admin: the document of the admin listener, held to its routes and to what their handlers take. What is
answered is held to it by tests/process/test_openapi_served.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from trackflowd import openapi_admin
from trackflowd.admin import Route
from trackflowd.admin_desk import Desk
from trackflowd.admin_routes import PROBES, routes
from trackflowd.admin_stats import names
from trackflowd.admin_words import STATUS, Answer, Call
from trackflowd.audit import Audit
from trackflowd.openapi_admin import OPERATIONS, STATISTIC
from trackflowd.proto import target
from trackflowd.proto.control import BadRequest
from trackflowd.stats import STATISTICS


async def metrics() -> bytes:
    return b""


TABLE = routes(Desk({}, lambda: 1.0, Audit(Path())), dict.fromkeys(PROBES, lambda: (True, {})), metrics)
DOCUMENT = openapi_admin.build(TABLE)
#: Routes that look at no query: monitors add parameters of their own.
FREE = (*PROBES, "/metrics")


def test_every_route_is_there_and_no_other() -> None:
    served = {(route.method.lower(), route.path) for route in TABLE if route.path != STATISTIC}
    served |= {("get", f"/v1/stats/{name}") for name in STATISTICS}
    assert {(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods} == served
    assert {f"{route.method} {route.path}" for route in TABLE if route.path != STATISTIC} == set(OPERATIONS)


def test_a_route_that_is_not_described_does_not_pass() -> None:
    async def handler(call: Call) -> Answer:
        raise NotImplementedError

    with pytest.raises(KeyError, match="/v1/new"):
        openapi_admin.build([Route("GET", "/v1/new", handler)])


def called(route: Route) -> str:
    return f"{route.method} {route.path}"


def known(route: Route, path: dict[str, str]) -> Sequence[str]:
    """Names of the parameters that a handler says it knows."""
    call = Call(target.read(b"/v1/any?no_such=1"), path)
    with pytest.raises(BadRequest) as caught:
        asyncio.run(route.handler(call))  # type: ignore[arg-type]
    hint = caught.value.hint
    return hint.removeprefix("known: ").split(", ") if hint.startswith("known: ") else ()


@pytest.mark.parametrize("route", [route for route in TABLE if route.path not in (*FREE, STATISTIC)], ids=called)
def test_parameters_are_those_that_the_handler_takes(route: Route) -> None:
    path = {"id": "1", "ip": "::1", "site": "s", "name": "pages"}
    assert set(OPERATIONS[f"{route.method} {route.path}"].query) == set(known(route, path))


@pytest.mark.parametrize("name", STATISTICS)
def test_a_statistics_parameters_are_those_that_it_takes(name: str) -> None:
    (route,) = (route for route in TABLE if route.path == STATISTIC)
    once, many = names(name)
    assert [*once, *many] == list(known(route, {"name": name}))
    said = DOCUMENT["paths"][f"/v1/stats/{name}"]["get"]["parameters"]
    found = [one.get("name") or one["$ref"].rpartition("/")[2] for one in said]
    assert found == [*once, *many]


def test_who_may_ask_is_said() -> None:
    security = {
        (method, path): one["security"]
        for path, methods in DOCUMENT["paths"].items()
        for method, one in methods.items()
    }
    assert security["get", "/healthz"] == []
    assert security["get", "/metrics"] == [{}, {"token": []}]
    assert all(one == [{"token": []}] for (_, path), one in security.items() if path.startswith("/v1/"))
    for route in TABLE:
        if route.path != STATISTIC:
            answers = DOCUMENT["paths"][route.path][route.method.lower()]["responses"]
            assert ("403" in answers) is (route.scope == "admin")


def test_every_code_stands_under_its_status() -> None:
    for code, status in STATUS.items():
        answer = DOCUMENT["components"]["responses"][f"Error{status}"]
        assert code in answer["content"]["application/json"]["schema"]["allOf"][1]["properties"]["error"]["enum"]


def test_every_operation_says_what_it_is() -> None:
    for path, methods in DOCUMENT["paths"].items():
        for method, one in methods.items():
            assert one["summary"].endswith("."), f"{method} {path}"
