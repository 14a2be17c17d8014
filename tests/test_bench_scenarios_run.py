"""``python -m bench run`` for real: the smoke form of every scenario, in one run, against real daemons."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.scenarios.registry import SCENARIOS

ROOT = Path(__file__).parent.parent
COMMAND = (sys.executable, "-m", "bench", "run", "--quick")
ROLES = ("supervisor", "worker", "flusher", "generator", "total")
#: Labels of the loads of a scenario that has several.
LOADS = {
    "open": ["", "25%", "50%", "75%"],
    "mixed": ["", "50%"],
    "disk": ["", "50%"],
    "idle-connections": ["without", ""],
    "growth": ["empty", "filled"],
}


def run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words], cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=240
    )


@pytest.fixture(scope="module")
def everything() -> subprocess.CompletedProcess[str]:
    """All scenarios, one after another: what they share is started and made once."""
    return run("--json", "--seconds", "0.6", *SCENARIOS)


@pytest.fixture(scope="module")
def document(everything: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert everything.returncode == 0, everything.stderr
    found: dict[str, Any] = json.loads(everything.stdout)
    return found


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory in which a socket's path fits, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="tf-") as name:
        yield Path(name)


def scenario(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in document["scenarios"] if one["name"] == name)
    return found


def median(said: dict[str, Any], name: str) -> float:
    return float(said["figures"][name]["median"])


def test_standard_output_is_one_document_that_describes_itself(document: dict[str, Any]) -> None:
    assert (document["format"], document["kind"]) == (1, "run")
    assert {"machine", "versions", "commit", "parameters", "began", "scenarios"} <= set(document)
    assert document["began"].endswith("+00:00")
    assert document["parameters"]["quick"] and not document["parameters"]["interrupted"]
    assert document["parameters"]["skipped"] == document["parameters"]["failed"] == {}
    assert [one["name"] for one in document["scenarios"]] == list(SCENARIOS)


def test_progress_is_on_standard_error(everything: subprocess.CompletedProcess[str]) -> None:
    for number, name in enumerate(SCENARIOS):
        assert f"[{number + 1}/{len(SCENARIOS)}] {name}: took " in everything.stderr
    assert "\r" not in everything.stderr  # a bar is for terminals


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "idle"])
def test_a_scenario_with_traffic_stores_what_it_acked_and_names_every_cost(document: dict[str, Any], name: str) -> None:
    said = scenario(document, name)
    assert said["holds"] is True
    assert said["acked"] == said["stored"] > 100
    for label in LOADS.get(name, [""]):
        at = f"@{label}" if label else ""
        percentiles = [median(said, f"{p}{at}") for p in ("p50", "p90", "p99", "p99.9")]
        assert percentiles == sorted(percentiles) and percentiles[0] > 0
        assert all(median(said, f"cpu_us.{role}{at}") > 0 for role in ROLES)
        assert all(median(said, f"rss_mb.{role}{at}") > 1 for role in ROLES[:4])
        assert median(said, f"rate{at}") > 0 and median(said, f"disk_bytes.store{at}") > 0
        assert (label or said["parameters"]["load"]) in said["latency"]["curves"]
    assert said["runs"][0]["warm_up"]


def test_offered_rates_are_shares_of_the_rate_found_in_the_same_run(document: dict[str, Any]) -> None:
    for name, shares in (("open", (25, 50, 75)), ("mixed", (50,)), ("disk", (50,))):
        said = scenario(document, name)
        for share in shares:
            offered = median(said, f"offered@{share}%")
            assert offered == pytest.approx(median(said, "requests") * share / 100, rel=1e-3)


def test_an_array_is_one_request_of_many_events(document: dict[str, Any]) -> None:
    said = scenario(document, "arrays")
    assert median(said, "rate") == pytest.approx(100 * median(said, "requests"), rel=1e-3)


def test_mixed_traffic_has_requests_that_are_refused(document: dict[str, Any]) -> None:
    assert median(scenario(document, "mixed"), "refused") > 0
    assert median(scenario(document, "single"), "refused") == 0


@pytest.mark.parametrize("name", ["slow", "away"])
def test_with_the_store_slow_or_away_the_spool_is_used_and_everything_lands(
    document: dict[str, Any], name: str
) -> None:
    said = scenario(document, name)
    assert median(said, "disk_bytes.spool") > 50 and median(said, "spool_mb.peak") > 0
    assert set(said["series"]) == {"p99 of each half second", "spool"}
    assert median(said, "refused") == 0  # what could not be sent in time on a busy machine is another matter


def test_idle_connections_are_held_beside_traffic(document: dict[str, Any]) -> None:
    said = scenario(document, "idle-connections")
    assert median(said, "held") == document["parameters"]["idle"]


def test_an_idle_daemon_says_what_each_process_takes(document: dict[str, Any]) -> None:
    said = scenario(document, "idle")
    shares = [median(said, f"idle.{role}") for role in ("supervisor", "worker", "flusher")]
    assert all(share > 0 for share in shares)
    assert median(said, "idle.total") == pytest.approx(sum(shares), rel=1e-3)
    assert all(median(said, f"rss_mb.{role}") > 1 for role in ("supervisor", "worker", "flusher"))


def test_growth_compares_an_empty_store_with_a_filled_one(document: dict[str, Any]) -> None:
    said = scenario(document, "growth")
    rows = document["parameters"]["rows"]
    assert median(said, "rows@filled") >= rows > median(said, "rows@empty")
    ratio = median(said, "cpu_us.flusher@filled") / median(said, "cpu_us.flusher@empty")
    assert median(said, "ratio.cpu_us.flusher") == pytest.approx(ratio, rel=1e-3)
    assert median(said, "stats.overview@empty") > 0 < median(said, "stats.overview@filled")
    assert said["series"]["CPU of an insert while filling"]["points"][-1][0] == rows


def test_ctrl_c_prints_what_there_is_and_leaves_nothing(short_path: Path) -> None:
    command = [*COMMAND, "--json", "--repeat", "1000", "single"]
    env = {**os.environ, "TMPDIR": str(short_path)}
    with subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None and running.stdout is not None
        for line in running.stderr:
            if "2 of 1000" in line:
                break
        running.send_signal(signal.SIGINT)
        said = json.loads(running.stdout.read())
        assert running.wait(60) == 130
    assert said["parameters"]["interrupted"]
    (one,) = said["scenarios"]
    assert one["acked"] == one["stored"] > 0 and len(one["runs"]) == 2
    assert list(short_path.iterdir()) == []


def test_a_daemon_that_does_not_start_fails_its_scenario_by_name_and_the_next_runs() -> None:
    done = run("single", "idle", "--set", "ring.size=1")
    assert done.returncode == 1
    assert "single failed: the daemon ended with code" in done.stdout and "ring.size" in done.stdout
    assert "idle failed" in done.stdout


def test_a_store_that_loses_events_is_found_out(short_path: Path) -> None:
    """The store answers each insert well and runs none of them."""
    server = short_path / "server.py"
    server.write_text(_FORGETFUL)
    done = run(
        "slow", "--json", "--server", "clickhouse://default@127.0.0.1/trackflow", "--server-command",
        f"{sys.executable} {server} --data {{dir}}/engine --port {{port}}", PYTHONPATH=str(ROOT),
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    said = scenario(json.loads(done.stdout), "slow")
    assert said["holds"] is False and said["stored"] < said["acked"]


_FORGETFUL = """
from tests import clickhouse_front
from tests.front_engine import Front

insert = Front.insert


def forget(self, sql, body, request, fault):
    insert(self, sql, body, request, fault)
    self.engine("TRUNCATE TABLE events", {}, {}, request.database)


Front.insert = forget
clickhouse_front.main()
"""
