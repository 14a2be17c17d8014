"""Rows 51 and 52 of the fault list: repeats at once, after a kill and a restart, and at another daemon.

Two daemons, each with a data directory of its own, have one store.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.front_process import FrontProcess
from tests.process.harness import Daemon
from tests.process.judge import flush

SETS = ("batch.max_age=0.05",)
#: Connections that send the same event at once; that all of them meet one of two workers has a chance of 2⁻³¹.
AT_ONCE = 32


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Daemon]]:
    """Started at the same moment on an empty store: the schema is made by both."""
    directory = tmp_path_factory.mktemp("repeats")
    with FrontProcess(directory / "front") as front:
        pair = [_made(directory / name, front.url) for name in ("one", "other")]
        try:
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(Daemon.start, pair))
            yield pair[0], pair[1]
        finally:
            for daemon in pair:
                daemon.end()


def _made(directory: Path, url: str) -> Daemon:
    directory.mkdir()
    return Daemon(directory, f"store.url={url}", *SETS)


def event(key: str, **more: Any) -> dict[str, Any]:
    return {"site": "repeats", "name": "n", "id": key, **more}


def send(daemon: Daemon, *events: dict[str, Any]) -> None:
    assert daemon.post(list(events))[1]["accepted"] == len(events)
    flush(daemon)


def stored(daemon: Daemon, first: str) -> dict[str, int]:
    """How often each event is stored whose title begins so, by its title."""
    sql = f"SELECT title, count() AS n FROM events WHERE startsWith(title, '{first}') GROUP BY title"
    return {row["title"]: int(row["n"]) for row in daemon.rows(sql)}


def test_a_repeat_at_another_daemon_is_stored_once_if_it_says_so_and_twice_if_not(
    daemons: tuple[Daemon, Daemon],
) -> None:
    one, other = daemons
    send(one, event("a", title="a marked"), event("b", title="a unmarked"))
    send(other, event("a", title="a marked", attempt=1), event("b", title="a unmarked"), event("c", title="a fresh"))
    send(other, event("a", title="a marked", attempt=2), event("a", title="a marked"))
    assert stored(one, "a ") == {"a marked": 1, "a unmarked": 2, "a fresh": 1}


def test_a_repeat_behind_a_kill_of_the_flusher_and_behind_a_restart_is_known(daemons: tuple[Daemon, Daemon]) -> None:
    one, _ = daemons
    events = [event(f"r{n}", title=f"r {n}") for n in range(200)]
    send(one, *events)
    one.kill("flusher")
    send(one, *events)
    assert one.status()["totals"]["duplicates"] == 200
    one.stop()
    one.start()
    send(one, *events[:100], *[{**each, "attempt": 1} for each in events[100:]])
    assert one.status()["totals"]["duplicates"] == 200
    assert stored(one, "r ") == {f"r {n}": 1 for n in range(200)}


def test_one_id_at_once_on_two_workers_and_with_another_body_is_stored_once(daemons: tuple[Daemon, Daemon]) -> None:
    one, _ = daemons
    before = one.status()
    bodies = [event("same", title=f"s {n % 3}") for n in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert all(status == 200 for status, _ in pool.map(one.post, bodies))
    flush(one)
    assert sum(stored(one, "s ").values()) == 1
    after = one.status()
    assert after["totals"]["duplicates"] - before["totals"]["duplicates"] == AT_ONCE - 1
    heads = {ring["file"]: ring["head"] for ring in before["rings"]}
    assert all(ring["head"] > heads[ring["file"]] for ring in after["rings"]), "both workers had some of them"
