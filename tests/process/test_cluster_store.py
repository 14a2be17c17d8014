"""The daemon with a cluster of two hosts (two HTTP fronts over chDB): what becomes of a batch whose host goes away.

A front is a shard of one replica that knows nothing of the other (``front_cluster``), so rows are counted on each.
"""

from __future__ import annotations

import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.front_process import FrontProcess
from tests.process.harness import Daemon, gone, until
from tests.process.sender import SITE, event_of, id_of
from trackflowd.errors import ControlError, QueryError

ROWS = 100
DATABASES = count()


class Pair:
    """A daemon and its two hosts.

    Attributes:
        own: the host of the shard that ``SITE`` belongs to.
        other: the other one.
    """

    def __init__(self, directory: Path, fronts: Sequence[FrontProcess], module: str) -> None:
        self.fronts = fronts
        self.database = f"pair{next(DATABASES)}"
        hosts = ",".join(f"127.0.0.1:{front.port}" for front in fronts)
        sets = (f"store.url=clickhouse://default@{hosts}/{self.database}", "store.cluster=pair", "store.timeout=5")
        self.daemon = Daemon(directory, *sets, "batch.max_age=0.05", module=module)
        self.sent = 0

    def find_own(self) -> None:
        """Send rows, and see where they land."""
        self.send()
        self.daemon.flush()
        self.own, self.other = self.fronts if self.ids_in(self.fronts[0]) else self.fronts[::-1]
        assert self.ids_in(self.own) == once(ROWS)
        assert not self.ids_in(self.other)

    def send(self) -> None:
        """Send the next rows in one request."""
        status, answer = self.daemon.post([event_of(n, 0) for n in range(self.sent, self.sent + ROWS)])
        assert (status, answer["accepted"]) == (200, ROWS)
        self.sent += ROWS

    def lose_one(self) -> str:
        """Have the own host commit a batch, lose its answer and stay down; the batch's hex id."""
        self.own.fault("down")
        self.send()
        self.daemon.await_status(lambda status: self.waiting(status) and status["spool"]["segments"])
        return str(inserted(self.own)[-1])

    def waiting(self, status: dict[str, Any]) -> bool:
        """Whether a batch waits for the own host; none is told of while the flusher starts."""
        return any(host["batches"] for host in self.hosts_of(status, self.own))

    def hosts_of(self, status: dict[str, Any], front: FrontProcess) -> list[dict[str, Any]]:
        return [host for host in status["sink"]["hosts"] if f":{front.port}/" in host["host"]]

    def stored(self) -> Counter[str]:
        """How often each event is stored, on both hosts together."""
        return self.ids_in(self.own) + self.ids_in(self.other)

    def ids_in(self, front: FrontProcess) -> Counter[str]:
        """How often each event is stored there."""
        rows = self.ask(front, "SELECT toString(event_id) AS id, count() FROM {events} GROUP BY id")
        return Counter({event_id: int(n) for event_id, n in rows})

    def await_rows(self, front: FrontProcess, rows: int) -> None:
        """Return once that many are stored there."""
        until(lambda: sum(self.ids_in(front).values()) == rows)

    def ask(self, front: FrontProcess, sql: str) -> list[list[str]]:
        """Rows of an answer about the local table of one host."""
        query = urllib.parse.urlencode({"query": sql.format(events=f"{self.database}.events_local")})
        with urllib.request.urlopen(f"http://127.0.0.1:{front.port}/?{query}", timeout=30) as answer:
            return [line.split("\t") for line in answer.read().decode().splitlines()]


@pytest.fixture(scope="module")
def fronts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[FrontProcess]]:
    path = tmp_path_factory.mktemp("fronts")
    with FrontProcess(path / "one") as one, FrontProcess(path / "two") as two:
        yield one, two


@contextmanager
def pair_of(tmp_path: Path, fronts: Sequence[FrontProcess], module: str = "trackflowd.cli") -> Iterator[Pair]:
    pair = Pair(tmp_path, fronts, module)
    try:
        with pair.daemon:
            pair.find_own()
            yield pair
    finally:
        for front in fronts:
            front.order("clear")
            front.order("accept")


@pytest.fixture
def pair(tmp_path: Path, fronts: Sequence[FrontProcess]) -> Iterator[Pair]:
    with pair_of(tmp_path, fronts) as pair:
        yield pair


def inserted(front: FrontProcess) -> list[str]:
    """Hex ids of the batches that were sent to it, in order."""
    inserts = [one for one in front.log() if "events_local" in one["query"]]
    return [one["settings"]["insert_deduplication_token"].partition(".")[0] for one in inserts]


def once(rows: int) -> Counter[str]:
    return Counter(id_of(n) for n in range(rows))


