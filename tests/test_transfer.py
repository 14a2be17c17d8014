"""transfer: sites and keys from one host to another, merged or as a whole, and documents that make no sense."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from trackflowd import registry as registry_module
from trackflowd.errors import DataDirError
from trackflowd.keys import Keys
from trackflowd.proto.control import BadRequest
from trackflowd.registry import Registry
from trackflowd.state import State
from trackflowd.transfer import Transfer, document

NOW = 1_800_000_000_000


class Host:
    """One of several."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self.state = State(path)
        self.sites, self.keys = Registry(self.state), Keys(self.state)
        self.transfer = Transfer(self.state, self.sites, self.keys)

    def export(self, keys: bool = True) -> dict[str, Any]:
        value: dict[str, Any] = document(self.sites.all(), self.keys.living(NOW) if keys else None)
        return json.loads(json.dumps(value))  # type: ignore[no-any-return]

    def take(self, value: dict[str, Any], replace: bool = False) -> list[str]:
        plan = self.transfer.plan(value, replace, NOW)
        self.transfer.apply(plan, NOW)
        assert Registry(self.state).all() == self.sites.all()
        assert Keys(self.state).all() == self.keys.all()
        return sorted(f"{one['change']} {'key of ' if 'key' in one else ''}{one['site']}" for one in plan.changes)

    def refuses(self, value: Any, replace: bool = False) -> BadRequest:
        with pytest.raises(BadRequest) as caught:
            self.transfer.plan(value, replace, NOW)
        return caught.value


@pytest.fixture
def one(tmp_path: Path) -> Host:
    host = Host(tmp_path / "one")
    host.sites.add("a", {"gpc": "refuse"}, NOW)
    host.sites.change("*", {"bot_policy": "refuse"}, NOW)
    host.keys.add("server", "a", 0, NOW)
    return host


@pytest.fixture
def two(tmp_path: Path) -> Host:
    return Host(tmp_path / "two")


def test_a_fresh_host_becomes_the_same_and_the_second_time_nothing_changes(one: Host, two: Host) -> None:
    assert two.take(one.export()) == ["added a", "added key of a", "changed *"]
    assert two.export() == one.export()
    assert two.keys.published(NOW) == one.keys.published(NOW)
    assert two.take(one.export()) == []
    assert two.take(one.export(), replace=True) == []


def test_merging_keeps_what_is_only_here_and_replacing_does_not(one: Host, two: Host) -> None:
    two.sites.add("a", {"dnt": "refuse"}, NOW)
    two.sites.add("b", {}, NOW)
    two.keys.add("server", "b", 0, NOW)
    assert two.take(one.export()) == ["added key of a", "changed *", "changed a"]
    assert two.sites.get("a").site == one.sites.get("a").site
    assert two.take(one.export(), replace=True) == ["removed b", "revoked key of b"]
    assert two.export() == one.export()


def test_without_keys_in_it_only_those_of_sites_that_go_are_revoked(one: Host, two: Host) -> None:
    two.sites.add("b", {}, NOW)
    for site in ("a", "b", "*"):
        two.keys.add("server", site, 0, NOW)
    assert two.take(one.export(keys=False), replace=True) == ["added a", "changed *", "removed b", "revoked key of b"]
    assert {key.site for key in two.keys.living(NOW)} == {"a", "*"}


def test_keys_follow_changes_and_what_was_revoked_here_stays_so(one: Host, two: Host) -> None:
    two.take(one.export())
    _, _, old = one.keys.rotate("server", 60, NOW)
    assert two.take(one.export()) == ["added key of a", "changed key of a"]
    assert two.keys.get(old.number) == old
    two.keys.revoke(str(old.number), NOW)
    assert two.take(one.export()) == ["stays revoked key of a"]


def test_another_key_of_the_same_number_is_no_key_to_overwrite(one: Host, two: Host) -> None:
    value = one.export()
    two.take(value)
    value["keys"][0]["hash"] = "00" * 32
    assert two.refuses(value).code == "key_conflict"


def test_what_the_disk_refuses_changes_nothing_also_in_memory(one: Host, two: Host) -> None:
    before = two.sites.all(), two.keys.all()
    two.state.execute("CREATE TRIGGER full BEFORE INSERT ON keys BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    plan = two.transfer.plan(one.export(), False, NOW)
    with pytest.raises(DataDirError, match="full"):
        two.transfer.apply(plan, NOW)
    assert (two.sites.all(), two.keys.all()) == before == (Registry(two.state).all(), Keys(two.state).all())


def test_there_are_bounds(one: Host, two: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    two.sites.add("b", {}, NOW)
    monkeypatch.setattr(registry_module, "MAX_SITES", 1)
    assert two.refuses(one.export()).code == "too_many_sites"
    assert len(two.transfer.plan(one.export(), True, NOW).changes) == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda value: value.pop("trackflow"), "no export of sites"),
        (lambda value: value.update(version=2), "no export of sites"),
        (lambda value: value.update(more=1), "nothing is known by the name 'more'"),
        (lambda value: value.update(sites={}), "sites must be a list"),
        (lambda value: value["sites"].append(7), "sites[2] must be an object"),
        (lambda value: value["sites"].append({"site": "a"}), "sites[2]: a is there twice"),
        (lambda value: value["sites"].append({}), "sites[2]: a site is 1 to 64 letters"),
        (lambda value: value["sites"].append({"site": "b", "settings": []}), "settings must be an object"),
        (lambda value: value["sites"].append({"site": "b", "settings": {"gpc": 1}}), "sites[2]: b: gpc must be"),
        (lambda value: value["sites"][0].update(x=1), "sites[0]: nothing is known by the name 'x'"),
        (lambda value: value.update(keys=None), "keys must be a list"),
        (lambda value: value["keys"].append(value["keys"][0]), "two have one number"),
        (lambda value: value["keys"][0].update(id=True), "id must be the number of a key"),
        (lambda value: value["keys"][0].update(name="a b"), "name must be"),
        (lambda value: value["keys"][0].update(site="a b"), "keys[0]: a site is"),
        (lambda value: value["keys"][0].update(hash="x"), "64 digits of hex"),
        (lambda value: value["keys"][0].update(created_ms=None), "ms since 1970"),
        (lambda value: value["keys"][0].update(expires_ms=-1), "ms since 1970"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_a_document_that_makes_no_sense_is_refused_with_the_place(one: Host, two: Host, change: Any, said: str) -> None:
    value = copy.deepcopy(one.export())
    change(value)
    error = two.refuses(value)
    assert error.code == "bad_document"
    assert said in error.text
