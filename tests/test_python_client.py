"""trackflow_client.Client against a real daemon: each event is stored exactly once, whatever happens on the way."""

from __future__ import annotations

import gzip
import json
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from trackflow_client import Client

from tests.process.harness import PATIENCE, Daemon, until
from tests.sites import Answer, Site
from tests.tcp_proxy import TcpProxy

SITE = "server.example"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("daemon"), "http.retry_after=1") as daemon:
        yield daemon


@pytest.fixture
def site(request: pytest.FixtureRequest) -> str:
    """A site of the test's own."""
    return str(request.node.name)[:64].replace("[", "_").replace("]", "")


def stored(daemon: Daemon, site: str) -> list[dict[str, Any]]:
    daemon.flush()
    return daemon.rows(
        "SELECT name, toString(event_id) AS id, url,  user_id, props, toString(revenue) AS revenue, currency, "
        f"toUnixTimestamp64Milli(time) AS ms, toUnixTimestamp64Milli(received) AS received FROM events "
        f"WHERE site = '{site}' ORDER BY name"
    )


def port(daemon: Daemon) -> int:
    return int(daemon.http.rpartition(":")[2])


def assert_stored_once(daemon: Daemon, site: str, ids: list[str | None]) -> None:
    assert None not in ids
    assert sorted(row["id"] for row in stored(daemon, site)) == sorted(str(id) for id in ids)


def test_an_event_arrives_with_all_it_was_given(daemon: Daemon, site: str) -> None:
    with Client(daemon.http + "/", site) as client:
        id = client.track(
            "order",
            url="https://example.org/shop?a=b",
            props={"plan": "pro", "seats": 3, "new": True, "price": Decimal("1.50"), "none": None},
            revenue=(Decimal("19.99"), "EUR"),
            user="u-1",
            age=timedelta(hours=1),
        )
        client.track("paid", revenue={"amount": "5", "currency": "USD"}, time=datetime.now(UTC), id="order-1")
    order, paid = stored(daemon, site)
    assert (order["id"], order["user_id"], order["revenue"], order["currency"]) == (id, "u-1", "19.99", "EUR")
    assert order["url"] == "https://example.org/shop?a=b"
    assert order["props"] == {"plan": "pro", "seats": "3", "new": "true", "price": "1.50"}
    assert 3_600_000 <= order["received"] - order["ms"] < 3_600_000 + PATIENCE * 1000
    assert (paid["revenue"], paid["currency"]) == ("5", "USD")


def test_an_event_that_waited_is_dated_when_it_was_tracked(daemon: Daemon, site: str) -> None:
    with TcpProxy(port(daemon)) as proxy, Client(f"http://127.0.0.1:{proxy.port}", site) as client:
        proxy.refuse()
        before = time.time() * 1000
        client.track("n")
        after = time.time() * 1000
        until(lambda: client.stats().trouble)
        proxy.accept()
        assert client.flush(PATIENCE)
    (row,) = stored(daemon, site)
    assert before - 5 <= row["ms"] <= after + 1000  # the way to the daemon is not part of the age
    assert row["received"] >= row["ms"]


@pytest.mark.parametrize("kind", ["lost", "cut"])
def test_a_line_that_is_cut_doubles_and_loses_nothing(daemon: Daemon, site: str, kind: str) -> None:
    with TcpProxy(port(daemon)) as proxy, Client(f"http://127.0.0.1:{proxy.port}", site, max_batch=7) as client:
        proxy.order(kind, match=b"POST", times=3, size=200)
        ids = [client.track(f"n{n:02}") for n in range(40)]
        assert client.flush(PATIENCE)
        assert proxy.struck == 3
        assert client.stats()[:4] == (0, 40, 0, 0)
    assert_stored_once(daemon, site, ids)


def test_workers_that_are_killed_cost_and_double_nothing(daemon: Daemon, site: str) -> None:
    ids: list[str | None] = []
    with Client(daemon.http, site, max_batch=5, max_wait=0) as client:
        for n in range(200):
            ids.append(client.track("n"))
            if n in (50, 120):
                until(lambda: client.stats().accepted)
                for name in ("worker 0", "worker 1"):
                    daemon.kill(name)
        assert client.flush(PATIENCE)
        assert client.stats()[:4] == (0, 200, 0, 0)
    assert_stored_once(daemon, site, ids)


