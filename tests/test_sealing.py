"""trackflowd.sealing: certificates whose files change, or break, while they are in use."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from tests import tlsfiles
from trackflowd.errors import ConfigError
from trackflowd.sealing import Sealing
from trackflowd.tlssection import Tls


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tls")
    tlsfiles.make(directory, "one", ["one.example"], days=10)
    tlsfiles.make(directory, "two", ["two.example"], days=20)
    return directory


def put(made: Path, directory: Path, name: str, *kinds: str) -> None:
    for kind in kinds or ("pem", "key"):
        shutil.copy(made / f"{name}.{kind}", directory / f"new.{kind}")
        (directory / f"new.{kind}").rename(directory / f"it.{kind}")


def options(directory: Path) -> Tls:
    return Tls((str(directory / "it.pem"),), (str(directory / "it.key"),))


def names(sealing: Sealing) -> list[str]:
    return [name for each in sealing.status() for name in each["names"]]


def test_changed_files_are_taken_on_once_they_have_settled(made: Path, tmp_path: Path) -> None:
    put(made, tmp_path, "one")
    sealing = Sealing(options(tmp_path))
    assert names(sealing) == ["one.example"] and sealing.ends == sealing.facts[0].ends
    assert not sealing.look() and not sealing.look()
    put(made, tmp_path, "two", "pem")
    assert not sealing.look()
    put(made, tmp_path, "two", "key")  # between two looks
    assert not sealing.look()
    assert names(sealing) == ["one.example"] and sealing.error == ""
    assert sealing.look()
    assert names(sealing) == ["two.example"]
    assert not sealing.look()


def test_what_is_broken_is_said_once_and_not_taken_on_until_it_is_mended(
    made: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(made, tmp_path, "one")
    sealing = Sealing(options(tmp_path))
    put(made, tmp_path, "two", "key")
    with caplog.at_level(logging.ERROR):
        assert [sealing.look() for _ in range(4)] == [False] * 4
    assert [record.getMessage() for record in caplog.records] == [f"certificates stay as they are: {sealing.error}"]
    assert "the key is not that of the certificate" in sealing.error
    assert names(sealing) == ["one.example"]
    (tmp_path / "it.key").unlink()
    assert [sealing.look(), sealing.look()] == [False, False]
    assert "cannot be read: No such file" in sealing.error
    put(made, tmp_path, "two")
    assert [sealing.look(), sealing.look(), sealing.look()] == [False, True, False]
    assert (names(sealing), sealing.error) == (["two.example"], "")


def test_what_is_broken_and_comes_back_as_it_was_is_no_change(made: Path, tmp_path: Path) -> None:
    put(made, tmp_path, "one")
    sealing = Sealing(options(tmp_path))
    put(made, tmp_path, "two", "key")
    assert [sealing.look(), sealing.look()] == [False, False] and sealing.error
    put(made, tmp_path, "one", "key")
    assert [sealing.look(), sealing.look()] == [False, False] and not sealing.error


def test_a_reload_takes_on_files_and_options_at_once(made: Path, tmp_path: Path) -> None:
    put(made, tmp_path, "one")
    sealing = Sealing(options(tmp_path))
    assert not sealing.take(options(tmp_path))
    put(made, tmp_path, "two")
    assert sealing.take(options(tmp_path))
    assert sealing.take(
        Tls((str(made / "one.pem"), str(made / "two.pem")), (str(made / "one.key"), str(made / "two.key")))
    )
    assert names(sealing) == ["one.example", "two.example"]
    assert sealing.ends == min(each.ends for each in sealing.facts)
    assert not sealing.take(Tls(("/no",)))
    assert names(sealing) == ["one.example", "two.example"] and "/no" in sealing.error


def test_it_does_not_begin_with_what_is_broken_and_nothing_is_well(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Sealing(options(tmp_path))
    sealing = Sealing(Tls())
    assert not sealing.look() and sealing.status() == [] and sealing.ends is None
