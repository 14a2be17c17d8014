"""openapi: the words; and both documents as a whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
import schemathesis

from trackflowd import openapi
from trackflowd.admin_routes import described

DOCUMENTS = described()


@pytest.mark.parametrize("listener", DOCUMENTS)
def test_a_document_is_valid_openapi(listener: str) -> None:
    schemathesis.openapi.from_dict(json.loads(json.dumps(DOCUMENTS[listener]))).validate()


@pytest.mark.parametrize("listener", DOCUMENTS)
def test_what_a_document_refers_to_is_there_and_what_is_there_is_referred_to(listener: str) -> None:
    document = DOCUMENTS[listener]
    found = {
        f"#/components/{kind}/{name}" for kind in ("schemas", "responses", "parameters")
        for name in document["components"].get(kind, {})
    }  # fmt: skip
    used = set(references(document))
    assert used - found == set()
    general = {f"#/components/responses/{name}" for name in ("Error405", "Refused404", "Refused405")}
    assert found - used - general == set()


def references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [one for part in value for one in references(part)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
    return own + [one for part in value.values() for one in references(part)]


def test_an_object_has_the_keys_it_is_said_to_have_and_no_other() -> None:
    made = openapi.record({"a": openapi.text(), "b": openapi.whole(0, 5)}, ("b",), "pairs")
    assert made["required"] == ["a"]
    assert made["additionalProperties"] is False
    assert made["properties"]["b"] == {"type": "integer", "minimum": 0, "maximum": 5}
    assert "required" not in openapi.record({"a": {}}, ("a",))


def test_the_description_of_a_schema_is_its_parameters() -> None:
    made = openapi.parameter("limit", "query", openapi.text("how many", maxLength=3))
    assert made == {
        "name": "limit", "in": "query", "description": "how many", "schema": {"type": "string", "maxLength": 3},
    }  # fmt: skip
    assert openapi.parameter("id", "path", {}, required=True)["required"] is True


def test_codes_stand_under_their_status() -> None:
    assert openapi.by_status({"a": 503, "b": 400, "c": 400}, ("a", "b", "c")) == {400: ["b", "c"], 503: ["a"]}