def test_a_daemon_that_is_away_gets_its_events_when_it_is_back(tmp_path: Path, site: str) -> None:
    with Daemon(tmp_path) as daemon, Client(daemon.http, site) as client:
        ids = [client.track("n") for _ in range(20)]
        assert client.flush(PATIENCE)
        daemon.sets += (f"http.listen=127.0.0.1:{port(daemon)}",)
        daemon.stop(signal.SIGKILL)
        ids += [client.track("n") for _ in range(250)]
        until(lambda: client.stats().trouble)
        assert not client.flush(0)
        assert client.stats()[:4] == (250, 20, 0, 0)
        daemon.start()
        assert client.flush(PATIENCE)
        assert_stored_once(daemon, site, ids)


def test_what_is_sent_again_keeps_its_id_and_counts_its_attempts() -> None:
    with Site() as site, Client(site.url, SITE, key="k") as client:
        site.answers["POST /v1/events"] = Answer("later", 503)
        ids = [client.track("a", age=1), client.track("b", age=1)]
        until(lambda: len(site.bodies) >= 2)
        site.answers["POST /v1/events"] = Answer('{"accepted":2,"refused":[]}')
        assert client.flush(PATIENCE)
        assert client.stats()[:4] == (0, 2, 0, 0)
        sent = [json.loads(body) for body in site.bodies]
    assert [[event["id"] for event in events] for events in sent] == [ids] * len(sent)
    assert [[event["attempt"] for event in events] for events in sent] == [[n, n] for n in range(len(sent))]
    ages = [events[0]["age_ms"] for events in sent]
    assert 1000 <= ages[0] <= ages[1] <= ages[-1]


def test_an_event_that_never_left_is_not_marked_as_sent_before() -> None:
    with Site() as site, TcpProxy(site.port) as proxy, Client(f"http://127.0.0.1:{proxy.port}", SITE) as client:
        site.answers["POST /v1/events"] = Answer('{"accepted":1,"refused":[]}')
        proxy.refuse()
        client.track("n")
        until(lambda: client.stats().trouble)
        assert client.stats().requests == 0
        proxy.accept()
        assert client.flush(PATIENCE)
        assert json.loads(site.bodies[0])[0]["attempt"] == 0


def test_flush_cuts_our_own_wait_short_but_not_the_one_the_server_asks_for() -> None:
    with Site() as site, Client(site.url, SITE) as client:
        site.answers["POST /v1/events"] = Answer("away", 502)
        client.track("n")
        for requests in range(1, 9):  # without flush the eighth would come after half a minute at least
            until(lambda requests=requests: client.stats().requests >= requests)  # type: ignore[misc]
            client.flush(0)
        site.answers["POST /v1/events"] = Answer("away", 503, {"Retry-After": "3600"})
        until(lambda: "503" in client.stats().trouble)
        requests = client.stats().requests
        assert not client.flush(0.3)
        assert client.stats().requests == requests
        client.close(0)


def test_a_large_request_is_packed() -> None:
    with Site() as site, Client(site.url, SITE) as client:
        site.answers["POST /v1/events"] = Answer('{"accepted":1,"refused":[]}')
        client.track("n", title="x" * 5000)
        assert client.flush(PATIENCE)
    assert json.loads(gzip.decompress(site.bodies[0]))[0]["title"] == "x" * 5000


def test_an_answer_of_somebody_else_settles_nothing() -> None:
    with Site() as site, Client(site.url, SITE) as client:
        site.answers["POST /v1/events"] = Answer("<html>log in</html>")
        client.track("n")
        until(lambda: client.stats().trouble)
        assert client.stats()[:4] == (1, 0, 0, 0)
        client.close(0)


