"""/metrics of a real daemon, under 10,000 site names and random paths; dashboard and rules held to it."""

from __future__ import annotations

import http.client
import json
import queue
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.geo_files import write
from tests.looks import names_in, promtool
from tests.process.harness import Daemon, until
from trackflowd import cli

MONITORING = Path(__file__).parent.parent.parent / "docs" / "monitoring"
SITES = 10_000
#: There only now and then: while something comes in; once the store has grown for a minute.
SOMETIMES = {"trackflow_buffer_full_seconds", "trackflow_disk_full_seconds"}

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("monitored")
    (directory / "data" / "geo").mkdir(parents=True)
    write(directory / "data" / "geo" / "x.mmdb", {"203.0.113.0/24": {"country": {"iso_code": "DE"}}})
    with Daemon(directory, "store.url=null:", "ring.size=16MiB", "metrics.sites=shop.example,site-7.example") as daemon:
        until(
            lambda: (
                {"trackflow_geo_database_age_seconds", "trackflow_disk_free_bytes"} <= {n for n, _ in scrape(daemon)}
            )
        )
        yield daemon


def ask(daemon: Daemon, method: str, path: str = "/metrics") -> tuple[int, dict[str, str], bytes]:
    """Status, headers (lower case) and body of the admin listener's answer."""
    with closing(http.client.HTTPConnection(urlsplit(daemon.admin).netloc, timeout=60)) as connection:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read()


def scrape(daemon: Daemon) -> Series:
    """Every sample."""
    families = text_string_to_metric_families(ask(daemon, "GET")[2].decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def plain(series: Series, name: str) -> float:
    """The one sample of this name that has no labels."""
    return series[f"trackflow_{name}", frozenset()]


def send_strange_things(daemon: Daemon) -> int:
    """Events of 10,000 sites, and requests with paths, agents and pixels nobody knows; how many requests."""
    chance = random.Random(7)
    requests = 0
    with closing(http.client.HTTPConnection(urlsplit(daemon.http).netloc, timeout=60)) as connection:
        for first in range(0, SITES, 500):
            events = [{"site": f"site-{n}.example", "name": f"name-{n}"} for n in range(first, first + 500)]
            connection.request("POST", "/v1/events", json.dumps(events), {"User-Agent": f"agent {first}"})
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())["accepted"]) == (200, 500)
            requests += 1
        for n in range(600):
            path = "/" + "".join(chance.choices("abcdefgh/", k=12))
            strange = f"/v1/pixel.gif?site=pixel-{n}.example&name=n&x-{n}=1" if n % 3 == 0 else path
            connection.request("GET", strange, headers={"X-Strange": str(n)})
            connection.getresponse().read()
            requests += 1
    return requests


def test_series_are_bounded_whatever_is_sent(daemon: Daemon) -> None:
    assert daemon.post({"site": "shop.example", "name": "first"})[0] == 200
    # the admin listener counts a request once it is answered: the first may not be in the second's answer yet
    until(lambda: any(name == "trackflow_admin_requests_total" for name, _ in scrape(daemon)))
    before = scrape(daemon)
    requests = send_strange_things(daemon)
    until(lambda: plain(scrape(daemon), "requests_total") >= plain(before, "requests_total") + requests)
    after = scrape(daemon)
    assert {name for name, _ in after.keys() ^ before.keys()} <= SOMETIMES
    assert len(after) < 450
    text = ask(daemon, "GET")[2].decode()
    assert "site-8.example" not in text and "pixel-3" not in text and "name-7" not in text
    sites = {
        dict(labels)["site"]: value for (name, labels), value in after.items() if name.endswith("site_events_total")
    }
    assert (sites["shop.example"], sites["site-7.example"]) == (1, 1)
    assert sum(sites.values()) == plain(after, "events_accepted_total") > SITES
    dialects = {
        dict(labels)["dialect"]: value
        for (name, labels), value in after.items()
        if name == "trackflow_dialect_events_accepted_total"
    }
    assert sum(dialects.values()) == plain(after, "events_accepted_total")
    assert dialects["native"] == SITES + 1


