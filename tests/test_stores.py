"""tests.stores: a url comes before Docker, Docker before the tests' own."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.stores import found

URL = {"TRACKFLOW_TEST_CLICKHOUSE_URL": "clickhouse://a:8123"}
ON = {"TRACKFLOW_TEST_DOCKER": "1"}
STACK = {"clickhouse": "clickhouse://b:8123"}


@pytest.mark.parametrize(
    ("env", "stack", "taken"),
    [
        ({**URL, **ON}, STACK, ("url", "clickhouse://a:8123")),
        (URL, {}, ("url", "clickhouse://a:8123")),
        (ON, STACK, ("docker", "clickhouse://b:8123")),
        (ON, {}, ("embedded", "")),
        ({}, STACK, ("embedded", "")),
    ],
)
def test_the_first_that_is_there_is_taken(
    env: Mapping[str, str], stack: Mapping[str, str], taken: tuple[str, str]
) -> None:
    assert found("clickhouse", env, lambda: stack) == taken


def test_docker_is_not_asked_unless_it_is_meant() -> None:
    def asked() -> Mapping[str, str]:
        raise AssertionError("asked")

    assert found("postgresql", URL, asked) == ("embedded", "")