def test_a_bad_event_is_reported_and_takes_no_other_with_it(daemon: Daemon, site: str) -> None:
    seen: list[tuple[str, str]] = []
    with Client(
        daemon.http, site, on_refused=lambda event, error, reason: seen.append((event["name"], error))
    ) as client:
        first = client.track("a")
        client.track("b", scroll=101)
        client.track("c", ip="192.0.2.1")
        client.track("d", title="half \ud800 of a pair")
        last = client.track("e")
        assert client.flush(PATIENCE)
        assert client.stats()[:4] == (0, 2, 3, 0)
    assert sorted(seen) == [("b", "bad_value"), ("c", "forbidden_key"), ("d", "bad_json")]
    assert_stored_once(daemon, site, [first, last])


def test_a_callback_may_use_the_client(daemon: Daemon, site: str) -> None:
    def again(event: dict[str, Any], error: str, reason: str) -> None:
        client.track("refused", props={"error": error})
        assert not client.flush()

    with Client(daemon.http, site, on_refused=again) as client:
        client.track("n", scroll=101)
        assert client.flush(PATIENCE) and client.flush(PATIENCE)
    assert [row["props"] for row in stored(daemon, site)] == [{"error": "bad_value"}]


@pytest.mark.parametrize(
    "arguments",
    [{"props": {"n": float("nan")}}, {"props": {(1, 2): 3}}, {"props": 5}, {"revenue": 5}, {"age": float("nan")}],
)
def test_what_cannot_be_said_is_reported_and_harms_nobody(daemon: Daemon, site: str, arguments: Any) -> None:
    seen: list[str] = []

    def fails(event: dict[str, Any], error: str, reason: str) -> None:
        seen.append(error)
        raise ValueError("the callback's own fault")

    with Client(daemon.http, site, on_refused=fails) as client:
        assert client.track("n", **arguments) is None
        assert client.track("good")
    assert (seen, client.stats()[:4]) == (["bad_json"], (0, 1, 1, 0))


def test_an_array_too_long_for_the_daemon_is_sent_in_parts(tmp_path: Path, site: str) -> None:
    with Daemon(tmp_path, "http.max_events=3", "daemon.workers=1") as daemon, Client(daemon.http, site) as client:
        ids = [client.track("n") for _ in range(50)]
        assert client.flush(PATIENCE)
        assert_stored_once(daemon, site, ids)


def test_a_request_holds_no_more_bytes_than_it_may(daemon: Daemon, site: str) -> None:
    with Client(daemon.http, site, max_batch_bytes=2000, max_wait=60, compress=False) as client:
        ids = [client.track("n", title="x" * 300) for _ in range(20)]
        assert client.flush(PATIENCE)
        assert client.stats().requests == 5
    assert_stored_once(daemon, site, ids)


def test_a_full_queue_drops_new_events_and_says_so() -> None:
    seen: list[str] = []
    with TcpProxy(1) as proxy:
        proxy.refuse()
        client = Client(
            f"http://127.0.0.1:{proxy.port}", SITE, max_queue=3, on_refused=lambda *about: seen.append(about[1])
        )
        assert [client.track("n") is not None for _ in range(5)] == [True, True, True, False, False]
        assert client.stats()[:4] == (3, 0, 0, 2)
        assert not client.close(0)
        assert client.stats()[:4] == (0, 0, 0, 5)
        assert client.track("late") is None
    assert seen == ["queue_full"] * 2 + ["closed"] * 4


def test_a_queue_full_of_bytes_drops_too() -> None:
    client = Client("http://127.0.0.1:1", SITE, max_queue_bytes=1000)
    assert client.track("n", title="x" * 700)
    assert client.track("n", title="x" * 700) is None
    assert client.track("n")
    client.close(0)


def test_threads_share_a_client(daemon: Daemon, site: str) -> None:
    ids: list[str | None] = []
    with Client(daemon.http, site, max_wait=0.01) as client:

        def work() -> None:
            ids.extend([client.track("n") for _ in range(100)])

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.flush(PATIENCE)
    assert_stored_once(daemon, site, ids)


@pytest.mark.parametrize("url", ["stats.example.com", "ftp://x", "https://", "http://h:port"])
def test_a_url_that_is_none_is_said_at_once(url: str) -> None:
    with pytest.raises(ValueError):
        Client(url, SITE)
