"""Rules for the whole suite.

In CI (``CI=true``) nothing that could have been installed may be missing: a skipped test fails
there. Only a reason that opens with ``this machine cannot`` (a kernel without some feature, say)
is let through.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.postgres import Cluster
    from tests.stats_table import Table
    from tests.stores import Stores
    from trackflowd.sink.clickhouse import ClickHouseSink

_LET_THROUGH = "this machine cannot"


def _must_not_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure, unless it is an expected failure or nobody could install what lacks."""
    if os.environ.get("CI") != "true" or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not reason.removeprefix("Skipped: ").startswith(_LET_THROUGH):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where nothing may be missing: {reason}"


def pytest_report_header() -> str | None:
    """Which stores the tests run over, where they are not all their own."""
    if not any(name.startswith("TRACKFLOW_TEST_") for name in os.environ):
        return None
    from tests.stores import header

    return header()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _must_not_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, pytest.CollectReport]:
    report: pytest.CollectReport = yield
    _must_not_skip(report)
    return report


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL for all tests of a session that leave it running; each uses a database of its own."""
    from tests.postgres import Cluster

    with Cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def stores(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """Stores by their kind, for one module of tests: given by url, in Docker, or the tests' own."""
    from tests.stores import Stores

    made = Stores(tmp_path_factory.mktemp("stores"), lambda: request.getfixturevalue("postgres"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseSink]:
    """An embedded store with 8,000 events, for one module of tests."""
    from tests.stats_table import opened

    with opened(tmp_path_factory.mktemp("data")) as sink:
        yield sink


@pytest.fixture
def table(filled: ClickHouseSink, monkeypatch: pytest.MonkeyPatch) -> Table:
    """That store, asked with sums of days and without; no day has too few events to be added up."""
    from tests.stats_table import Table

    monkeypatch.setattr("trackflowd.stats.pieces.WORTH", 1)
    return Table(filled)
