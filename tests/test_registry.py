"""registry: sites and settings over restarts, and what is refused."""

from __future__ import annotations

from pathlib import Path

import msgpack
import pytest

from trackflowd import registry
from trackflowd.errors import DataDirError
from trackflowd.proto.control import BadRequest
from trackflowd.registry import Registry
from trackflowd.site import DEFAULT, Site
from trackflowd.state import State

NOW = 1_800_000_000_000


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path)


@pytest.fixture
def table(state: State) -> Registry:
    return Registry(state)


def code(call: object, *args: object) -> str:
    assert callable(call)
    with pytest.raises(BadRequest) as caught:
        call(*args)
    return caught.value.code


def test_a_site_is_added_changed_and_removed_and_a_restart_knows(state: State, table: Registry) -> None:
    made = table.add("example.com", {"gpc": "refuse", "rate": "5"}, NOW)
    assert (made.site, made.created_ms) == (Site("example.com", gpc="refuse", rate=5.0), NOW)
    before, after = table.change("example.com", {"gpc": None, "retention_days": 30}, NOW + 1)
    assert before == made
    assert after.site == Site("example.com", rate=5.0, retention_days=30)
    assert (after.created_ms, after.changed_ms) == (NOW, NOW + 1)
    assert table.change("example.com", {"rate": 5}, NOW + 2) == (after, after)
    assert Registry(state).all() == table.all()
    assert [one.site.site for one in table.all()] == ["*", "example.com"]
    table.remove("example.com")
    assert [one.site for one in Registry(state).all()] == [DEFAULT]
    assert not table.has("example.com")


def test_the_row_of_sites_that_are_not_registered_is_always_there(state: State, table: Registry) -> None:
    assert code(table.add, "*", {}, NOW) == "site_exists"
    table.change("*", {"bot_policy": "refuse"}, NOW)
    assert Registry(state).get("*").site == Site("*", bot_policy="refuse")
    table.remove("*")
    assert table.get("*") == Registry(state).get("*")
    assert table.get("*").site == DEFAULT


def test_what_makes_no_sense_changes_nothing(state: State, table: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    assert code(table.add, "a b", {}, NOW) == "bad_arguments"
    assert code(table.add, "a", {"gpc": "x"}, NOW) == "bad_arguments"
    assert code(table.change, "a", {}, NOW) == code(table.get, "a") == code(table.remove, "a") == "no_site"
    table.add("a", {}, NOW)
    assert code(table.add, "a", {}, NOW) == "site_exists"
    assert code(table.change, "a", {"rate": -1}, NOW) == "bad_arguments"
    monkeypatch.setattr(registry, "MAX_SITES", 1)
    assert code(table.add, "b", {}, NOW) == "too_many_sites"
    assert [one.site for one in Registry(state).all()] == [DEFAULT, Site("a")]


def test_what_workers_are_told_can_be_said_in_msgpack_and_makes_the_same_site(table: Registry) -> None:
    table.add("a", {"query_params": "q", "origins": "https://a.example"}, NOW)
    told = msgpack.unpackb(msgpack.packb(table.published()), use_list=False)
    assert [Site(**one) for one in told] == [DEFAULT, table.get("a").site]


def test_a_row_that_makes_no_sense_is_said_with_what_to_do(state: State) -> None:
    state.execute("INSERT INTO sites VALUES ('a', '[]', 1, 1)")
    with pytest.raises(DataDirError, match="the site a cannot be read") as caught:
        Registry(state)
    assert "DELETE FROM sites WHERE site = 'a'" in caught.value.hint
