"""The OpenAPI documents, held against a real daemon by schemathesis: nothing is answered that they do not say.

What is sent is drawn from the documents, as they allow it and as they do not, always the same (no clock, no random
seed); a new version of the code or of schemathesis may draw something else.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import CheckFunction
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.process.harness import PATIENCE, Daemon, until
from trackflowd.admin_routes import described
from trackflowd.stats import STATISTICS

DOCUMENTS = described()
CONFORMS: list[CheckFunction] = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
#: What is allowed is taken, what is not is refused.
ACCEPTANCE: list[CheckFunction] = [positive_data_acceptance, negative_data_rejection]
POSITIVE, NEGATIVE = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
#: Keys of an event that are whole numbers.
WHOLE = ("age_ms", "attempt", "engaged_ms", "scroll", "time")
#: What stores an event.
PUBLIC = ("POST /v1/events", "GET /v1/pixel.gif")
DEBUG = "X-Trackflow-Debug"
#: Answered 503 where it is true.
TRUE = ("too_many_tasks",)
#: Requests of each kind to each operation; to those of ``PUBLIC``. 150 of each take minutes and found nothing more.
EXAMPLES, PUBLIC_EXAMPLES = 4, 30


def operations(listener: str) -> Iterator[Any]:
    """Every operation of a document; without the header whose made-up token is 401 whatever else is asked."""
    document = copy.deepcopy(DOCUMENTS[listener])
    for path in document["paths"].values():
        for one in path.values():
            one["parameters"] = [each for each in one.get("parameters", ()) if each.get("name") != DEBUG]
    schema = schemathesis.openapi.from_dict(document)
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        yield found.ok()


EVENTS = list(operations("events"))
ADMIN = list(operations("admin"))


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    sets = ("daemon.workers=1", "batch.max_age=0.05", "http.demo=true", "log.level=warning")
    with Daemon(tmp_path_factory.mktemp("openapi"), *sets) as daemon:
        event = {"site": "a", "name": "pageview", "id": "1", "user": "u", "url": "https://a/", "props": {"n": 1}}
        assert daemon.post(event)[0] == 200
        assert daemon.post({"site": "a"})[0] == 400
        until(lambda: daemon.call("stats", name="refused")["refused"])
        daemon.flush()
        yield daemon


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.fixture(scope="module")
def token(daemon: Daemon) -> str:
    return str(daemon.call("token_add", name="drawer", scope="admin")["token"])


def drawn(operation: Any, mode: GenerationMode, examples: int, judge: Any) -> None:
    """Draw requests of an operation and have each judged."""

    @settings(
        max_examples=examples, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Case[Any]) -> None:
        judge(case)

    run()


def plain(body: Any) -> Any:
    """A body with 5 for 5.0, which is a whole number in JSON Schema and none in docs/protocol.md."""
    if isinstance(body, list):
        return [plain(one) for one in body]
    if not isinstance(body, dict):
        return body
    return {key: int(one) if isinstance(one, float) and key in WHOLE else one for key, one in body.items()}


def ways(listener: list[Any]) -> list[Any]:
    """Each operation as its document allows it and, where that asks for anything, as it does not."""
    found = []
    for operation in listener:
        found.append(pytest.param(operation, POSITIVE, id=f"{operation.label} as allowed"))
        if list(operation.query) or list(operation.path_parameters) or list(operation.body):
            found.append(pytest.param(operation, NEGATIVE, id=f"{operation.label} else"))
    return found


# ------------------------------------------------------------- answers that hold something

SITE, KEY, USER = {"site": "b"}, {"site": "b", "name": "k"}, {"id": "u"}


def walk(ask: Callable[..., Any]) -> None:
    """Every operation of the admin listener that has something to answer, asked so that it does."""
    for path in ("/healthz", "/readyz", "/metrics", "/v1/openapi.json", "/v1/stats", "/v1/events"):
        ask("GET", path, 200)
    for name, statistic in STATISTICS.items():
        query = {"period": "24h"} if statistic.period else {}
        ask("GET", f"/v1/stats/{name}", 200, query=query)
        ask("GET", f"/v1/stats/{name}", 200, query={**query, "format": "csv"})
    ask("GET", "/v1/stats/properties", 200, query={"property": "plan"})
    ask("GET", "/v1/geo/{ip}", 200, {"ip": "81.2.69.142"})
    ask("GET", "/v1/events/{id}", 200, {"id": "1"})
    ask("PATCH", "/v1/events/{id}", 200, {"id": "1"}, body={"props": {"plan": "pro", "n": None}})
    ask("GET", "/v1/users/{id}/export", 200, USER)
    ask("PUT", "/v1/sites/{site}", 201, SITE, body={"settings": {"gpc": "refuse", "query_params": ["q"]}})
    ask("PUT", "/v1/sites/{site}", 200, SITE, body={"settings": {"origins": ["https://b.example"]}})
    ask("PATCH", "/v1/sites/{site}", 200, SITE, body={"settings": {"rate": 5, "gpc": None}})
    ask("GET", "/v1/sites/{site}", 200, SITE)
    ask("GET", "/v1/sites", 200, query={"limit": 1})
    made = ask("POST", "/v1/keys", 201, body=KEY | {"expires": 60}).json()
    found = ask("POST", "/v1/keys/{id}/rotate", 201, {"id": made["id"]}, body={"overlap": 5}).json()
    ask("GET", "/v1/keys/{id}", 200, {"id": found["id"]})
    ask("GET", "/v1/keys", 200)
    ask("DELETE", "/v1/sites/{site}", 409, SITE)
    ask("DELETE", "/v1/keys/{id}", 200, {"id": found["id"]})
    ask("DELETE", "/v1/sites/{site}", 200, SITE, query={"revoke_keys": "true"})
    for path, params in (("/v1/events/{id}", {"id": "1"}), ("/v1/users/{id}", USER), ("/v1/events", {})):
        query = {} if params else {"site": "nobody's"}
        ask("DELETE", path, 200, params, query={**query, "dry_run": "true"})
        task = ask("DELETE", path, 202, params, query=query).json()
        ask("GET", "/v1/tasks/{id}", 200, {"id": task["id"]})
    ask("GET", "/v1/tasks", 200)


def test_what_the_admin_listener_answers_has_the_shape_that_the_document_says(
    daemon: Daemon, session: requests.Session, token: str
) -> None:
    schema = schemathesis.openapi.from_dict(DOCUMENTS["admin"])
    seen: set[tuple[str, str, str]] = set()

    def ask(
        method: str, path: str, status: int, params: dict[str, Any] | None = None, **more: Any
    ) -> schemathesis.Response:
        headers = {"Authorization": f"Bearer {token}"}
        if "body" in more:
            more["media_type"] = "application/json"
        case = schema[path][method].Case(path_parameters=params or {}, **more)
        answer = case.call(daemon.admin, session=session, timeout=PATIENCE, headers=headers)
        assert answer.status_code == status, f"{method} {path}: {answer.text}"
        case.validate_response(answer, checks=CONFORMS)
        seen.add((method, path, str(status)))
        return answer

    walk(ask)
    said = {
        (method.upper(), path, status)
        for path, methods in DOCUMENTS["admin"]["paths"].items()
        for method, one in methods.items()
        for status in one["responses"]
        if status.startswith("2")
    }
    assert said - seen == {("PATCH", "/v1/events/{id}", "202")}  # where the store takes its time


def test_the_documents_are_served(daemon: Daemon, session: requests.Session, token: str) -> None:
    for listener, document in DOCUMENTS.items():
        url = f"{daemon.admin}/v1/openapi.json?listener={listener}"
        assert session.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE).json() == document
        assert session.get(url, timeout=PATIENCE).status_code == 401


def test_who_may_ask_is_who_the_document_says(daemon: Daemon, session: requests.Session) -> None:
    reader = str(daemon.call("token_add", name="reader")["token"])
    for path, methods in DOCUMENTS["admin"]["paths"].items():
        for method, one in methods.items():
            url = daemon.admin + path.replace("{ip}", "::1").replace("{", "").replace("}", "")
            answer = session.request(method, url, timeout=PATIENCE)
            assert (answer.status_code == 401) is (one["security"] == [{"token": []}]), f"{method} {path}"
            if "403" in one["responses"]:
                answer = session.request(method, url, headers={"Authorization": f"Bearer {reader}"}, timeout=PATIENCE)
                assert (answer.status_code, answer.json()["error"]) == (403, "scope"), f"{method} {path}"


@pytest.mark.parametrize("listener", DOCUMENTS)
def test_a_method_that_is_not_said_is_not_served(
    listener: str, daemon: Daemon, session: requests.Session, token: str
) -> None:
    for path, methods in DOCUMENTS[listener]["paths"].items():
        url = (daemon.http if listener == "events" else daemon.admin) + path.replace("{version}", "0" * 12)
        url = url.replace("{", "").replace("}", "")
        for method in ("get", "post", "put", "patch", "delete"):
            if method not in methods:
                headers = {"Authorization": f"Bearer {token}"} if listener == "admin" else {}
                answer = session.request(
                    method, url.replace("{", "").replace("}", ""), headers=headers, timeout=PATIENCE
                )
                assert answer.status_code == 405, f"{method} {path}"
                allowed = {one.strip().lower() for one in answer.headers["Allow"].split(",")}
                assert allowed - {"head", "options"} == set(methods) - {"head", "options"}


def test_a_decision_has_the_shape_that_the_document_says(daemon: Daemon, session: requests.Session, token: str) -> None:
    schema = schemathesis.openapi.from_dict(DOCUMENTS["events"])
    good = {"site": "a", "name": "n", "props": {"n": 1}, "revenue": {"amount": -2, "currency": "EUR"}}

    def asked(method: str, path: str, **more: Any) -> Any:
        case = schema[path][method].Case(headers={DEBUG: token}, **more)
        answer = case.call(daemon.http, session=session, timeout=PATIENCE)
        assert answer.headers["x-trackflow-refused"] == ["debug"], answer.text
        case.validate_response(answer, checks=CONFORMS)
        return answer.json()

    def known() -> bool:
        return session.get(f"{daemon.http}/nowhere", headers={DEBUG: token}, timeout=PATIENCE).status_code == 200

    until(known)
    told = asked("POST", "/v1/events", body=[good, {"site": "a"}], media_type="application/json")
    assert [one.get("refused") for one in told["events"]] == [None, "missing_key"]
    assert asked("GET", "/v1/pixel.gif", query={"site": "a", "name": "n"})["answer"]["status"] == 200
    assert asked("GET", "/v1/pixel.gif", query={"site": "a"})["answer"]["refused"] == "missing_key"


# ------------------------------------------------------------- whatever is asked


@pytest.mark.parametrize(("operation", "mode"), ways(EVENTS))
def test_the_event_listener_answers_as_its_document_says(
    operation: Any, mode: GenerationMode, daemon: Daemon, session: requests.Session
) -> None:
    def judge(case: Case[Any]) -> None:
        case.body = plain(case.body)
        answer = case.call(daemon.http, session=session, timeout=PATIENCE)
        assert answer.status_code < 500, answer.text
        case.validate_response(answer, checks=[*CONFORMS, *(ACCEPTANCE if public else [])])

    public = operation.label in PUBLIC
    drawn(operation, mode, PUBLIC_EXAMPLES if public else EXAMPLES, judge)


@pytest.mark.parametrize(("operation", "mode"), ways(ADMIN))
def test_the_admin_listener_answers_as_its_document_says(
    operation: Any, mode: GenerationMode, daemon: Daemon, session: requests.Session, token: str
) -> None:
    def judge(case: Case[Any]) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        answer = case.call(daemon.admin, session=session, timeout=PATIENCE, headers=headers)
        assert answer.status_code < 500 or answer.json()["error"] in TRUE, answer.text
        case.validate_response(answer, checks=CONFORMS)

    drawn(operation, mode, EXAMPLES, judge)