def test_every_request_and_every_batch_is_timed_and_status_says_how_long(daemon: Daemon) -> None:
    daemon.post({"site": "shop.example", "name": "timed"})
    daemon.flush()
    status = daemon.await_status(
        lambda status: daemon.post({"site": "s", "name": "n"})[0] == 200 and status["latency"]["p50_ms"] is not None
    )
    assert 0 < status["latency"]["p50_ms"] <= status["latency"]["p99_ms"]

    def timed() -> bool:
        series = scrape(daemon)
        requests = plain(series, "requests_total")
        return requests > 0 and plain(series, "request_duration_seconds_count") == requests

    until(timed)
    daemon.flush()

    def settled() -> bool:
        series = scrape(daemon)
        batches = plain(series, "batches_confirmed_total")
        names = ("batch_duration_seconds_count", "insert_duration_seconds_count")
        return batches > 0 and all(plain(series, name) == batches for name in names)

    until(settled)


def test_head_get_and_what_is_neither(daemon: Daemon) -> None:
    status, headers, body = ask(daemon, "GET")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert int(headers["content-length"]) == len(body) and body.endswith(b"\n")
    status, headers, body = ask(daemon, "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 10_000
    assert ask(daemon, "POST")[0] == 405


class Hook(BaseHTTPRequestHandler):
    told: ClassVar[queue.Queue[dict[str, Any]]] = queue.Queue()

    def do_POST(self) -> None:
        self.told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


def test_a_store_that_is_away_is_told_in_every_way_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as hook, socket.create_server(("127.0.0.1", 0)) as free:
        threading.Thread(target=hook.serve_forever, args=(0.01,), daemon=True).start()
        url = f"clickhouse://u:pw@127.0.0.1:{free.getsockname()[1]}/x"
        free.close()  # nobody is there
        daemon = Daemon(tmp_path, f"store.url={url}", f"alerts.webhook=http://127.0.0.1:{hook.server_address[1]}/")
        try:
            daemon.launch()
            daemon.await_status(lambda status: [alert["name"] for alert in status["alerts"]] == ["store_away"])
            told = Hook.told.get(timeout=60)
            assert (told["event"], told["name"], told["severity"]) == ("begin", "store_away", "warning")
            assert "pw" not in json.dumps(told)
            here = ["--data-dir", str(daemon.data_dir)]
            assert cli.operator([*here, "alerts"]) == 0
            assert "the store is away" in capsys.readouterr().out
            assert cli.operator([*here, "status"]) == 0
            out = capsys.readouterr().out
            assert out.index("store_away") < out.index("requests/s")
            daemon.admin = f"http://{daemon.status()['listen']['admin']}"
            labels = frozenset({("name", "store_away"), ("severity", "warning")})
            assert scrape(daemon)["trackflow_alert_active", labels] == 1
        finally:
            daemon.end()
            hook.shutdown()


def test_promtool_has_nothing_to_say_to_a_real_scrape(daemon: Daemon) -> None:
    promtool("check", "metrics", text=ask(daemon, "GET")[2])


def dashboard() -> dict[str, Any]:
    value: dict[str, Any] = json.loads((MONITORING / "grafana.json").read_text())
    return value


def expressions() -> list[str]:
    return [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]


@pytest.mark.parametrize("file", ["grafana.json", "rules.yml"])
def test_only_metrics_that_exist_are_used(daemon: Daemon, file: str) -> None:
    daemon.post({"site": "shop.example", "name": "n"})
    there = {name for name, _ in scrape(daemon)} | SOMETIMES
    used = names_in((MONITORING / file).read_text()) - {"trackflow_"}
    assert len(used) > 4
    assert used - there == set()


def test_the_page_tells_of_metrics_that_exist(daemon: Daemon) -> None:
    names = {name.removeprefix("trackflow_") for name, _ in scrape(daemon)} | {n[10:] for n in SOMETIMES}
    page = (MONITORING / "README.md").read_text().partition("## What is told")[2]
    cells = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    told = {word.strip("` ") for cell in cells for word in cell.replace("…", "").split(",") if word.strip("` ")}
    stems = {name.removesuffix("_count") for name in names}
    assert {word for word in told if "*" not in word} - stems == set()


def test_promtool_has_nothing_to_say_to_the_rules() -> None:
    promtool("check", "rules", str(MONITORING / "rules.yml"))


@pytest.mark.parametrize(
    ("alert", "firing", "quiet"),
    [
        ("TrackflowDown", {"up": "0x40"}, {"up": "1x40"}),
        (
            "TrackflowCritical",
            {'trackflow_alert_active{severity="critical"}': "1x40"},
            {'trackflow_alert_active{severity="warning"}': "1x40"},
        ),
        (
            "TrackflowWarning",
            {'trackflow_alert_active{severity="warning"}': "1x40"},
            {'trackflow_alert_active{severity="warning"}': "0x30 1x4"},
        ),
        ("TrackflowNotReady", {"trackflow_ready": "0x40"}, {"trackflow_ready": "1x40"}),
        (
            "TrackflowSlow",
            {'trackflow_request_duration_seconds_bucket{le="0.1"}': "0+90x40",
             'trackflow_request_duration_seconds_bucket{le="1"}': "0+100x40",
             'trackflow_request_duration_seconds_bucket{le="+Inf"}': "0+100x40"},
            {'trackflow_request_duration_seconds_bucket{le="0.1"}': "0+100x40",
             'trackflow_request_duration_seconds_bucket{le="+Inf"}': "0+100x40"},
        ),
        (
            "TrackflowRefusing",
            {'trackflow_refusals_total{reason="bad_json"}': "0+20x40", "trackflow_requests_total": "0+100x40"},
            {'trackflow_refusals_total{reason="not_found"}': "0+20x40", "trackflow_requests_total": "0+100x40"},
        ),
        (
            "TrackflowBatchesSlow",
            {'trackflow_insert_duration_seconds_bucket{le="10"}': "0+10x40",
             'trackflow_insert_duration_seconds_bucket{le="25"}': "0+60x40",
             'trackflow_insert_duration_seconds_bucket{le="+Inf"}': "0+60x40"},
            {'trackflow_insert_duration_seconds_bucket{le="10"}': "0+60x40",
             'trackflow_insert_duration_seconds_bucket{le="+Inf"}': "0+60x40"},
        ),
    ],
)  # fmt: skip
def test_a_rule_fires_when_it_should_and_else_does_not(
    tmp_path: Path, alert: str, firing: dict[str, str], quiet: dict[str, str]
) -> None:
    def series(name: str) -> str:
        labels = 'job="trackflow",instance="vm"'
        return name.replace("{", f"{{{labels},") if "{" in name else f"{name}{{{labels}}}"

    for values, fires in ((firing, True), (quiet, False)):
        test = {
            "interval": "1m",
            "input_series": [{"series": series(name), "values": text} for name, text in values.items()],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                    "eval_time": "35m",
                    "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
                }
            ],
        }
        path = tmp_path / f"{fires}.yml"
        path.write_text(json.dumps({"rule_files": [str(MONITORING / "rules.yml")], "tests": [test]}))
        promtool("test", "rules", str(path))


def test_every_expression_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    filled = [text.replace("$__rate_interval", "5m").replace("$instance", ".*") for text in expressions()]
    rules = [{"record": f"r:{number}", "expr": text} for number, text in enumerate(filled)]
    path = tmp_path / "rules.yml"  # YAML 1.2 takes JSON
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(path))


def test_the_dashboard_is_laid_out_on_its_grid() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 20
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert place["x"] + place["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
        assert panel["type"] == "row" or panel["targets"]
