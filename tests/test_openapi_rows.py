"""openapi_rows: schemas of answers have the names that the code answers with."""

from __future__ import annotations

import pytest

from trackflowd import openapi_rows
from trackflowd.events import SHOWN
from trackflowd.site import SETTINGS, Site, settings_of
from trackflowd.stats import STATISTICS
from trackflowd.tasks import Task


def test_an_event_has_every_field_that_is_shown() -> None:
    made = openapi_rows.event()
    assert made["required"] == list(SHOWN)
    assert made["properties"]["visitor"]["pattern"] == "^[0-9a-f]{16}$"
    assert made["properties"]["scroll"]["maximum"] == 100


def test_a_site_has_every_setting_and_a_change_any_of_them() -> None:
    whole, change = openapi_rows.settings(), openapi_rows.settings(change=True)
    assert whole["required"] == list(settings_of(Site("s"))) == list(SETTINGS)
    assert "required" not in change
    assert {"type": "null"} in change["properties"]["gpc"]["anyOf"]
    assert whole["properties"]["gpc"]["enum"] == list(SETTINGS["gpc"].spec.choices)
    assert whole["properties"]["salt_hour"]["maximum"] == 23


def test_a_task_has_what_is_said_of_one() -> None:
    task = Task(1, "erase", {}, 0)
    assert set(openapi_rows.task()["required"]) == {*task.brief(), "known"}
    assert set(openapi_rows.task(full=True)["required"]) == {*task.whole(), "known"}


@pytest.mark.parametrize("name", STATISTICS)
def test_a_statistic_has_its_columns(name: str) -> None:
    made = openapi_rows.statistic(name)
    if name in ("overview", "live"):
        assert "totals" in made["required"]
        return
    row = made["properties"][name]["items"]
    row = row["anyOf"][0] if "anyOf" in row else row
    assert row["required"] == [column.name for column in STATISTICS[name].columns]


def test_a_key_says_everything_but_its_secret() -> None:
    assert {"id", "name", "site", "state"} < set(openapi_rows.key()["required"])
    assert "hash" not in openapi_rows.key()["properties"]
    assert "key" in openapi_rows.key({"key": {}})["required"]
