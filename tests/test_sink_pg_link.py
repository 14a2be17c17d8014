"""sink.pg_link: which server a url means, and a connection for a thread without an event loop."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

import asyncpg
import pytest

from tests.postgres import Cluster
from tests.process.harness import until
from trackflowd.errors import ConfigError, StoreReject
from trackflowd.sink.pg_link import Link, address


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("postgresql://h", ("h", 5432, "trackflow", "", "", "prefer")),
        ("postgres://u:p%40x@h:9/d", ("h", 9, "d", "u", "p@x", "prefer")),
        ("postgresql://u@/d?host=/run/postgresql", ("/run/postgresql", 5432, "d", "u", "", "disable")),
        ("postgresql://@:6000/d?host=%2Ftmp%2Fx", ("/tmp/x", 6000, "d", "", "", "disable")),
        ("postgresql://%2Frun%2Fpg/d", ("/run/pg", 5432, "d", "", "", "disable")),
        ("postgresql://[::1]/d?sslmode=require", ("::1", 5432, "d", "", "", "require")),
    ],
)
def test_a_url_names_a_server(url: str, found: tuple[Any, ...]) -> None:
    where = address(url)
    assert (where.host, where.port, where.database, where.user, where.password, where.tls) == found
    assert where.identity == f"postgresql://{found[0]}:{found[1]}/{found[2]}"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:",
        "postgresql:///d",
        "postgresql://h:x/d",
        "postgresql://h/d/e",
        "postgresql://h/d?sslmode=x",
        "postgresql://h/d?a=b",
        "postgresql://h/d?x",
        "postgresql://h/d#f",
    ],
)
def test_what_is_no_url_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="store url"):
        address(url)


@pytest.fixture
def link(postgres: Cluster) -> Any:
    made = Link(address(postgres.database("postgres")), {"timezone": "UTC"}, 10)
    yield made
    made.drop()


def test_times_and_ids_go_in_and_come_out_as_the_store_has_them(link: Link) -> None:
    moments = [0, 1, 946_684_799_999, 1_763_900_000_123, -1]
    sql = "SELECT $1::timestamptz, $2::uuid, $1::timestamptz::text"
    for ms in moments:
        row = link.run(lambda one, ms=ms: one.fetchrow(sql, ms, bytes(range(16))))  # type: ignore[misc]
        assert (row[0], row[1]) == (ms, bytes(range(16)))
    assert row[2] == "1969-12-31 23:59:59.999+00"


def test_a_call_that_takes_too_long_ends_and_the_link_can_be_dropped_with_it_under_way(link: Link) -> None:
    with pytest.raises(TimeoutError):
        link.run(lambda one: one.execute("SELECT pg_sleep(60)"), 0.1)
    link.drop()
    assert not link.alive


def test_a_connection_the_server_ended_is_not_alive_after_the_next_call(link: Link, postgres: Cluster) -> None:
    pid = link.run(lambda one: one.fetchval("SELECT pg_backend_pid()"))
    postgres.sql("postgres", "SELECT pg_terminate_backend($1, 5000)", pid)
    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        link.run(lambda one: one.fetchval("SELECT 1"))
    assert not link.alive


def test_a_link_works_in_any_thread_one_at_a_time(link: Link) -> None:
    answers: list[int] = []
    for n in range(3):
        thread = threading.Thread(target=lambda n=n: answers.append(link.run(lambda one: one.fetchval(f"SELECT {n}"))))
        thread.start()
        thread.join()
    assert answers == [0, 1, 2]


def test_closed_it_has_no_backend_any_more(link: Link, postgres: Cluster) -> None:
    pid = link.run(lambda one: one.fetchval("SELECT pg_backend_pid()"))
    link.close()
    asked = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1"
    until(lambda: postgres.sql("postgres", asked, pid)[0][0] == 0)


def test_a_server_that_is_not_there_leaves_no_loop_behind() -> None:
    with pytest.raises(OSError):
        Link(address("postgresql://127.0.0.1:9/x"), {}, 5)
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


def test_without_the_driver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(StoreReject, match=r"trackflow\[postgres\]"):
        Link(address("postgresql://h"), {}, 5)
