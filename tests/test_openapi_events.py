"""openapi_events: the document of the event listener, held to the tables it comes from. What is answered is held to it
by tests/process/test_openapi_served.py.
"""

from __future__ import annotations

import pytest

from trackflowd import openapi_events
from trackflowd.proto import dialects, native
from trackflowd.proto.refusals import TABLE, Code
from trackflowd.sections import Http

DOCUMENT = openapi_events.build()
SCHEMAS = DOCUMENT["components"]["schemas"]


def test_every_route_of_every_dialect_is_there() -> None:
    http = Http()
    options = {"event_path": http.event_path, "pixel_path": http.pixel_path}
    for dialect in dialects.load():
        for route in dialect.routes:
            for path in route.resolve(options):
                assert route.method.decode().lower() in DOCUMENT["paths"][path], f"{dialect.name}: {path}"


def test_an_event_has_the_keys_that_are_read() -> None:
    assert list(SCHEMAS["Event"]["properties"]) == list(native.ServerWire.__struct_fields__)
    assert SCHEMAS["Event"]["required"] == ["site", "name"]
    assert SCHEMAS["Events"]["maxItems"] == Http().max_events
    parameters = DOCUMENT["paths"]["/v1/pixel.gif"]["get"]["parameters"]
    names = {one["name"] for one in parameters if one["in"] == "query"}
    assert names == set(native.Wire.__struct_fields__)


@pytest.mark.parametrize("code", TABLE, ids=lambda code: code.name)
def test_every_refusal_is_said_where_its_status_is(code: Code) -> None:
    name, status, _, when = code
    assert name in SCHEMAS["Refused"]["properties"]["error"]["enum"]
    if status != 200:
        answer = DOCUMENT["components"]["responses"][f"Refused{status}"]
        assert f"- `{name}`: {when}" in answer["description"].splitlines()
        assert name in answer["headers"]["X-Trackflow-Refused"]["schema"]["enum"]


def test_a_503_says_when_to_come_again() -> None:
    assert "Retry-After" in DOCUMENT["components"]["responses"]["Refused503"]["headers"]
    assert "Retry-After" not in DOCUMENT["components"]["responses"]["Refused400"]["headers"]


def test_bounds_are_those_of_the_code() -> None:
    event = SCHEMAS["Event"]["properties"]
    assert event["engaged_ms"]["anyOf"][0]["maximum"] == native.MAX_ENGAGED_MS
    assert event["site"]["pattern"] == f"^{native.SITE.pattern}$"
    assert {"type": "null"} in event["url"]["anyOf"]
