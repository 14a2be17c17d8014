"""stack.plan: what a stack file may hold, what is picked of it, and the one that is shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.process.harness import ROOT
from trackflowd.errors import ConfigError
from trackflowd.stack.plan import SHIPPED, Plan, load

TEXT = """\
store = "a"
stores.a.url = "chdb:"
stores.b.url = "null:"
containers.top = { image = "i", needs = ["first", "second"], env = { URL = "{store}" } }
containers.first = { image = "i", when = "a" }
containers.second = { image = "i", when = "b", needs = ["base"] }
containers.base = { image = "i", when = "b" }
containers.watch = { image = "i", when = "watching", needs = ["top"] }
"""


def plan(tmp_path: Path, text: str = TEXT, store: str = "") -> Plan:
    file = tmp_path / "stack.toml"
    file.write_text(text)
    return load(file, store)


def test_the_store_and_the_extras_pick_and_what_is_needed_comes_first(tmp_path: Path) -> None:
    made = plan(tmp_path)
    assert list(made.chosen()) == ["first", "top"]
    assert set(made.chosen(extras=["watching"])) == {"first", "top", "watch"}
    assert made.containers["top"].env == {"URL": "chdb:"}
    other = plan(tmp_path, store="b")
    assert list(other.chosen()) == ["base", "second", "top"]
    assert other.containers["top"].env == {"URL": "null:"}


def test_names_pick_these_and_what_they_need(tmp_path: Path) -> None:
    made = plan(tmp_path)
    assert list(made.chosen(["second"])) == ["base", "second"]
    with pytest.raises(ConfigError, match="no container 'nobody'") as told:
        made.chosen(["nobody"])
    assert "first" in told.value.hint
    with pytest.raises(ConfigError, match="no --with 'a'"):
        made.chosen(extras=["a"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "containers"),
        ("containers = {}", "there is none"),
        ("a = 1", "a"),
        ("= ", "Invalid"),
        ("containers.a = { image = 'i', ports = ['80'] }", "ports: '80' is not an address"),
        ("containers.a = { image = 'i', ports = ['127.0.0.1:0:80'] }", "ports"),
        ("containers.a = { image = 'i', volumes = ['x'] }", "volumes: 'x' is not NAME:/path"),
        ("containers.a = { image = 'i', volumes = ['x:/y:rw'] }", "volumes"),
        ("containers.a = { image = 'i', needs = ['b'] }", "there is no container 'b'"),
        ("containers.a = { image = 'i', needs = ['a'] }", "in a ring"),
        ("containers.a = { image = '' }", "image is empty"),
        ("containers.a = { image = 'i', wait = 0 }", "wait"),
        ("containers.a = { image = 'i', network = 'container:b' }", "of one it needs"),
        ("containers.a = { image = 'i', imgae = 'i' }", "imgae"),
        ("containers.A = { image = 'i' }", "small letters"),
        ("name = 'A b'\ncontainers.a = { image = 'i' }", "small letters"),
        ("network = 'none'\ncontainers.a = { image = 'i' }", "bridge"),
        ("store = 'x'\ncontainers.a = { image = 'i' }", "no store 'x'"),
    ],
)
def test_what_is_wrong_is_said_with_the_file(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as told:
        plan(tmp_path, text)
    assert "stack.toml" in told.value.text and words in told.value.text


def test_a_file_that_is_not_there_or_no_text_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "none.toml")
    (tmp_path / "stack.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError):
        load(tmp_path / "stack.toml")


def test_a_container_is_marked_by_all_that_is_said_of_it(tmp_path: Path) -> None:
    one = plan(tmp_path).containers["first"]
    assert one.mark() == plan(tmp_path).containers["first"].mark()
    other = plan(tmp_path, TEXT.replace('{ image = "i", when = "a" }', '{ image = "j", when = "a" }'))
    assert other.containers["first"].mark() != one.mark()


@pytest.mark.parametrize("store", ["clickhouse", "postgresql", "chdb"])
def test_the_shipped_one_is_on_loopback_and_has_a_store_a_daemon_and_what_watches(store: str) -> None:
    shipped = load(SHIPPED, store)
    wanted = {"daemon", "prometheus", "grafana"} | ({store} if store != "chdb" else set())
    assert set(shipped.chosen(extras=["monitoring"])) == wanted
    assert shipped.containers["daemon"].env["TRACKFLOW_STORE_URL"] == shipped.stores[store].url
    for container in shipped.containers.values():
        assert {port.host for port in container.bound()} <= {"127.0.0.1"}
        for volume in container.volumes:
            if volume.startswith("."):
                assert (SHIPPED.parent / volume.split(":")[0]).resolve().is_relative_to(ROOT / "docs")
                assert (SHIPPED.parent / volume.split(":")[0]).exists()
