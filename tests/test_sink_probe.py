"""sink.probe: the version of a store, without changing anything there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.front_process import FrontProcess
from tests.postgres import Cluster
from trackflowd.sink import probe


def test_a_clickhouse_server_says_its_version_and_gets_no_database(tmp_path: Path) -> None:
    with FrontProcess(tmp_path / "front") as front:
        (said,) = probe.ask(front.url, 10.0)
        assert said.version.count(".") >= 2 and not said.error
        both = probe.ask(front.url.replace("127.0.0.1", "127.0.0.1:1,127.0.0.1", 1), 5.0, clustered=True)
        assert [bool(one.error) for one in both] == [True, False]


def test_postgresql_says_its_version(postgres: Cluster) -> None:
    url = postgres.database("probed")
    (said,) = probe.ask(url, 10.0)
    assert int(said.version.partition(".")[0]) >= 14 and not said.error
    (said,) = probe.ask(url.replace("/probed", "/nothing"), 10.0)
    assert "nothing" in said.error


@pytest.mark.parametrize("url", ["clickhouse://u:secret@127.0.0.1:1/d", "postgresql://u:secret@127.0.0.1:1/d"])
def test_a_store_that_is_away_is_an_error_in_words_without_its_password(url: str) -> None:
    (said,) = probe.ask(url, 5.0)
    assert said.error and not said.version and "secret" not in said.url + said.error


@pytest.mark.parametrize("url", ["clickhouse://", "postgresql://h:port/d"])
def test_a_url_that_makes_no_sense_is_an_error_too(url: str) -> None:
    assert probe.ask(url, 1.0)[0].error


def test_the_embedded_store_is_not_opened() -> None:
    assert probe.ask("chdb:", 1.0)[0].version
    assert probe.ask("null:", 1.0) == [probe.Answer("null:")]


@pytest.mark.parametrize(
    ("url", "least"), [("postgresql://h", "14"), ("clickhouse://h", "24.8"), ("chdb:", "24.8"), ("null:", "")]
)
def test_each_kind_has_an_oldest_version(url: str, least: str) -> None:
    assert probe.least(url) == least