def test_a_batch_in_doubt_waits_for_its_host_and_all_others_go_elsewhere(pair: Pair) -> None:
    batch = pair.lose_one()
    pair.send()
    pair.await_rows(pair.other, ROWS)  # what was never sent there goes to the other
    status = pair.daemon.status()
    (host,) = pair.hosts_of(status, pair.own)
    assert (host["state"], host["batches"], host["rows"]) == ("away", 1, ROWS)
    assert (status["totals"]["batches_bound"], status["totals"]["rows_bound"]) == (1, ROWS)
    assert status["spool"]["segments"] == 1
    assert status["health"]["ready"], "the other host takes events"
    assert "waits in the spool" in pair.daemon.log()
    before = pair.daemon.kill("flusher")
    until(lambda: gone(before))
    pair.send()
    pair.await_rows(pair.other, 2 * ROWS)
    pair.daemon.await_status(pair.waiting)
    assert batch not in inserted(pair.other)
    pair.own.order("accept")
    pair.daemon.flush()
    assert pair.stored() == once(pair.sent)
    assert batch not in inserted(pair.other)
    assert pair.daemon.status()["totals"]["batches_bound"] == 0


def test_a_batch_killed_with_its_flusher_in_mid_sending_is_asked_of_the_same_host(pair: Pair) -> None:
    pair.own.fault("hang")
    pair.send()
    until(pair.own.running)
    batch = pair.own.running()[0].partition(".")[0]
    before = pair.daemon.kill("flusher")
    until(lambda: gone(before))
    pair.own.order("refuse")
    pair.own.order("release")  # it goes on to its end there, unseen
    pair.daemon.await_status(pair.waiting)
    pair.send()
    pair.await_rows(pair.other, ROWS)
    pair.own.order("accept")
    pair.daemon.flush()
    assert pair.stored() == once(pair.sent)
    assert batch not in inserted(pair.other)


def test_a_released_batch_goes_elsewhere_at_the_price_that_is_said(pair: Pair) -> None:
    batch = pair.lose_one()
    with pytest.raises(ControlError, match="spool list"):
        pair.daemon.call("spool_release", names=["nothing"])
    until(lambda: released(pair.daemon, batch))
    pair.await_rows(pair.other, ROWS)
    assert pair.daemon.status()["totals"]["rows_released"] == ROWS
    pair.own.order("accept")
    pair.daemon.flush()
    assert pair.stored() == once(2 * ROWS) + Counter(id_of(n) for n in range(ROWS, 2 * ROWS)), "it had it after all"


def released(daemon: Daemon, batch: str) -> bool:
    try:
        return bool(daemon.call("spool_release", names=[batch]) == {"released": 1, "rows": ROWS})
    except ControlError as error:
        assert "being sent right now" in str(error)
        return False


def test_a_daemon_that_sends_a_batch_in_doubt_elsewhere_is_seen_to_double_it(
    tmp_path: Path, fronts: Sequence[FrontProcess]
) -> None:
    with pair_of(tmp_path, fronts, "tests.straying_daemon") as pair:
        pair.own.fault("down")
        pair.send()
        pair.await_rows(pair.other, ROWS)
        pair.own.order("accept")
        pair.daemon.flush()
        assert pair.stored() != once(pair.sent)
        assert max(pair.stored().values()) == 2


def test_the_rows_of_a_site_are_in_one_shard(pair: Pair) -> None:
    sites = [f"site{n}.example" for n in range(8)]
    events = [{"site": site, "name": "pageview", "url": f"https://{site}/"} for site in sites for _ in range(5)]
    assert pair.daemon.post(events)[1]["accepted"] == len(events)
    pair.daemon.flush()
    found = [{site for (site,) in pair.ask(front, "SELECT DISTINCT site FROM {events}")} for front in pair.fronts]
    found = [there - {SITE} for there in found]
    assert found[0] | found[1] == set(sites)
    assert not found[0] & found[1]
    assert all(found), "eight sites are in both shards but once in 128"


def test_a_query_while_a_shard_is_away_is_an_error_that_says_so(pair: Pair) -> None:
    for front in pair.fronts:
        front.fault("status", match="SELECT count()", code=279)
    with pytest.raises(QueryError, match="a shard of the store does not answer"):
        pair.daemon.rows("SELECT count() AS n FROM events")
    for front in pair.fronts:
        front.order("clear")
    assert pair.daemon.rows("SELECT 1 AS n") == [{"n": 1}]
    pair.own.order("refuse")
    assert pair.daemon.rows("SELECT 2 AS n") == [{"n": 2}], "any host that answers is asked"


def test_with_all_hosts_away_the_store_is_and_with_them_back_all_lands(pair: Pair) -> None:
    for front in pair.fronts:
        front.order("refuse")
    pair.send()
    status = pair.daemon.await_status(lambda status: not status["health"]["ready"])
    assert status["sink"]["state"] == "away"
    for front in pair.fronts:
        front.order("accept")
    pair.daemon.flush()
    assert pair.stored() == once(pair.sent)
    pair.daemon.await_status(lambda status: {host["state"] for host in status["sink"]["hosts"]} == {"ok"})
